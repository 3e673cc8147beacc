"""Width pruning: removes the FFN channels and attention heads whose varying part reaches the outputs least.

A channel's importance is the spread of its activation times the norm of its column of the down-projection; a head's is
the root mean square of its spread after `dense`. Constant parts are not lost: their mean contribution goes into the
bias (FLAP: An et al., AAAI 2024, arXiv 2312.11983).
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor

from ...errors import UsageError
from ...models.chatglm.block import Block
from ...models.chatglm.config import ChatGLM6BConfig
from ...progress.progress import OnProgress
from ...text_files import Text
from ..checkpoint_writer import open_plain
from ..size import predict_size
from .edit_layers import Run, State, write_edited
from .report import Pruned

STEPS = (128, 64, 32, 16, 8, 4, 2, 1)  # multiples for the number of kept channels: the first one that suits a layer


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

    def edit(block: Block, run: Run, layer: int) -> State:
        return _narrow(block, run, smaller.inner(layer), smaller.query_heads(layer))

    write_edited(checkpoint, texts, smaller, edit, out, "narrow layers", device, progress)
    layers = range(config.num_layers)
    return Pruned(
        f"{1 - channels:.0%} of the FFN channels and {1 - heads:.0%} of the heads removed",
        predict_size(config),
        predict_size(smaller),
        {
            "channels": [smaller.inner(layer) for layer in layers],
            "heads": [smaller.query_heads(layer) for layer in layers],
        },
    )


def with_widths(config: ChatGLM6BConfig, channels: float, heads: float) -> ChatGLM6BConfig:
    """The config with these shares of the FFN channels and heads of every layer.

    Raises:
        UsageError: a share that is not above 0 and up to 1, or too large to remove anything, or a config that is 2:4.
    """
    if config.sparsity:
        raise UsageError("The model is 2:4 sparse, which narrower layers would not be: prune it before.")
    for name, share in (("channels", channels), ("heads", heads)):
        if not 0 < share <= 1:
            raise UsageError(f"{name} is {share}: the share to keep is above 0 and up to 1.")
    smaller = deepcopy(config)
    layers = range(config.num_layers)
    smaller.inner_hidden_size = same_or_list([kept(config.inner(layer), channels) for layer in layers])
    smaller.num_attention_heads = same_or_list([max(1, round(config.query_heads(layer) * heads)) for layer in layers])
    if predict_size(smaller) == predict_size(config):
        raise UsageError(
            f"With {channels:.0%} of the channels and {heads:.0%} of the heads nothing is removed: keep fewer."
        )
    return smaller


def kept(width: int, share: float) -> int:
    """A share of a width, as a multiple of the first of `STEPS` that suits it."""
    step = next(step for step in STEPS if step == 1 or (width % step == 0 and width >= 8 * step))
    return max(step, round(width * share / step) * step)


def same_or_list(values: list[int]) -> int | list[int]:
    """A config's value for its layers: one number if they are equal, otherwise a list."""
    return values[0] if len(set(values)) == 1 else values


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


def _narrow(block: Block, run: Run, channels: int, heads: int) -> State:
    """The block's weights with only its most important channels and heads, on the CPU in fp32."""
    down, dense = block.mlp.dense_4h_to_h, block.attention.dense
    of_channels, of_heads = _Moments(), _Moments()
    watch: dict[torch.nn.Module, Callable[[Tensor], None]] = {
        down: lambda x: of_channels.add(x[:, :, None]),
        dense: lambda x: of_heads.add(x.unflatten(-1, (block.attention.heads, -1))),
    }
    run(watch)
    state = {name: tensor.cpu().float() for name, tensor in block.state_dict().items()}
    _keep_best(state, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", of_channels, channels)
    _keep_best(state, "attention.query_key_value", "attention.dense", of_heads, heads)
    return state


def _keep_best(state: State, inner: str, outer: str, moments: _Moments, count: int) -> None:
    """Cut the groups of rows of `inner`, and of columns of `outer`, to the `count` most important ones."""
    mean = moments.mean.float()
    columns = state[outer + ".weight"].unflatten(1, mean.shape)  # [outputs, groups, size]
    importance = torch.einsum("ogi,gij,ogj->g", columns, moments.covariance.float(), columns)
    best = importance.topk(count).indices.sort().values
    gone = torch.ones(len(mean), dtype=torch.bool).index_fill(0, best, False)
    state[outer + ".bias"] = state[outer + ".bias"] + torch.einsum("ogi,gi->o", columns[:, gone], mean[gone])
    state[outer + ".weight"] = columns[:, best].flatten(1)
    for name in (inner + ".weight", inner + ".bias"):
        state[name] = state[name].unflatten(0, (len(mean), -1))[best].flatten(0, 1)
