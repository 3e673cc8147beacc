"""Checks against growth: of a step's time with the context, and of memory with the number of chats."""

import gc
from itertools import islice
from typing import Any

import fastglm
from benchmarks.measure import statistics
from benchmarks.measure.bounds import ClaimedFigure, times
from benchmarks.measure.statistics import Estimate
from benchmarks.run.isolated import apart
from benchmarks.run.progress import Reporter
from benchmarks.run.questions import held_out
from benchmarks.run.workload import prompts
from fastglm.progress.progress import OnProgress, Progress
from fastglm.system.memory import MemoryMeter

SHORT = 128  # tokens of context at the end of an answer
ANSWER = 32  # tokens
EARLY, CHATS = 100, 1000  # numbers of chats after which memory is read
ROOM = 8 * 2**20  # allowed growth in bytes


def step_in_long_context(reporter: Reporter) -> list[ClaimedFigure]:
    """Compare steps in contexts of different length, with `int4`: its weights take the least time, so the cache's share
    shows most.
    """
    return [times(apart(context_ratio, reporter, "shape:chatglm-6b@5", "int4", 2048, 7), most=1.25)]


def step_in_longest_context(reporter: Reporter) -> list[ClaimedFigure]:
    """Compare steps of a model whose heads share keys in contexts of different length, with `int4`."""
    return [times(apart(context_ratio, reporter, "shape:chatglm3-6b@5", "int4", 8192, 5), most=1.35)]


def memory_of_chats(reporter: Reporter) -> list[ClaimedFigure]:
    """Memory over many chats: `fast` on the demo model; every third chat is stopped midway."""
    return [ClaimedFigure(apart(memory_grown, reporter, "demo", CHATS), "bytes", most=ROOM)]


def context_ratio(progress: OnProgress, model_name: str, variant: str, long_context: int, repeats: int) -> Estimate:
    """Seconds per token at the end of a long context relative to a short one, in turn, pair by pair."""
    loaded = fastglm.load(model_name, variant, "cpu", cache="int8", progress=progress)
    asked = [prompts(loaded[1], context - ANSWER, repeats + 1) for context in (SHORT, long_context)]
    settings: dict[str, Any] = {"max_new_tokens": ANSWER, "do_sample": False, "ignore_eos": True}
    ratios = []
    for number, pair in enumerate(zip(*asked, strict=True)):
        progress(Progress(f"{SHORT} and {long_context} tokens of context in turn", number, repeats + 1))
        short, long = (
            [piece.time for piece in fastglm.stream(*loaded, prompt, owner=None, **settings)] for prompt in pair
        )
        ratios.append((long[-1] - long[0]) / (short[-1] - short[0]))
    return statistics.median(ratios[1:])  # the first repeat is the warm-up


def memory_grown(progress: OnProgress, model_name: str, chats: int) -> int:
    """Bytes of resident memory after all chats, above those after the first tenth of them."""
    loaded = fastglm.load(model_name, "fast", "cpu", progress=progress)
    questions, meter = held_out(4), MemoryMeter("cpu", 0)
    found = []
    for number in range(chats):
        question = questions[number % len(questions)]
        pieces = fastglm.stream(*loaded, question.text.prompt, question.text.history, max_new_tokens=8, seed=number)
        list(islice(pieces, 2 if number % 3 else None))
        if number + 1 in (chats * EARLY // CHATS, chats):
            gc.collect()
            found.append(meter.read().current)
        progress(Progress("chats", number + 1, chats))
    return found[1] - found[0]
