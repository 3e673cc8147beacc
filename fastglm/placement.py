"""Placement of layers on several cards when one card is too small.

The layers follow each other from card to card. The last card also holds embedding and head, which are one matrix in
most checkpoints; so a token is drawn and looked up on the same card, and only hidden states move between cards.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Entries = dict[int, torch.device]  # the first layer of each stage and its device, in the order of the layers

Stage = tuple[range, torch.device]  # number of layers, and their device

_HALVINGS = 20  # precision of the share that is searched for


def plan(layers: Sequence[int], ends: int, free: Sequence[tuple[torch.device, int]], fewest: int = 1) -> Entries | None:
    """Find the stages on as few cards as can hold the model, the first ones, each filled to about the same share of its
    free memory.

    A card without room for a layer is left out. The last card must hold at least one layer.

    Args:
        layers: bytes of each layer with its keys and values.
        ends: bytes of embedding, final norm and head.
        free: the cards in their order, with free bytes.
        fewest: the least number of cards to use.

    Returns:
        None if all cards together cannot hold the model.
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
    """The stages of a number of layers; empty without entries."""
    ends = [*entries, layers][1:] if entries else []
    return [(range(first, end), device) for (first, device), end in zip(entries.items(), ends, strict=True)]


def moved(
    device: torch.device, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None
) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor | None]:
    """Move a layer's inputs to its device."""
    cos, sin = rotation
    return x.to(device), (cos.to(device), sin.to(device)), None if mask is None else mask.to(device)


def _filled(layers: Sequence[int], ends: int, free: Sequence[tuple[torch.device, int]], share: float) -> Entries | None:
    """Fill the cards one after another up to a share of their free memory; None if layers are left over."""
    entries: Entries = {}
    layer = 0
    for number, (device, room) in enumerate(free):
        is_last = number == len(free) - 1
        left = share * room - (ends if is_last else 0)
        first = layer
        # The last card must have the last layer.
        while layer < len(layers) - (not is_last) and layers[layer] <= left:
            left -= layers[layer]
            layer += 1
        if layer > first:
            entries[first] = device
    return entries if layer == len(layers) else None
