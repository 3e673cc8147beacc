"""chatglm.cpp through `chatglm-cpp`: ChatGLM-6B unchanged, in a file from the package's own converter.

Its layouts for ChatGLM2 and later are not written here.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.execution.request import read_light
from benchmarks.peers.peer import OwnProcess, lacking, versions
from benchmarks.peers.sizes import EPSILON, Sizes, numbers, plain
from fastglm.errors import UsageError
from fastglm.models.chatglm.architecture import CHATGLM_6B

if TYPE_CHECKING:
    from torch import Tensor


class ChatGLMCpp(OwnProcess):
    """chatglm.cpp with weights in `q4_0` or `q8_0`."""

    def __init__(self, format: str, bits: float) -> None:
        self.name, self.bits = f"chatglm.cpp-{format}", bits
        self._format = format

    def missing(self) -> str | None:
        """See `Peer`."""
        return lacking("chatglm_cpp", "tabulate")

    def write(self, sizes: Sizes, folder: Path) -> None:
        """Write a GGML file. Raises `UsageError` for a model with gated layers."""
        sizes.check_plain()
        from chatglm_cpp.convert import ChatGLMConverter, GGMLType

        tokenizer: Any = read_light("demo")[0]
        config = SimpleNamespace(
            position_encoding_2d=True,
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.hidden,
            num_attention_heads=sizes.heads,
            num_layers=sizes.layers,
            inner_hidden_size=sizes.inner,
            layernorm_epsilon=EPSILON,
            max_sequence_length=sizes.context,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            sep_token_id=None,
            pre_seq_len=None,
            quantization_bit=0,
        )
        weights = Weights(sizes)
        model = SimpleNamespace(config=config, state_dict=lambda: weights)
        named = SimpleNamespace(sp_tokenizer=SimpleNamespace(text_tokenizer=SimpleNamespace(sp=tokenizer.model)))
        with open(folder / "model.bin", "wb") as file:
            ChatGLMConverter.convert(file, model, named, GGMLType[self._format.upper()])

    def load(self, folder: Path, sizes: Sizes, threads: int) -> "ChatGLM":
        """See `OwnProcess`. Raises `UsageError` if chatglm.cpp would use another number of threads than requested."""
        if threads != (own := own_threads()):
            raise UsageError(f"chatglm.cpp takes {own} threads here and cannot be told otherwise: use --threads {own}")
        return ChatGLM(folder / "model.bin", sizes.context)


class Weights(Mapping[str, "Tensor"]):
    """A state dict whose tensors are made one at a time when they are read."""

    def __init__(self, sizes: Sizes) -> None:
        self._shapes = dict(sizes.tensors(CHATGLM_6B.tensors))
        self._numbers = numbers()

    def __getitem__(self, name: str) -> "Tensor":
        import torch

        shape = self._shapes[name]
        return torch.from_numpy(np.resize(self._numbers, shape) if len(shape) == 2 else plain(name, shape))

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


class ChatGLM:
    """A loaded GGML file."""

    def __init__(self, file: Path, context: int) -> None:
        from chatglm_cpp import _C

        self._pipeline = _C.Pipeline(str(file))  # owns the model
        self._settings = _C.GenerationConfig(max_length=context, do_sample=False)
        self.notes = versions("chatglm-cpp")

    def generate(self, prompt: list[int], tokens: int) -> Iterator[int]:
        """See `Engine`."""
        model: Any = self._pipeline.model
        ids, past = list(prompt), 0
        for _ in range(tokens):
            token = model.generate_next_token(ids, None, self._settings, past, len(prompt))
            yield token
            past = len(ids)
            ids.append(token)


def own_threads() -> int:
    """The number of threads that chatglm.cpp uses: all processors of a small machine, half of those of a larger one."""
    processors = os.cpu_count() or 4
    return processors if processors <= 4 else processors // 2
