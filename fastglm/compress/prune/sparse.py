"""2:4 sparsity: of each 4 consecutive inputs of a linear layer 2 are zero, which sparse tensor cores read at half size.

The zeroed weights are those with the smallest product of size and norm of their input, row by row (Wanda: Sun et al.,
ICLR 2024, arXiv 2306.11695). The zeros are stored among the others, so every device runs the checkpoint; `sparsity` in
its config says that a GPU may compress it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ...models.language_model import BaseBlock
from ...progress.progress import OnProgress
from ...text_files import Text
from ..checkpoint_writer import open_plain
from ..configs import with_sparsity
from ..size import predict_size
from .edit_layers import Run, State, write_edited
from .report import Pruned


def sparsify_24(
    source: Path, out: Path, texts: Sequence[Text], progress: OnProgress | None = None, device: str = "auto"
) -> Pruned:
    """Write `source` with half of the weights of every layer's matrices zero; `out` appears when it is complete.

    Layer by layer, each measured behind the sparse ones before it; one is in memory at a time. Embedding and head stay
    unchanged.

    Raises:
        UsageError: `out` exists, `source` is quantized or 2:4 already, a width is no multiple of 4, or too few texts.
        DiskShortError: the disk has no space for `out`.
        CheckpointError: the checkpoint cannot be read.
        DeviceError: this machine has no such device.
    """
    checkpoint = open_plain(source, out)
    config = checkpoint.config
    sparse = with_sparsity(config)
    write_edited(checkpoint, texts, sparse, _sparsify, out, "make 2:4 sparse", device, progress)
    return Pruned("half of the layers' weights made zero, 2 of each 4", predict_size(config), predict_size(sparse))


def mask_24(weight: Tensor, norms: Tensor) -> Tensor:
    """True for weights that stay: in each 4 of a row, the 2 with the largest product of size and norm of their input.

    Args:
        weight: [rows, columns], columns a multiple of 4.
        norms: [columns], of the inputs.
    """
    importance = (weight.abs() * norms).unflatten(-1, (-1, 4))
    best = importance.topk(2, -1).indices
    return torch.zeros_like(importance, dtype=torch.bool).scatter(-1, best, True).flatten(-2)


def _sparsify(block: BaseBlock, run: Run, _: int) -> State:
    """The block's weights with the masks applied, on the CPU in fp32."""
    squares: dict[str, Tensor] = {}

    def watcher(name: str) -> Callable[[Tensor], None]:
        def see(x: Tensor) -> None:
            squares[name] = squares.get(name, 0) + x.float().square().sum(0)

        return see

    linear = {name: module for name, module in block.named_modules() if isinstance(module, nn.Linear)}
    run({module: watcher(name) for name, module in linear.items()})
    state = {name: tensor.cpu().float() for name, tensor in block.state_dict().items()}
    for name, square in squares.items():
        weight = state[name + ".weight"]
        state[name + ".weight"] = weight * mask_24(weight, square.sqrt().cpu())
    return state
