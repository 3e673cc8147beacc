"""The definition of a variant, and the list of all."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from ..errors import UsageError


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run a model: the format of its weights (None: as published), the engine, the form of linear layers under
    bitsandbytes, the recipe of trained weights that are not made on first use, and the variants that can draft for
    it, best first.
    """

    name: str
    weight_format: str | None
    engine: Literal["eager", "fast", "speculative"]
    summary: str
    bitsandbytes: Literal["int8", "nf4"] | None = None
    recipe: str | None = None
    drafts: tuple[str, ...] = ()

    @property
    def quantises(self) -> bool:
        """Tell whether its weights have fewer bits than the checkpoint's."""
        return bool(self.weight_format or self.bitsandbytes)

    @property
    def own_engine(self) -> bool:
        """Tell whether an engine of this package runs it, with kernels that may round activations."""
        return self.engine != "eager"


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
# The variants measured by default: they need no further package, and suit every device.
USUAL = tuple(variant.name for variant in VARIANTS.values() if not variant.bitsandbytes)
BITSANDBYTES_ON_CPU = "on most CPUs bitsandbytes unpacks its weights for every token: small, not fast"


def get_variant(name: str) -> Variant:
    """Find a variant by name. Raises UsageError with a list of names if there is none."""
    if name not in VARIANTS:
        raise UsageError(f"Unknown variant {name!r}; known are {', '.join(VARIANTS)}.")
    return VARIANTS[name]


def bitsandbytes_reason(kind: str) -> str | None:
    """The reason why bitsandbytes cannot run on a kind of device (cpu, cuda, mps); None if it can."""
    if kind not in ("cpu", "cuda"):
        return "runs on CUDA and on CPUs only: use --device cpu"
    if find_spec("bitsandbytes") is None:
        return "needs bitsandbytes: pip install 'fastglm[bitsandbytes]'"
    return None
