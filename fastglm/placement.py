"""Which layers of a model go to which card, where one card is not enough.

The layers follow each other from card to card. The last card also holds embedding and head, which are one matrix in
most checkpoints, so that a token is drawn and looked up on the same card, and only hidden states go between cards.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Entries = dict[int, torch.device]  # from the first layer of each stage to its device, in the order of the layers

Stage = tuple[range, torch.device]  # layers and their device

_HALVINGS = 20  # of what is still unknown of the share


def plan(layers: Sequence[int], ends: int, free: Sequence[tuple[torch.device, int]], fewest: int = 1) -> Entries | None:
    """The stages on as few cards as hold them, the first ones, each filled to about the same share of what it has free.

    A card that has no room for a layer is left out, but for the last, which must hold one at least.

    Args:
        layers: bytes of each, with its keys and values.
        ends: bytes of embedding, final norm and head.
        free: the cards in their order, and the bytes that each has free.
        fewest: cards to use.

    Returns:
        None where all cards together do not hold it.
    """
    for count in range(fewest, len(free) + 1):
        low, high = 0.0, 1.0
        found = _filled(layers, ends, free[:count], high)
        if found is None:
            continue
        for _ in range(_HALVINGS):
            share = (low + high) / 2
            if (fuller := _filled(layers, ends, free[:count], share)) is None:
                low = share
            else:
                high, found = share, fuller
        return found
    return None


def stages_of(entries: Entries, layers: int) -> list[Stage]:
    """The stages of so many layers; none where there are no entries."""
    ends = [*entries, layers][1:] if entries else []
    return [(range(first, end), device) for (first, device), end in zip(entries.items(), ends, strict=True)]


def moved(
    device: torch.device, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None
) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor | None]:
    """What a layer takes, on its device."""
    cos, sin = rotation
    return x.to(device), (cos.to(device), sin.to(device)), None if mask is None else mask.to(device)


def _filled(layers: Sequence[int], ends: int, free: Sequence[tuple[torch.device, int]], share: float) -> Entries | None:
    """Cards filled one after the other up to a share of what they have free; None where something is left."""
    entries: Entries = {}
    layer = 0
    for number, (device, room) in enumerate(free):
        is_last = number == len(free) - 1
        left = share * room - (ends if is_last else 0)
        first = layer
        # The last layer is the last card's.
        while layer < len(layers) - (not is_last) and layers[layer] <= left:
            left -= layers[layer]
            layer += 1
        if layer > first:
            entries[first] = device
    return entries if layer == len(layers) else None
