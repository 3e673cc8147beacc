"""Helpers for tests of pruning: texts, a tiny checkpoint with some weights changed, and its logits."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from recorded import folder
from safetensors.torch import load_file
from spoil import config, several, weights
from torch import Tensor, nn

import fastglm
from fastglm.compress.calibration import calibration_examples
from fastglm.compress.prune import Pruned
from fastglm.compress.prune.width import _narrow
from fastglm.evaluate.likelihood import batches_of
from fastglm.models.architecture import TensorNames
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.facts import LayerShape
from fastglm.models.language_model import BaseBlock
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
    several(weights(change), config(**fields))(to)
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


def check_narrowing(
    names: TensorNames, block: BaseBlock, narrow: BaseBlock, shape: LayerShape, x: Tensor, *inputs: Any
) -> None:
    """Check that a block of a smaller shape gives the same with the parts that it can hold."""

    def run(watch: dict[nn.Module, Any]) -> None:
        hooks = [m.register_forward_pre_hook(lambda _, given, see=see: see(given[0][0])) for m, see in watch.items()]
        block(x, *inputs)
        for hook in hooks:
            hook.remove()

    narrow.load_state_dict(_narrow(names, block, run, shape))
    torch.testing.assert_close(narrow(x, *inputs), block(x, *inputs))
