"""llama.cpp through `llama-cpp-python`.

Its architecture `gptneox` without parallel residuals has exactly the matrices of ChatGLM-6B: q, k and v as one, a plain
FFN, biases, layer norms; its architecture `chatglm` has those of ChatGLM2 and later ones. All matrices have the same
format, including the head, which llama.cpp's own conversion would keep in 6 bits. Embedding and head are two tensors,
because llama.cpp repacks only matrices that it looks no rows up in. The vocabulary is for llama.cpp's server; the
binding is asked for tokens.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.peer import OwnProcess, lacking, versions
from benchmarks.peers.sizes import EPSILON, Sizes, numbers, plain
from benchmarks.peers.words import TEMPLATE, words
from fastglm.errors import HostError
from fastglm.models.architecture import TensorNames

MODEL = "model.gguf"
_NAMES = TensorNames(
    embedding="token_embd",
    head="output",
    final_norm="output_norm",
    layers="blk",
    attention_norm="attn_norm",
    attention_in=("attn_qkv",),
    attention_out="attn_output",
    mlp_norm="ffn_norm",
    mlp_in=("ffn_up",),
    mlp_out="ffn_down",
)


class LlamaCpp(OwnProcess):
    """llama.cpp with weights in `q4_0` or `q8_0`."""

    def __init__(self, format: str, bits: float) -> None:
        self.name, self.bits = f"llama.cpp-{format}", bits
        self._format = format

    def missing(self) -> str | None:
        """See `Peer`."""
        return lacking("llama_cpp", "gguf")

    def write(self, sizes: Sizes, folder: Path) -> None:
        """See `WithFiles`."""
        write(sizes, self._format, folder / MODEL)

    def load(self, folder: Path, sizes: Sizes, threads: int) -> "Llama":
        """See `OwnProcess`."""
        return Llama(folder / MODEL, sizes.context, threads)


class Llama:
    """A loaded GGUF file with llama.cpp's defaults, except for the threads."""

    def __init__(self, file: Path, context: int, threads: int) -> None:
        import llama_cpp as api

        self._api = api
        api.llama_backend_init()
        self._model = api.llama_model_load_from_file(str(file).encode(), api.llama_model_default_params())
        if not self._model:
            raise HostError("llama.cpp could not load the file that was written for it")
        settings = api.llama_context_default_params()
        settings.n_ctx, settings.n_threads, settings.n_threads_batch = context, threads, threads
        self._context = api.llama_init_from_model(self._model, settings)
        self._sampler = api.llama_sampler_init_greedy()
        self.notes = [*versions("llama-cpp-python"), _build(api)]

    def generate(self, prompt: list[int], tokens: int) -> Iterator[int]:
        """See `Engine`."""
        api = self._api
        api.llama_memory_clear(api.llama_get_memory(self._context), True)
        new = prompt
        for _ in range(tokens):
            ids = (api.llama_token * len(new))(*new)
            if failed := api.llama_decode(self._context, api.llama_batch_get_one(ids, len(new))):
                raise HostError(f"llama_decode failed with {failed}")
            token = api.llama_sampler_sample(self._sampler, self._context, -1)
            yield token
            new = [token]

    def best(self, tokens: list[int]) -> list[int]:
        """The likeliest token after each of `tokens`."""
        api = self._api
        api.llama_memory_clear(api.llama_get_memory(self._context), True)
        batch = api.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for place, token in enumerate(tokens):
            batch.token[place], batch.pos[place], batch.logits[place] = token, place, 1
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
        failed = api.llama_decode(self._context, batch)
        api.llama_batch_free(batch)
        if failed:
            raise HostError(f"llama_decode failed with {failed}")
        size = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self._model))
        rows = (api.llama_get_logits_ith(self._context, place) for place in range(len(tokens)))
        return [int(np.ctypeslib.as_array(row, (size,)).argmax()) for row in rows]


def write(sizes: Sizes, format: str, file: Path) -> None:
    """Write a GGUF file with random weights in `q4_0` or `q8_0`."""
    import gguf
    from gguf.quants import quantize

    kind = gguf.GGMLQuantizationType[format.upper()]
    block, bytes_of_block = gguf.GGML_QUANT_SIZES[kind]
    packed = quantize(numbers().reshape(-1, block), kind)
    writer = gguf.GGUFWriter(file, "chatglm" if sizes.gated else "gptneox")
    _describe(writer, sizes)
    _name_tokens(writer, sizes.vocabulary)
    for name, shape in sizes.tensors(_NAMES):
        if len(shape) == 2:
            row = shape[1] // block * bytes_of_block
            writer.add_tensor(name, np.resize(packed, (shape[0], row)), raw_dtype=kind)
        else:
            writer.add_tensor(name, plain(name, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: Any, sizes: Sizes) -> None:
    """Metadata of a GGUF model."""
    writer.add_context_length(sizes.context)
    writer.add_embedding_length(sizes.hidden)
    writer.add_block_count(sizes.layers)
    writer.add_feed_forward_length(sizes.inner)
    writer.add_head_count(sizes.heads)
    if sizes.gated:
        writer.add_head_count_kv(sizes.kv_heads)
        writer.add_rope_dimension_count(sizes.width // 2)
        writer.add_layer_norm_rms_eps(EPSILON)
    else:
        writer.add_rope_dimension_count(sizes.width)
        writer.add_parallel_residual(False)
        writer.add_layer_norm_eps(EPSILON)
    writer.add_vocab_size(sizes.vocabulary)


def _name_tokens(writer: Any, vocabulary: int) -> None:
    """Words for the tokens of a GGUF model. The control tokens and those of single bytes come last: equal rows of the
    random head make the first of equally likely tokens the answer, and a whole word is then a chunk of text.
    """
    from gguf import TokenType

    control = ["<unk>", "<s>", "</s>"]
    single = [f"<0x{byte:02X}>" for byte in range(256)]
    plain_words = [word.replace(" ", "▁") for word in words(vocabulary - len(control) - len(single))]
    unknown = len(plain_words)
    kinds = [TokenType.NORMAL] * unknown + [TokenType.CONTROL] * len(control) + [TokenType.BYTE] * len(single)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*plain_words, *control, *single])
    writer.add_token_scores([0.0] * vocabulary)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(unknown)
    writer.add_bos_token_id(unknown + 1)
    writer.add_eos_token_id(unknown + 2)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)


def _build(api: Any) -> str:
    """The instruction sets that llama.cpp was built for and uses."""
    told = api.llama_print_system_info().decode()
    return ", ".join(flag.split(" = ")[0].strip() for flag in told.split("|") if flag.strip().endswith("= 1"))
