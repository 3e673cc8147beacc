"""What a variant is, and the list of them."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from .errors import UsageError
from .hardware import DeviceCard


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run a model: the format of its weights (None: as published), the engine, and what bitsandbytes makes of
    the linear layers where it runs them."""

    name: str
    weight_format: str | None
    engine: Literal["eager", "fast"]
    summary: str
    bitsandbytes: Literal["int8", "nf4"] | None = None

    @property
    def quantises(self) -> bool:
        """Whether its weights are fewer bits than the checkpoint's."""
        return bool(self.weight_format or self.bitsandbytes)


@dataclass(frozen=True, slots=True)
class Offer:
    """A variant on a device: why it cannot run there (`reason`), or what to know about it (`note`)."""

    name: str
    summary: str
    reason: str | None = None
    note: str | None = None


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("original", None, "eager", "weights as published, transformers' generate: the baseline"),
        Variant("fast", None, "fast", "weights as published, the fast engine: same answers"),
        Variant("int8", "int8", "fast", "int8 weights, one scale per output channel: near-lossless"),
        Variant("int4", "int4-g128", "fast", "int4 weights in groups of 128, head and embedding too: for small cards"),
        Variant("bnb-int8", None, "eager", "int8 by bitsandbytes (LLM.int8()), transformers' generate", "int8"),
        Variant("bnb-nf4", None, "eager", "4-bit by bitsandbytes (nf4), transformers' generate", "nf4"),
    )
}
# What is measured unless others are asked for: no package more, and of use on every device.
USUAL = tuple(variant.name for variant in VARIANTS.values() if not variant.bitsandbytes)
BITSANDBYTES_ON_CPU = "on most CPUs bitsandbytes unpacks its weights for every token: small, not fast"


def get_variant(name: str) -> Variant:
    """The variant of a name. Raises UsageError, listing the names, where there is none."""
    if name not in VARIANTS:
        raise UsageError(f"Unknown variant {name!r}; known are {', '.join(VARIANTS)}.")
    return VARIANTS[name]


def offers(card: DeviceCard, quantised: bool = False) -> list[Offer]:
    """Every variant with what there is to say of it on a device.

    Args:
        quantised: whether the model's checkpoint is quantised already, as the published int8 and int4 ones are.
    """
    return [_offer(variant, card, quantised) for variant in VARIANTS.values()]


def _offer(variant: Variant, card: DeviceCard, quantised: bool) -> Offer:
    reason = note = None
    if variant.quantises and quantised:
        reason = "the checkpoint is quantised already: run it as original or fast"
    elif (variant.weight_format or "").startswith("int4"):
        note = _int4_note(card)
    elif variant.bitsandbytes:
        reason = bitsandbytes_reason(card.kind)
        note = BITSANDBYTES_ON_CPU if card.kind == "cpu" else None
    return Offer(variant.name, variant.summary, reason, note)


def bitsandbytes_reason(kind: str) -> str | None:
    """Why bitsandbytes cannot run on a kind of device (cpu, cuda, mps); None where it can."""
    if kind not in ("cpu", "cuda"):
        return "runs on CUDA and on CPUs only: use --device cpu"
    if find_spec("bitsandbytes") is None:
        return "needs bitsandbytes: pip install 'fastglm[bitsandbytes]'"
    return None


def _int4_note(card: DeviceCard) -> str | None:
    if card.kind == "cuda" and card.compute_capability and tuple(map(int, card.compute_capability.split("."))) < (8, 0):
        return f"this card (compute capability {card.compute_capability}) runs int4 on the slower reference path"
    if card.kind == "cpu" and card.simd not in ("AVX512", None):
        return f"with {card.simd} int4 is limited by arithmetic, not memory: int8 may be faster"
    return None
