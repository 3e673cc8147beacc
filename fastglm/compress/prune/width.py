"""Width pruning: removes the FFN channels and attention heads whose varying part reaches the outputs least.

A channel's importance is the spread of its activation times the norm of its column of the down-projection; a head's is
the root mean square of its spread after the output projection. If that projection has a bias, constant parts are not
lost: their mean contribution goes into the bias (FLAP: An et al., AAAI 2024, arXiv 2312.11983). Query heads that share
keys are removed together with them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...models.architecture import TensorNames
from ...models.facts import LayerShape
from ...models.language_model import BaseBlock
from ...progress.progress import OnProgress
from ...text_files import Text
from ..checkpoint_writer import open_plain
from ..configs import with_widths
from ..size import predict_size
from .edit_layers import Run, State, write_edited
from .report import Pruned


def prune_width(
    source: Path,
    out: Path,
    texts: Sequence[Text],
    channels: float = 1.0,
    heads: float = 1.0,
    progress: OnProgress | None = None,
    device: str = "auto",
) -> Pruned:
    """Write `source` with the same shares of every layer's FFN channels and heads; `out` appears when it is complete.

    Layer by layer, each measured behind the narrower ones before it; one is in memory at a time.
    `details`: the remaining channels and heads of each layer.

    Args:
        channels: share of the FFN channels that stays, above 0 up to 1; rounded to a multiple of 128 if that fits.
        heads: share of the heads that stays; at least one does.

    Raises:
        UsageError: `out` exists, `source` is quantized or 2:4, too few texts, or a share out of range or too large to
        remove anything.
        DiskShortError: the disk has no space for `out`.
        CheckpointError: the checkpoint cannot be read.
        DeviceError: this machine has no such device.
    """
    checkpoint = open_plain(source, out)
    config = checkpoint.config
    smaller = with_widths(config, channels, heads)

    def edit(block: BaseBlock, run: Run, layer: int) -> State:
        return _narrow(checkpoint.names, block, run, smaller.shape(layer))

    write_edited(checkpoint, texts, smaller, edit, out, "narrow layers", device, progress)
    layers = range(config.layers)
    return Pruned(
        f"{1 - channels:.0%} of the FFN channels and {1 - heads:.0%} of the heads removed",
        predict_size(config),
        predict_size(smaller),
        {
            "channels": [smaller.inner(layer) for layer in layers],
            "heads": [smaller.query_heads(layer) for layer in layers],
        },
    )


class _Moments:
    """Means and covariances of activations [tokens, groups, size], within each group."""

    def __init__(self) -> None:
        self.count = 0
        self.sum: Tensor | float = 0.0
        self.products: Tensor | float = 0.0

    def add(self, x: Tensor) -> None:
        """Add activations x: [tokens, groups, size]."""
        x = x.float()
        self.count += len(x)
        self.sum = self.sum + x.sum(0).cpu().double()
        self.products = self.products + torch.einsum("tgi,tgj->gij", x, x).cpu().double()

    @property
    def mean(self) -> Tensor:
        """The means, [groups, size]."""
        return torch.as_tensor(self.sum) / self.count

    @property
    def covariance(self) -> Tensor:
        """The covariances, [groups, size, size]."""
        return torch.as_tensor(self.products) / self.count - self.mean[:, :, None] * self.mean[:, None, :]


def _narrow(names: TensorNames, block: BaseBlock, run: Run, shape: LayerShape) -> State:
    """The block's weights with only its most important channels and heads, on the CPU in fp32."""
    branches = [
        (names.mlp_in, names.mlp_out, block.channel_rows(), shape.inner),
        (names.attention_in, names.attention_out, block.head_rows(), shape.kv_heads),
    ]
    moments = [_Moments() for _ in branches]
    watch: dict[torch.nn.Module, Callable[[Tensor], None]] = {
        block.get_submodule(out): _watcher(found, len(rows[0]))
        for (_, out, rows, _), found in zip(branches, moments, strict=True)
    }
    run(watch)
    state = {name: tensor.cpu().float() for name, tensor in block.state_dict().items()}
    for (inner, outer, rows, count), found in zip(branches, moments, strict=True):
        _keep_best(state, inner, outer, rows, found, count)
    return state


def _watcher(moments: _Moments, groups: int) -> Callable[[Tensor], None]:
    return lambda x: moments.add(x.unflatten(-1, (groups, -1)))


def _keep_best(
    state: State, inner: Sequence[str], outer: str, rows: Sequence[Tensor], moments: _Moments, count: int
) -> None:
    """Cut the matrices `inner` by groups of rows, and `outer` by groups of columns, to the most important ones.

    Args:
        rows: those of each group, [groups, rows], in each of `inner`.
    """
    mean = moments.mean.float()
    columns = state[outer + ".weight"].unflatten(1, mean.shape)  # [outputs, groups, size]
    importance = torch.einsum("ogi,gij,ogj->g", columns, moments.covariance.float(), columns)
    best = importance.topk(count).indices.sort().values
    if outer + ".bias" in state:  # without a bias there is no place for the mean of the removed groups
        gone = torch.ones(len(mean), dtype=torch.bool).index_fill(0, best, False)
        state[outer + ".bias"] = state[outer + ".bias"] + torch.einsum("ogi,gi->o", columns[:, gone], mean[gone])
    state[outer + ".weight"] = columns[:, best].flatten(1)
    for name, owned in zip(inner, rows, strict=True):
        stay = owned.cpu()[best].flatten().sort().values
        for part in (".weight", ".bias"):
            if name + part in state:
                state[name + part] = state[name + part][stay]
