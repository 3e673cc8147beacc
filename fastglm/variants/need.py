"""Memory that a variant needs, predicted from the facts of its model before anything is downloaded or loaded."""

from dataclasses import dataclass, replace
from typing import Self

from ..capacity import whole_steps
from ..compress.configs import packed_config
from ..compress.recipe import find_recipe
from ..compress.size import predict_size
from ..errors import UsageError
from ..models.facts import ModelFacts
from .variants import VARIANTS, Variant

CARDS = (4, 6, 8, 12, 16, 24)  # GiB, as cards are sold
FREE = 0.9  # share of a card that is left beside its driver and PyTorch, as the advice on variants counts it too
_PART = 512  # tokens of a prompt whose intermediates exist at the same time
_WIDTHS = 4  # intermediates as wide as an MLP; the mask's part is another


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes for one conversation."""

    weights: int
    cache: int  # keys and values
    work: int  # beside them, at most, while a prompt as long as the context is read

    @property
    def total(self) -> int:
        """All bytes."""
        return self.weights + self.cache + self.work

    @property
    def card(self) -> int | None:
        """The smallest of `CARDS` that has so much free; None if there is none."""
        return next((card for card in CARDS if self.total <= FREE * card * 2**30), None)

    def __add__(self, other: Self) -> "Need":
        """Both at once; they read prompts one after the other."""
        return Need(self.weights + other.weights, self.cache + other.cache, max(self.work, other.work))


def predict_need(facts: ModelFacts, variant: Variant, context: int, kind: str = "cuda", cache: str = "auto") -> Need:
    """Predict the need of a variant of a model.

    Args:
        facts: those of the checkpoint that variants are made from, which may have a learned prefix.
        context: tokens of prompt and answer together.
        kind: the device: plain weights and activations are fp32 on `cpu`, otherwise fp16.
        cache: format of keys and values: `auto` or `int8`.

    Raises:
        UsageError: the size cannot be predicted, or the model has no such variant.
    """
    if variant.bitsandbytes:
        raise UsageError(f"The size of {variant.name} cannot be predicted: bitsandbytes packs weights its own way.")
    runs = replace(facts, dtype="float32" if kind == "cpu" else "float16")
    if cache != "auto":
        runs.cache_format = cache
    if facts.is_quantized and (variant.quantises or variant.recipe or variant.drafts):
        raise UsageError(f"The model is quantised already, so that it has no {variant.name}.")
    if variant.weight_format:
        runs = packed_config(runs, variant.weight_format, None)
    elif variant.recipe:
        runs = find_recipe(variant.recipe).configs(runs)[-1]
    own = _need(runs, context, 4 if kind == "cpu" else 2, variant)
    if not variant.drafts:
        return own
    return own + predict_need(facts, VARIANTS[variant.drafts[0]], context, kind, cache)


def _need(facts: ModelFacts, context: int, width: int, variant: Variant) -> Need:
    tokens = context + (facts.pre_seq_len or 0)
    held = whole_steps(tokens) if variant.own_engine else tokens
    states, inner = context * facts.hidden, max(facts.inner(layer) for layer in range(facts.layers))
    part = _PART * (_WIDTHS * inner + tokens)
    most = max(facts.prompt_states * states, (facts.prompt_states - 1) * states + part)
    return Need(predict_size(facts).bytes, held * facts.token_bytes(width), context * tokens + width * most)
