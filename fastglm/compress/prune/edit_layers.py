"""Checkpoints whose layers are changed one by one, each behind the changed ones before it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from ...models.chatglm.block import Block
from ...models.chatglm.config import ChatGLM6BConfig
from ...models.checkpoint import LAYER
from ...progress.progress import OnProgress, Progress
from ..checkpoint_writer import copy_tokenizer, new_folder, split_name, stored_tensors, write_checkpoint
from ..layerwise import Walk

State = dict[str, Tensor]
# From a block, the states before it and its number to its changed weights.
Edit = Callable[[Block, list[Tensor], int], State]


def write_edited(
    walk: Walk, config: ChatGLM6BConfig, edit: Edit, out: Path, stage: str, progress: OnProgress | None
) -> None:
    """Writes the walk's checkpoint with its layers changed by `edit`, and `config`, which describes them."""
    with new_folder(out, walk.checkpoint.size) as folder:
        write_checkpoint(folder, config, _edited(walk, config, edit, stage, progress))
        copy_tokenizer(walk.checkpoint.folder, folder)


def _edited(
    walk: Walk, config: ChatGLM6BConfig, edit: Edit, stage: str, progress: OnProgress | None
) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in stored_tensors(walk.checkpoint, "copy", None):
        if split_name(name)[0] is None:
            yield name, tensor.clone()
    states = walk.embed()
    for layer in range(config.num_layers):
        prefix = LAYER.format(layer)
        changed = edit(walk.block(layer), states, layer)
        stored = walk.checkpoint.named([prefix + name for name in changed])
        rounded = {name: tensor.to(stored[prefix + name].dtype) for name, tensor in changed.items()}
        with torch.device("meta"):
            block = Block(config, layer)
        block.load_state_dict({n: t.to(walk.device, walk.dtype) for n, t in rounded.items()}, assign=True)
        states = walk.run(block, states)
        for name, tensor in rounded.items():
            yield prefix + name, tensor
        if progress:
            progress(Progress(stage, layer + 1, config.num_layers, "layers"))
