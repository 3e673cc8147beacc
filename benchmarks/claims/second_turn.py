"""The time to the first token of a conversation's second turn, over that of a cold start."""

from typing import Any

import fastglm
from benchmarks.measure import statistics
from benchmarks.measure.bounds import ClaimedFigure, times
from benchmarks.measure.statistics import Estimate
from benchmarks.run.isolated import apart
from benchmarks.run.progress import Reporter
from benchmarks.run.workload import prompts
from fastglm.errors import FastGLMError
from fastglm.progress.progress import OnProgress, Progress

MODEL, VARIANTS = "shape:chatglm3-6b@5", ("fast", "int4")
BEFORE, ANSWER, NEW = 1000, 32, 32  # tokens of the first turn with its answer, of each answer, of the second question
PROMISED = "second turn after 1,000 tokens, shape:chatglm3-6b@5: first token in 0.25 × the time of a cold start at most"


def promise(reporter: Reporter) -> list[ClaimedFigure]:
    """Compare the second turn with a cold start, for plain and for packed weights."""
    return [times(apart(second_over_cold, reporter, MODEL, variant, 7), variant, most=0.25) for variant in VARIANTS]


def second_over_cold(
    progress: OnProgress, model_name: str, variant: str, repeats: int, before: int = BEFORE
) -> Estimate:
    """The time to the first token of a second turn relative to that of the same prompt in a cold start, in turn, pair
    by pair. `before`: tokens of the first turn.

    Raises `FastGLMError` if the second turn reads what the first has read, or the cold start does not.
    """
    loaded = fastglm.load(model_name, variant, "cpu", progress=progress)
    ratios = []
    for number, prompt in enumerate(prompts(loaded[1], before - ANSWER, repeats + 1)):
        progress(Progress("second turns and cold starts in turn", number, repeats + 1))
        first = _pieces(loaded, prompt, "reader")
        second = [*prompt, *(piece.token for piece in first), *prompt[-NEW:]]
        warm, cold = _pieces(loaded, second, "reader")[0], _pieces(loaded, second, None)[0]
        if (warm.reused_tokens, cold.reused_tokens) != (before - 1, 0):
            reused = f"{warm.reused_tokens} and {cold.reused_tokens}"
            raise FastGLMError(f"{reused} tokens were not read again in a second turn and a cold start")
        ratios.append(warm.ttft / cold.ttft)
    return statistics.median(ratios[1:])  # the first is the warm-up


def _pieces(loaded: tuple[object, object], prompt: list[int], owner: str | None) -> list[fastglm.Piece]:
    settings: dict[str, Any] = {"max_new_tokens": ANSWER, "do_sample": False, "ignore_eos": True}
    return list(fastglm.stream(*loaded, prompt, owner=owner, **settings))
