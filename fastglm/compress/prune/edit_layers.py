"""Checkpoints whose layers are changed one by one, each behind the changed ones before it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ...evaluate.likelihood import batches_of
from ...models.base import ModelConfig
from ...models.checkpoint import Checkpoint
from ...models.language_model import BaseBlock
from ...models.layerwise import LayerwiseModel, Watch
from ...models.packing import Batch
from ...progress.progress import OnProgress, Progress
from ...system.devices import resolve_device
from ...text_files import Text
from ..calibration import calibration_examples
from ..checkpoint_writer import copy_tokenizer, new_folder, stored_tensors, write_checkpoint

State = dict[str, Tensor]
Run = Callable[[Watch], object]  # shows the inputs of a block's linear layers, example by example
# From a block, the function that runs it, and its number, to its changed weights on the CPU.
Edit = Callable[[BaseBlock, Run, int], State]


def write_edited(
    checkpoint: Checkpoint,
    texts: Sequence[Text],
    config: ModelConfig,
    edit: Edit,
    out: Path,
    stage: str,
    device: str,
    progress: OnProgress | None,
) -> None:
    """Write a checkpoint with its layers changed by `edit`, and `config`, which describes them.

    Args:
        texts: run through the layers.
    """
    model = LayerwiseModel(checkpoint, resolve_device(device))
    chosen = batches_of(calibration_examples(checkpoint, texts), checkpoint.config)
    batches = [batch.to(model.device) for batch in chosen]
    with new_folder(out, checkpoint.size) as folder:
        write_checkpoint(folder, config, _edited(model, batches, config, edit, stage, progress))
        copy_tokenizer(checkpoint.folder, folder)


def _edited(
    model: LayerwiseModel,
    batches: Sequence[Batch],
    config: ModelConfig,
    edit: Edit,
    stage: str,
    progress: OnProgress | None,
) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in stored_tensors(model.checkpoint, "copy", None):
        if model.checkpoint.names.split(name)[0] is None:
            yield name, tensor.clone()
    states = model.embed(batches)
    for layer in range(config.layers):
        prefix, block = model.checkpoint.names.layer(layer), model.block(layer)
        changed = edit(block, partial(model.run, block, batches, states), layer)
        stored = model.checkpoint.named([prefix + name for name in changed])
        rounded = {name: tensor.to(stored[prefix + name].dtype) for name, tensor in changed.items()}
        with torch.device("meta"):
            block = config.architecture.block_class(config, layer)
        block.load_state_dict({n: t.to(model.device, model.dtype) for n, t in rounded.items()}, assign=True)
        states = model.run(block, batches, states)
        for name, tensor in rounded.items():
            yield prefix + name, tensor
        if progress:
            progress(Progress(stage, layer + 1, config.layers, "layers"))
