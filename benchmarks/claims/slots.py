"""Tokens a second of several requests at once over those of one after the other."""

import time

import fastglm
from benchmarks.measure import statistics
from benchmarks.measure.bounds import ClaimedFigure, times
from benchmarks.measure.statistics import Estimate
from benchmarks.run.isolated import apart
from benchmarks.run.progress import Reporter
from benchmarks.run.workload import prompts
from fastglm.engine.compile.prepare import finish_several
from fastglm.generation.streams import Streams
from fastglm.progress.progress import OnProgress, Progress

MODEL, VARIANT = "shape:chatglm-6b@5", "int4"
PROMPT, ANSWER = 32, 32  # tokens
LEAST = {4: 2.0, 8: 2.5}  # by the number of requests at once
PROMISED = "int4, shape:chatglm-6b@5: four requests at once 2 × the tokens/s of one after the other, eight 2.5 ×"


def requests_at_once(reporter: Reporter) -> list[ClaimedFigure]:
    """Four and eight requests that share the steps of one model."""
    found = apart(side_by_side, reporter, MODEL, VARIANT, tuple(LEAST), 5)
    return [times(found[count], f"{count} requests", least=least) for count, least in LEAST.items()]


def side_by_side(
    progress: OnProgress, model_name: str, variant: str, counts: tuple[int, ...], repeats: int
) -> dict[int, Estimate]:
    """The time of so many requests one after the other over their time at once, in turn, by their number."""
    model, tokenizer = fastglm.load(model_name, variant, "cpu", progress=progress)
    finish_several(model)
    asked = prompts(tokenizer, PROMPT, max(counts))
    ratios: dict[int, list[float]] = {count: [] for count in counts}
    for number in range(repeats + 1):
        progress(Progress("requests one after the other and at once", number, repeats + 1))
        for count, found in ratios.items():
            one_by_one = sum(_seconds(model, tokenizer, [prompt]) for prompt in asked[:count])
            found.append(one_by_one / _seconds(model, tokenizer, asked[:count]))
    return {count: statistics.median(found[1:]) for count, found in ratios.items()}  # the first is the warm-up


def _seconds(model: object, tokenizer: object, asked: list[list[int]]) -> float:
    """The time to answer some prompts at once."""
    streams = Streams(model, tokenizer)
    began = time.perf_counter()
    for id, prompt in enumerate(asked):
        streams.add(id, prompt, max_new_tokens=ANSWER, do_sample=False, ignore_eos=True)
    while streams.busy:
        streams.step()
    return time.perf_counter() - began
