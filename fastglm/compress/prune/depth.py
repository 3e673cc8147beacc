"""Depth pruning: removes the layers that change their input least and whose removal costs the answers least.

Block influence is Men et al.'s (2024, arXiv 2403.03853). A layer with little influence can still matter, so each of the
least influential layers is left out on trial, and the one with the smallest increase of loss is removed; then the next.

No following weights need to change. Where layers add to a residual stream without a norm, a layer that adds nothing
gives its input. In ChatGLM-6B, with `m = LN2(α·LN1(x) + attention)` and `out = α·m + mlp(m)`, a layer that adds nothing
and whose norms are plain gives `α·LN1(x)`; the next layer begins with a norm, for which that equals `x`. The gains of
a removed layer's norms are lost there: a refit of the next norm, channel by channel, regained less than a tenth of the
damage on the demo model.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...evaluate.likelihood import batches_of
from ...models.checkpoint import Checkpoint
from ...models.language_model import BaseBlock
from ...models.layerwise import LayerwiseModel
from ...models.packing import Example
from ...progress.progress import OnProgress, Progress
from ...system.devices import resolve_device
from ...text_files import Text
from ..calibration import calibration_examples
from ..checkpoint_writer import copy_tokenizer, new_folder, open_plain, stored_tensors, write_checkpoint
from ..configs import check_count, without_layers
from ..size import predict_size
from .report import Pruned

CANDIDATES = 4  # least influential layers that are left out on trial before one is removed


def prune_depth(
    source: Path,
    out: Path,
    layers: int,
    texts: Sequence[Text],
    progress: OnProgress | None = None,
    device: str = "auto",
) -> Pruned:
    """Write `source` without `layers` of its layers; `out` appears when it is complete.

    Half of the examples give the influence, the other half the loss. The weights are read once, and once more for every
    removed layer; one layer is in memory at a time, beside the states of the examples on `CANDIDATES` + 1 ways.
    `details`: the removed layers in order, by their numbers in `source`, the influence of each, and the loss in nats
    per token before and after.

    Raises:
        UsageError: `out` exists, `source` is quantized, too few texts, or no layer would be left.
        DiskShortError: the disk has no space for `out`, found before starting.
        CheckpointError: the checkpoint cannot be read.
        DeviceError: this machine has no such device.
    """
    checkpoint = open_plain(source, out)
    config = checkpoint.config
    check_count(config, layers)
    with new_folder(out, checkpoint.size) as folder:
        removed, details = _choose(checkpoint, layers, texts, progress, device)
        smaller = without_layers(config, removed)
        write_checkpoint(folder, smaller, _renumbered(checkpoint, removed, progress))
        copy_tokenizer(source, folder)
    names = ", ".join(map(str, sorted(removed)))
    removal = f"{layers} of {config.layers} layers removed ({names})"
    return Pruned(removal, predict_size(config), predict_size(smaller), details)


def _choose(
    checkpoint: Checkpoint, layers: int, texts: Sequence[Text], progress: OnProgress | None, device: str
) -> tuple[list[int], dict[str, Any]]:
    """The layers to remove, in order, and the details of the report."""
    examples = calibration_examples(checkpoint, texts)
    trials = _Trials(LayerwiseModel(checkpoint, resolve_device(device)), examples[::2], examples[1::2])
    kept = list(range(checkpoint.config.layers))
    removed: list[int] = []

    def run(candidates: Collection[int]) -> dict[int | None, _Trial]:
        before = len(removed) + bool(candidates)

        def on_layer(done: int) -> None:
            if progress:
                progress(Progress("try layers", before + done / len(kept), layers + 1, "passes"))

        return trials.run(kept, candidates, on_layer)

    whole = best = run(())[None]
    while len(removed) < layers:
        candidates = sorted(kept, key=best.influence.__getitem__)[:CANDIDATES]
        found = run(candidates)
        losses = {layer: found[layer].loss for layer in candidates}
        layer = min(losses, key=losses.__getitem__)
        best = found[layer]
        kept.remove(layer)
        removed.append(layer)
    influence = [whole.influence[layer] for layer in range(checkpoint.config.layers)]
    return removed, {"removed": removed, "influence": influence, "loss_before": whole.loss, "loss_after": best.loss}


@dataclass(slots=True)
class _Trial:
    """The position of examples on their way through some of the layers."""

    seen: list[Tensor]  # states of the examples that give the influence
    held: list[Tensor]  # states of the examples that give the loss
    influence: dict[int, float] = field(default_factory=dict)
    loss: float = float("nan")

    def fork(self) -> "_Trial":
        """Copy the position, to continue on another way."""
        return replace(self, seen=list(self.seen), held=list(self.held), influence=dict(self.influence))


class _Trials:
    """Runs through the layers, each with another layer left out."""

    def __init__(self, model: LayerwiseModel, seen: Sequence[Example], held: Sequence[Example]) -> None:
        self.model, config = model, model.checkpoint.config
        self.seen = [batch.to(model.device) for batch in batches_of(seen, config)]
        self.held = [batch.to(model.device) for batch in batches_of(held, config)]
        self.real = [batch.input_ids.ne(config.pad) for batch in self.seen]

    def run(
        self, layers: Sequence[int], candidates: Collection[int], on_layer: Callable[[int], None]
    ) -> dict[int | None, _Trial]:
        """Run without each candidate; without candidates run through all layers, under the key None.

        The runs share the way up to their left-out layers, and every layer's weights.
        """
        trunk = _Trial(self.model.embed(self.seen), self.model.embed(self.held))
        ways: dict[int | None, _Trial] = {} if candidates else {None: trunk}
        waiting = set(candidates)
        for done, layer in enumerate(layers, 1):
            block = self.model.block(layer)
            running = list(ways.values())
            if layer in waiting:
                ways[layer] = trunk.fork()
                waiting.remove(layer)
            if waiting:
                running.append(trunk)
            for way in running:
                self._step(way, layer, block)
            on_layer(done)
        for way in ways.values():
            way.loss = self.model.results(self.held, way.held).losses.mean().item()
            way.seen.clear()  # memory for the next runs
        return ways

    def _step(self, way: _Trial, layer: int, block: BaseBlock) -> None:
        before, way.seen = way.seen, self.model.run(block, self.seen, way.seen)
        way.held = self.model.run(block, self.held, way.held)
        way.influence[layer] = _influence(before, way.seen, self.real)


def _influence(before: Sequence[Tensor], after: Sequence[Tensor], real: Sequence[Tensor]) -> float:
    """1 - the mean cosine between a layer's input and output, over all tokens except padding."""
    cosines = [
        F.cosine_similarity(x[where].float(), y[where].float(), dim=-1)
        for x, y, where in zip(before, after, real, strict=True)
    ]
    return 1 - torch.cat(cosines).mean().item()


def _renumbered(
    checkpoint: Checkpoint, removed: Collection[int], progress: OnProgress | None
) -> Iterator[tuple[str, Tensor]]:
    kept = [layer for layer in range(checkpoint.config.layers) if layer not in removed]
    place = {layer: number for number, layer in enumerate(kept)}
    for name, tensor in stored_tensors(checkpoint, "remove layers", progress):
        layer, rest = checkpoint.names.split(name)
        if layer is None:
            yield name, tensor.clone()
        elif layer in place:
            yield checkpoint.names.layer(place[layer]) + rest, tensor.clone()
