"""Remarks that weaken figures: as data, and in English for files; pages have their own texts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ENGLISH = {
    "status": "the run is {status}: it may hold less than was asked for",
    "busy": "other programs take {share:.0%} of the processors: times measured now cannot be trusted",
    "blocks": "the variants were measured in blocks, not in turn: a drift of the machine is not cancelled",
    "streamed": "there was no room for {variant}: its answers were computed layer by layer or elsewhere ({made})",
    "exact": "perplexity, KL and likeliest tokens are in exact arithmetic: only the weights' error shows ({variants}); "
    "answers ran as decoding does",
    "decoding": "perplexity, KL and likeliest tokens are in the arithmetic of decoding: the rounding of activations "
    "counts too ({variants})",
    "lower-bound": "KL is a lower bound, measured to be 22 to 33 % too low: "
    "only the 64 best logits of a token were kept",
    "few": "{repeats} repeats: intervals from fewer than {enough} say little",
    "budget": "the time for repeats was used up after {repeats}: intervals are wider than the ± {wanted:.1%} wanted",
    "maximum": "{repeats} repeats are the most there may be: intervals are wider than the ± {wanted:.1%} wanted",
    "one-process": "each variant ran in one process: two of the same differ by 1 to 2 % where a model is small",
    "noise-other_load": "noisy: other programs took {mean:.0%} of the processors while it ran, {most:.0%} at most",
    "noise-memory_short": "noisy: only {free:.2g} of {total:.2g} bytes of memory were free at times",
    "noise-throttled": "noisy: the processor was throttled for heat {events} times",
    "noise-clock_limited": "noisy: the system allows only {share:.0%} of the processor's highest clock",
    "noise-gpu_slowed": "noisy: the GPU was slowed to stay within its power or temperature",
    "noise-drift": "noisy: the second half of the repeats differs by {by:+.1%} from the first",
    "noise-spread": "noisy: repeats of the same scatter by {largest:.0%}",
    "noise-warm_up": "noisy: the warm-up ended while answers still got faster",
    "differ": "the runs differ in {what}: {one} → {other}",
    "starts": "what differs from one start to the next (memory layout, temperature) is not in the interval of two runs",
    "bound-left-out": "KL is left out: one of the runs has a lower bound only, so that the two do not compare",
    "vocabulary-left-out": "perplexity of {variant} is left out: the vocabularies differ; bits per byte take its place",
    "unknown": "{metric} is not known to this version: update FAST-ChatGLM to compare it",
    "left-out": "{metric} of {variant} is left out: it has zeros, or no repeat that both have",
    "single": "one repeat says nothing of the spread: such lines stay undecided",
    "alone": "each line is judged alone: where nothing differs, about 1 in 20 is called better or worse",
    "failed-in-b": "{variant}: {suite} failed in B only: {error}",
}


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence of `ENGLISH` and its values; `run` names one of two runs if the sentence is about one."""

    key: str
    values: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""

    def __str__(self) -> str:
        """The sentence in English."""
        about = f"{self.run}: " if self.run else ""
        return about + ENGLISH[self.key].format(**self.values)
