"""Recorded prefixes (P-Tuning v2), loaded as the published README shows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from recorded import expected, folder, tensors
from torch import Tensor
from transformers import AutoConfig, AutoModel

PREFIXES = ("chatglm-ptuning", "chatglm-ptuning-projection", "chatglm2-ptuning")
_NAME = "transformer.prefix_encoder."


@dataclass(frozen=True)
class Recorded:
    """A record: folders, the results as JSON and as tensors, and the model with its prefix."""

    name: str
    base: Path
    adapter: Path
    found: dict[str, Any]
    tensors: dict[str, Tensor]
    model: Any

    @property
    def prompts(self) -> list[list[int]]:
        return [case["input_ids"] for case in self.found["generate"]]

    @property
    def answers(self) -> list[list[int]]:
        return [case["new_ids"] for case in self.found["generate"]]


def recorded(name: str) -> Recorded:
    base, found = folder(name) / "base", expected(name)
    config = AutoConfig.from_pretrained(base, pre_seq_len=found["pre_seq_len"])
    config.prefix_projection = found["prefix_projection"]
    model = AutoModel.from_pretrained(base, config=config).eval()
    state = torch.load(folder(name) / "prefix" / "pytorch_model.bin", weights_only=True)
    weights = {key.removeprefix(_NAME): value for key, value in state.items() if key.startswith(_NAME)}
    model.transformer.prefix_encoder.load_state_dict(weights)
    return Recorded(name, base, folder(name) / "prefix", found, tensors(name), model)


def save(record: Recorded, folder: Path) -> Path:
    """Write the model with its prefix, and its tokenizer, as one checkpoint."""
    record.model.save_pretrained(folder)
    for name in record.model.config.architecture.tokenizer_files:
        if (record.base / name).exists():
            (folder / name).write_bytes((record.base / name).read_bytes())
    return folder
