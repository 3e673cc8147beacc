"""The variants of a model on a device: whether each runs there, and remarks."""

from dataclasses import dataclass

from ..models.source import Source
from ..system.devices import DeviceCard
from .resolve import resolve
from .variants import BITSANDBYTES_ON_CPU, VARIANTS, Variant, bitsandbytes_reason


@dataclass(frozen=True, slots=True)
class Offer:
    """A variant on a device: the reason why it cannot run there (`reason`), or a remark (`note`)."""

    name: str
    summary: str
    reason: str | None = None
    note: str | None = None


def offers(card: DeviceCard, source: Source, quantised: bool = False) -> list[Offer]:
    """Every variant of a model with remarks for a device.

    Args:
        quantised: the model's checkpoint is quantized already, as the published int8 and int4 ones are.
    """
    return [_offer(variant, card, source, quantised) for variant in VARIANTS.values()]


def _offer(variant: Variant, card: DeviceCard, source: Source, quantised: bool) -> Offer:
    note = None
    if quantised and (variant.quantises or variant.recipe or variant.drafts):
        reason: str | None = "the checkpoint is quantised already: run it as original or fast"
    elif not (reason := resolve(source, variant).reason):
        if (variant.weight_format or "").startswith("int4"):
            note = _int4_note(card)
        elif variant.bitsandbytes:
            reason = bitsandbytes_reason(card.kind)
            note = BITSANDBYTES_ON_CPU if card.kind == "cpu" else None
    return Offer(variant.name, variant.summary, reason, note)


def _int4_note(card: DeviceCard) -> str | None:
    if card.kind == "cuda" and card.compute_capability and tuple(map(int, card.compute_capability.split("."))) < (8, 0):
        return f"this card (compute capability {card.compute_capability}) runs int4 on the slower reference path"
    if card.kind == "cpu" and card.simd not in ("AVX512", None):
        return f"with {card.simd} int4 is limited by arithmetic, not memory: int8 may be faster"
    return None
