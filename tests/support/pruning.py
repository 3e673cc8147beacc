"""Helpers for tests of pruning: texts, a tiny checkpoint with some weights changed, and its logits."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from recorded import folder
from safetensors.torch import load_file
from torch import Tensor

import fastglm
from fastglm.compress.calibration import calibration_examples
from fastglm.compress.prune import Pruned
from fastglm.evaluate.likelihood import batches_of
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.packing import Batch
from fastglm.text_files import Text

SOURCE = folder("chatglm")
TEXTS = [Text([], f"{i}加{i + 1}等于多少？", f"{i}+{i + 1}={2 * i + 1}。") for i in range(40)]
LAYERS = 3
LAYER = "transformer.layers.{}."


def changed_copy(to: Path, change: Callable[[dict[str, Tensor]], None], **fields: object) -> Path:
    """Copy the tiny checkpoint and change its weights in place, and fields of its config."""
    shutil.copytree(SOURCE, to)
    state = torch.load(to / "pytorch_model.bin", weights_only=True)
    change(state)
    torch.save(state, to / "pytorch_model.bin")
    config = json.loads((to / "config.json").read_text()) | fields
    (to / "config.json").write_text(json.dumps(config))
    return to


def stored(path: Path) -> dict[str, Tensor]:
    """All tensors of a folder."""
    return {name: tensor for shard in sorted(path.glob("*.safetensors")) for name, tensor in load_file(shard).items()}


def layerwise(path: Path) -> tuple[LayerwiseModel, list[Batch]]:
    """A checkpoint layer by layer, and all examples of the texts."""
    checkpoint = Checkpoint(path)
    examples = calibration_examples(checkpoint, TEXTS)
    return LayerwiseModel(checkpoint, torch.device("cpu")), list(batches_of(examples, checkpoint.config))


@torch.inference_mode()
def logits(path: Path, dtype: torch.dtype = torch.float32) -> Tensor:
    """Logits of a text and its answer."""
    model, tokenizer = fastglm.load(str(path), device="cpu")
    model.to(dtype)
    ids = tokenizer.encode_message("你好，3加4等于多少？") + tokenizer.encode("3+4=7。", add_special_tokens=False)
    return model(torch.tensor([ids])).logits[0]


def check_prediction(report: Pruned, out: Path) -> None:
    """Check the report's prediction against the folder's content."""
    tensors = stored(out)
    assert report.after.parameters == sum(tensor.numel() for tensor in tensors.values())
    assert report.after.bytes == sum(tensor.nbytes for tensor in tensors.values())
    assert report.after.read < report.before.read
    assert report.speedup > 1
    assert report.removed in report.as_text()
