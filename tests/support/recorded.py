"""Reference results of the tiny checkpoints, recorded in tests/golden."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"


def folder(name: str) -> Path:
    return GOLDEN / name


def expected(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / name / "expected.json").read_text(encoding="utf-8"))


def tensors(name: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / name / "expected.safetensors")


# Token ids of one recorded prompt.
CASE_IDS = expected("chatglm")["generate"][1]["input_ids"]
