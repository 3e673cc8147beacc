"""Memory of variants: as measured by a run, and computed from it for other contexts and batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dashboard.results import results
from dashboard.results.card_fit import facts_of
from fastglm.capacity import STEP, capacity_after
from fastglm.variants.need import CARDS
from fastglm.variants.variants import VARIANTS

LONGEST = 1 << 20  # largest context of a chart in tokens, whatever a config or a run says
PUBLISHED = 2048  # tokens of ChatGLM-6B's context, the shortest in the family


@dataclass(frozen=True, slots=True)
class Need:
    """A variant's memory with its longest prompt, in bytes, and the growth of its cache."""

    variant: str
    weights: float
    cache: float = 0.0
    rest: float = 0.0  # bytes of the peak beside weights and cache
    token: float = 0.0  # bytes of cache per token; 0 if no answer was measured
    step: int = 1  # tokens by which the cache grows
    prefix: int = 0  # tokens of a learned prefix, in the cache of each sequence

    @property
    def parts(self) -> tuple[float, float, float]:
        """Weights, cache, the rest."""
        return self.weights, self.cache, self.rest

    def at(self, context: int, batch: int) -> float:
        """Bytes for `batch` sequences of `context` tokens."""
        tokens = -(-(self.prefix + context) // self.step) * self.step
        return self.weights + self.rest + batch * self.token * tokens

    def longest(self, memory: float, batch: int) -> int:
        """The largest number of tokens that each of `batch` sequences can have in `memory` bytes."""
        steps = (memory - self.weights - self.rest) // (batch * self.token * self.step)
        return max(int(steps) * self.step - self.prefix, 0)


def needs(rows: pd.DataFrame, prefix: int = 0) -> dict[str, Need]:
    """The needs of every variant with known weights.

    Args:
        rows: those of a run, without failures.
        prefix: tokens of a learned prefix, whose keys and values each answer has too.
    """
    known = rows["variant"][rows["metric"] == "weights_memory"]
    return {variant: _need(variant, rows[rows["variant"] == variant], prefix) for variant in known}


def peaks(rows: pd.DataFrame) -> pd.DataFrame:
    """Measured peaks while answering: variant, x (tokens of prompt and answer) and value (bytes)."""
    part = rows[(rows["metric"] == "peak_memory") & (results.param(rows, "during") == "answer")]
    prompts, answers = (results.count(part, name) for name in ("prompt_tokens", "answer_tokens"))
    return part.assign(x=prompts + answers)[["variant", "x", "value"]].dropna()


def lines(found: Sequence[Need], limit: int, batch: int) -> pd.DataFrame:
    """Computed memory up to `limit` tokens: variant, x (tokens) and value (bytes); both ends of every step."""
    tokens = [x for full in range(0, limit, STEP) for x in (full + 1, min(full + STEP, limit))]
    points = [(need.variant, x, need.at(x, batch)) for need in found for x in tokens]
    return pd.DataFrame(points, columns=["variant", "x", "value"])


def fit(found: Sequence[Need], context: int, batch: int, limit: int, total: int | None) -> pd.DataFrame:
    """A row per variant: need (bytes at this context and batch), token (bytes), and if the card's `total` bytes are
    known, whether it fits and its longest possible context, at most `limit`.
    """
    rows = []
    for need in found:
        bytes_needed = need.at(context, batch)
        fits, longest = (None, None) if total is None else (bytes_needed <= total, need.longest(total, batch))
        rows.append((need.variant, bytes_needed, need.token, fits, None if longest is None else min(longest, limit)))
    return pd.DataFrame(rows, columns=["variant", "need", "token", "fits", "longest"])


def cards_in_view(top: float) -> list[int]:
    """The cards, in GB, on a chart up to `top` bytes: all below, and the next one if it is not far above."""
    return [card for i, card in enumerate(CARDS) if card * 1e9 <= 2 * top and (i == 0 or CARDS[i - 1] * 1e9 < top)]


def out_of_memory(rows: pd.DataFrame) -> list[str]:
    """The variants that ran out of memory during the measurement."""
    failed = rows[rows["metric"] == "failure"]
    reason = {"suite": "memory", "kind": "MemoryShortError"}
    pairs = zip(failed["variant"], failed["params"], strict=True)
    return [variant for variant, params in pairs if reason.items() <= params.items()]


def context_of(model: str) -> int:
    """The context of a model in tokens; `PUBLISHED` if neither a model on this machine nor a size of its name tells."""
    facts = facts_of(model)
    return min(facts.context, LONGEST) if facts else PUBLISHED


def prefix_of(model: str) -> int:
    """The number of tokens of a model's learned prefix; 0 if it has none, or is not on this machine."""
    facts = facts_of(model)
    return facts.pre_seq_len or 0 if facts else 0


def _need(variant: str, rows: pd.DataFrame, prefix: int) -> Need:
    weights = float(rows["value"][rows["metric"] == "weights_memory"].iloc[0])
    answers = rows[(rows["metric"] == "cache_memory") & (results.count(rows, "prompt_tokens") > 0)]
    answers = answers[results.count(answers, "answer_tokens") > 0].to_dict("records")
    if not answers:
        return Need(variant, weights)
    longest = max(answers, key=lambda row: row["params"]["prompt_tokens"])
    params, cache = longest["params"], float(longest["value"])
    peaks = [row["value"] for row in rows.to_dict("records") if row["params"] == {"during": "answer", **params}]
    is_fast = variant in VARIANTS and VARIANTS[variant].engine != "eager"
    prompt, answer = params["prompt_tokens"], params["answer_tokens"]
    token = cache / (capacity_after(prompt, answer, prefix) if is_fast else prompt + answer + prefix)
    rest = max([0.0, *(peak - weights - cache for peak in peaks)])
    return Need(variant, weights, cache, rest, token, STEP if is_fast else 1, prefix)
