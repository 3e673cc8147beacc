"""Latency: time to the first token and time between tokens, for answers asked in turn (A B B A …).

A repeat is a new process of every variant with a few answers each, or one answer each if loading takes too long.
"""

import time
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Any

from benchmarks.measure.stopping import Repeats, answers_of_a_process
from benchmarks.measure.warmup import TOKENS, WarmUp, warm_up
from benchmarks.run.host_rotation import Lineup
from benchmarks.run.session import Session
from benchmarks.run.workload import Workload
from fastglm.hosting.host import Host

Figures = dict[str, list[float]]  # figures of an answer, by metric
Gathered = dict[int, list[Figures]]  # answers of a repeat, by prompt length


@dataclass
class Cost:
    """Seconds that all variants take together."""

    loads: dict[str, float] = field(default_factory=dict)  # a load and its warm-up
    answers: dict[str, float] = field(default_factory=dict)  # an answer for each length

    @property
    def load(self) -> float:
        return sum(self.loads.values())

    @property
    def each(self) -> float:
        return sum(self.answers.values())


def steps(workload: Workload) -> int:
    """Loading, a warm-up for each length, and the answers."""
    return 1 + len(workload.prompt_tokens) * (1 + workload.most)


def measure(bench: Session) -> None:
    """Measure `ttft`, `prefill_rate`, `decode_rate` and `decode_latency` of every variant and prompt length, `energy`,
    and `acceptance` if tokens are drafted.
    """
    workload, ended = bench.workload, bench.record.run.settings.get("ended", {}).get("latency")
    count = ended["repeats"] if ended else workload.most  # a resumed run may have enough already
    bench.plan(-_steps(bench, workload.most - count))
    left = _left(bench, count)
    if not left:
        bench.skip(steps(workload) * len(bench.standing) - _steps(bench, workload.most - count))
        return
    bench.skip(_steps(bench, count - len(left)))
    with bench.lineup("interleaved") as lineup:
        cost = Cost()
        for variant in bench.standing:
            bench.attempt(lineup, variant, partial(_prepare, bench, cost))
        bench.arranged(lineup)
        answers = _answers(bench, cost)
        took = cost.load + answers * cost.each if answers else cost.each
        repeats = Repeats(count, workload.repeats, None if ended else workload.precision, took)
        bench.reporter.estimate(took, *repeats.bounds(count - len(left)))
        _repeat(bench, lineup, repeats, left, answers)


def _answers(bench: Session, cost: Cost) -> int | None:
    """The number of answers from each process; None if all repeats share one. A resumed run keeps its first choice."""
    kept = bench.record.run.settings.get("processes", {}).get("latency")
    if kept is None:
        found = answers_of_a_process(cost.load, cost.each, bench.workload.repeats, bench.workload.precision)
        kept = "one" if found is None else found
        bench.found("processes", kept)
    return None if kept == "one" else int(kept)


def _repeat(bench: Session, lineup: Lineup, repeats: Repeats, left: list[int], answers: int | None) -> None:
    """Take turns until there are enough repeats."""
    planned, turns = repeats.count, bench.turns()
    while bench.standing:
        done = repeats.count - len(left)
        if by := repeats.ended(done, lambda: bench.record.widest("decode_rate", bench.standing)):
            bench.plan(_steps(bench, done - planned))
            if by != "count":
                bench.found("ended", repeats.note(by, done))
            return
        expected = repeats.expected(done)
        bench.plan(_steps(bench, expected - planned))
        planned = expected
        if answers:
            block = left[:1]
            _processes(bench, lineup, next(turns), block[0], answers)
        else:
            block = left[: lineup.block(ceil(bench.workload.repeats / 2))]
            for variant in next(turns):
                bench.attempt(lineup, variant, partial(_turn, bench, block))
        bench.record.save()
        repeats.took(len(block))
        left = left[len(block) :]


def _processes(bench: Session, lineup: Lineup, order: list[str], repeat: int, answers: int) -> None:
    """Measure a repeat with processes that start for it (the first repeat finds them running) and end with it. The
    order of loading alternates, because the variant loaded first is mostly slower.
    """
    gathered: dict[str, Gathered] = {variant: {} for variant in order}
    done = 0
    while done < answers:
        part = range(done, done + lineup.block(answers - done))
        for variant in order:
            if variant in bench.standing:
                bench.attempt(lineup, variant, partial(_some, bench, gathered[variant], repeat, answers, part))
        order, done = order[::-1], part.stop
    lineup.close()
    for variant in order:
        if variant in bench.standing:
            _keep(bench, variant, repeat, gathered[variant])


def _steps(bench: Session, repeats: int) -> int:
    """The steps of a number of repeats of all variants."""
    return repeats * len(bench.prompts) * len(bench.standing)


def _left(bench: Session, count: int) -> list[int]:
    """The repeats that some variant lacks: both parts of a pair belong to the same moment."""
    return [
        repeat
        for repeat in range(count)
        if not all(
            bench.record.has(variant, "decode_latency", bench.params(length), repeat)
            for variant in bench.standing
            for length in bench.prompts
        )
    ]


def _prepare(bench: Session, cost: Cost, variant: str, host: Host, fresh: bool) -> None:
    bench.reporter.step()
    if fresh:
        began = time.monotonic()
        cost.answers[variant] = _warm_up(bench, variant, host)
        cost.loads[variant] = host.info.load_time + time.monotonic() - began
    bench.skip(len(bench.prompts))


def _warm_up(bench: Session, variant: str, host: Host) -> float:
    """Estimated seconds of an answer for each length."""
    took, seconds, tokens = WarmUp(), 0.0, bench.workload.answer_tokens
    for prompts in bench.prompts.values():
        bench.reporter.at(f"{variant}: warming up")
        paces: list[tuple[float, float]] = []  # seconds to the first token, and from one to the next

        def answer(prompt: list[int] = prompts[-1], paces: list[tuple[float, float]] = paces) -> float:
            times = [piece.time for piece in bench.ask(host, prompt, min(TOKENS, tokens))]
            paces.append((times[0], median(after - before for before, after in pairwise(times))))
            return paces[-1][0] + paces[-1][1] * (len(times) - 1)

        took += warm_up(answer)
        seconds += paces[-1][0] + paces[-1][1] * (tokens - 1)
    bench.warmed_up(variant, took)
    return seconds


def _turn(bench: Session, block: list[int], variant: str, host: Host, fresh: bool) -> None:
    """Measure some repeats of a variant, one answer each."""
    _wake(bench, variant, host, fresh)
    for length, prompts in bench.prompts.items():
        for repeat in block:
            figures = _answer(bench, host, length, prompts[repeat])
            _keep(bench, variant, repeat, {length: [figures]})


def _some(
    bench: Session,
    gathered: Gathered,
    repeat: int,
    answers: int,
    part: range,
    variant: str,
    host: Host,
    fresh: bool,
) -> None:
    """Measure some of a repeat's answers."""
    _wake(bench, variant, host, fresh)
    for length, prompts in bench.prompts.items():
        for number in part:
            prompt = prompts[(repeat * answers + number) % (len(prompts) - 1)]
            gathered.setdefault(length, []).append(_answer(bench, host, length, prompt))


def _wake(bench: Session, variant: str, host: Host, fresh: bool) -> None:
    """Have a host that was stopped meanwhile give one answer that does not count.

    Without this, the second of two hosts of one variant was 2.5 % faster (demo, 14 runs of 11 repeats), with it 1.1 %
    (8 runs): this process does other work before the first one's turn, and caches go cold.
    """
    if fresh:
        _warm_up(bench, variant, host)
    else:
        bench.ask(host, next(iter(bench.prompts.values()))[-1], min(TOKENS, bench.workload.answer_tokens))


def _answer(bench: Session, host: Host, length: int, prompt: list[int]) -> Figures:
    """Measure the figures of one answer."""
    variant, tokens, meter = host.info.variant, bench.workload.answer_tokens, bench.meter(host.info.device)
    bench.reporter.at(f"{variant}: {length} tokens in, {tokens} out")
    before = meter.read() if meter else []
    pieces = bench.ask(host, prompt, tokens)
    times, acceptance = [piece.time for piece in pieces], pieces[-1].acceptance
    spent = meter.joules(before, meter.read()) if meter else None
    first, gaps = times[0], [after - before for before, after in pairwise(times)]
    figures = {
        "ttft": [first],
        "prefill_rate": [length / first],
        "decode_rate": [len(gaps) / (times[-1] - first)],
        "decode_latency": gaps,
    }
    if acceptance is not None:
        figures["acceptance"] = [acceptance]
    return figures | ({"energy": [spent / len(times)]} if spent else {})


def _keep(bench: Session, variant: str, repeat: int, answers: Gathered) -> None:
    """Record a repeat of a variant: the figures of its answers, one after another."""
    for length, found in answers.items():
        for metric in found[0]:
            values = [value for figures in found for value in figures.get(metric, [])]
            bench.record.add(variant, metric, _params(bench, variant, metric, length), repeat, *values)
        bench.reporter.step()


def _params(bench: Session, variant: str, metric: str, length: int) -> dict[str, Any]:
    meter = bench.meter(bench.record.devices[variant]) if metric == "energy" else None
    return {**bench.params(length), **({"meter": meter.kind} if meter else {})}
