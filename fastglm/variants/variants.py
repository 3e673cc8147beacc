"""What a variant is, and the list of them."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from ..errors import UsageError
from ..models.source import Source
from ..system.devices import DeviceCard
from .compressed import find_made, how_to_make


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run a model: the format of its weights (None: as published), the engine, what bitsandbytes makes of the
    linear layers where it runs them, the recipe of weights that are trained, not made on first use, and the variants
    that can draft for it, the best first."""

    name: str
    weight_format: str | None
    engine: Literal["eager", "fast", "speculative"]
    summary: str
    bitsandbytes: Literal["int8", "nf4"] | None = None
    recipe: str | None = None
    drafts: tuple[str, ...] = ()

    @property
    def quantises(self) -> bool:
        """Whether its weights are fewer bits than the checkpoint's."""
        return bool(self.weight_format or self.bitsandbytes)

    @property
    def own_engine(self) -> bool:
        """Tell whether an engine of this package runs it, with kernels that may round activations."""
        return self.engine != "eager"


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
        Variant("pruned", None, "fast", "a quarter of the weights pruned, healed by distillation", recipe="pruned"),
        Variant("distilled", None, "fast", "a student of less than a third of the weights", recipe="distilled"),
        Variant("turbo", None, "fast", "pruned, distilled, int4: the smallest and fastest", recipe="turbo"),
        Variant(
            "speculative",
            None,
            "speculative",
            "weights as published, a student drafts what they check: same answers, sooner",
            drafts=("turbo", "distilled"),
        ),
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


def offers(card: DeviceCard, source: Source, quantised: bool = False) -> list[Offer]:
    """Every variant of a model with what there is to say of it on a device.

    Args:
        quantised: whether the model's checkpoint is quantised already, as the published int8 and int4 ones are.
    """
    return [_offer(variant, card, source, quantised) for variant in VARIANTS.values()]


def _offer(variant: Variant, card: DeviceCard, source: Source, quantised: bool) -> Offer:
    reason = note = None
    if quantised and (variant.quantises or variant.recipe or variant.drafts):
        reason = "the checkpoint is quantised already: run it as original or fast"
    elif variant.drafts and not find_draft(source, variant):
        reason = draft_reason(source, variant)
    elif variant.recipe and source.kind != "shape" and not find_made(source, variant.recipe):
        reason = how_to_make(source, variant.recipe)
    elif (variant.weight_format or "").startswith("int4"):
        note = _int4_note(card)
    elif variant.bitsandbytes:
        reason = bitsandbytes_reason(card.kind)
        note = BITSANDBYTES_ON_CPU if card.kind == "cpu" else None
    return Offer(variant.name, variant.summary, reason, note)


def find_draft(source: Source, variant: Variant) -> str | None:
    """The best variant that is there to draft; None where none is made."""
    return next((name for name in variant.drafts if source.kind == "shape" or find_made(source, name)), None)


def draft_reason(source: Source, variant: Variant) -> str:
    """Why a variant whose draft is not made cannot run, and the command that makes it."""
    return f"needs {variant.drafts[0]} to draft, which {how_to_make(source, variant.drafts[0])}"


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
