"""`transformers serve` with continuous batching, in fp32.

Its GLM has exactly the matrices of ChatGLM2 and later ones; its GPT-NeoX without parallel residuals those of
ChatGLM-6B.
"""

import sys
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.peers.peer import lacking
from benchmarks.peers.server import PeerServer, as_options
from benchmarks.peers.sizes import EPSILON, Sizes, numbers, plain
from benchmarks.peers.words import TEMPLATE, words

_PAGE = 256  # tokens of a block of keys and values, by default
_PROGRAM = "from transformers.cli.transformers import app; app()"


class TransformersServe(PeerServer):
    """`transformers serve` of this environment's transformers."""

    name, bits = "transformers-serve", 32.0
    environment: ClassVar[dict[str, str]] = {"HF_HUB_OFFLINE": "1"}

    def missing(self) -> str | None:
        """See `Peer`."""
        return lacking("openai", "fastapi", "uvicorn")

    def write(self, sizes: Sizes, folder: Path) -> None:
        """Write a checkpoint and a tokenizer."""
        import torch
        from safetensors.torch import save_file
        from transformers import AutoModelForCausalLM

        config = _config(sizes)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        config.architectures = [type(model).__name__]
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        block = numbers()
        tensors = {
            name: torch.from_numpy(np.resize(block, shape) if len(shape) == 2 else plain(name, shape))
            for name, shape in shapes.items()
        }
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        config.save_pretrained(folder)
        _tokenizer(sizes.vocabulary).save_pretrained(folder)

    def model(self, folder: Path) -> str:
        """See `PeerServer`."""
        return str(folder)

    def command(self, folder: Path, port: int, clients: int, tokens: int, threads: int) -> Sequence[str]:
        """See `PeerServer`."""
        options = {
            "host": "127.0.0.1",
            "port": port,
            "device": "cpu",
            "dtype": "float32",
            "cb-num-blocks": clients * ceil(tokens / _PAGE),  # without it, it takes nearly all memory
        }
        return [sys.executable, "-c", _PROGRAM, "serve", str(folder), "--continuous-batching", *as_options(options)]


def _config(sizes: Sizes) -> Any:
    """The config in transformers. The last token ends an answer, and is never the first of equally likely ones."""
    from transformers import GlmConfig, GPTNeoXConfig

    shared: dict[str, Any] = {
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.inner,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "max_position_embeddings": sizes.context,
        "bos_token_id": None,
        "eos_token_id": sizes.vocabulary - 1,
        "pad_token_id": None,
        "tie_word_embeddings": False,
        "dtype": "float32",
    }
    if sizes.gated:
        kv_heads = {"num_key_value_heads": sizes.kv_heads, "head_dim": sizes.width}
        return GlmConfig(**shared, **kv_heads, rms_norm_eps=EPSILON)
    return GPTNeoXConfig(**shared, use_parallel_residual=False, layer_norm_eps=EPSILON)


def _tokenizer(vocabulary: int) -> Any:
    """A tokenizer with a token for each character of the prompts."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    unknown = "<unk>"
    ids = {word: id for id, word in enumerate([*words(vocabulary - 1), unknown])}
    tokenizer = Tokenizer(models.WordLevel(ids, unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=unknown, chat_template=TEMPLATE)
