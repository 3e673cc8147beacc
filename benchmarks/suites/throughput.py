"""Throughput: tokens per second when many sequences are answered side by side, one batch size after another, in
turn.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice

from benchmarks.measure.measurement import Params
from benchmarks.measure.warmup import TOKENS, WarmUp, warm_up
from benchmarks.run.host_rotation import Lineup
from benchmarks.run.session import Session
from benchmarks.run.workload import Workload
from fastglm.errors import FastGLMError
from fastglm.evaluate.throughput import batch_time, ready_for_batches
from fastglm.hosting.host import Host

Size = tuple[int, int]  # tokens of a prompt, number of sequences


def steps(workload: Workload) -> int:
    """Loading; for each prompt length and batch size a warm-up and the answers."""
    return 1 + len(workload.prompt_tokens) * len(workload.batches) * (1 + workload.repeats)


def measure(bench: Session) -> None:
    """Measure `throughput` of every variant, prompt length and batch size. A size that fails is a result; larger ones
    with the same prompt length are skipped.
    """
    work = _Work(bench)
    sizes, repeats = len(list(work.sizes())), bench.workload.repeats
    left = [repeat for repeat in range(repeats) if not all(work.has(variant, repeat) for variant in bench.standing)]
    if not left:
        bench.skip(steps(bench.workload) * len(bench.standing))
        return
    bench.skip((repeats - len(left)) * sizes * len(bench.standing))
    with bench.lineup("interleaved") as lineup:
        for variant in bench.standing:
            work.attempt(lineup, variant, [])
            bench.reporter.step()
            bench.skip(sizes)
        bench.arranged(lineup)
        turns = bench.turns()
        while left and bench.standing:
            now = left[: lineup.block(repeats)]
            for variant in next(turns):
                work.attempt(lineup, variant, now)
                bench.skip(len(now) * sizes)
            bench.record.save()
            left = left[len(now) :]


@dataclass
class _Work:
    bench: Session
    at: Size | None = None  # the current size, None while a variant is loading
    limits: dict[tuple[str, int], int] = field(default_factory=dict)  # too large batches by variant and prompt length

    def sizes(self, variant: str = "") -> Iterator[Size]:
        """All sizes, or those that have not failed for a variant."""
        for length in self.bench.prompts:
            limit = self.limits.get((variant, length), float("inf"))
            yield from ((length, batch) for batch in sorted(self.bench.workload.batches) if batch < limit)

    def has(self, variant: str, repeat: int) -> bool:
        """Tell whether a variant has a repeat of every size."""
        return all(self._has(variant, size, repeat) for size in self.sizes())

    def attempt(self, lineup: Lineup, variant: str, repeats: list[int]) -> None:
        """Measure some repeats of all sizes, or only warm up."""
        self.at = None
        self.bench.attempt(lineup, variant, partial(self._turn, repeats), partial(self._give_up, repeats))

    def _give_up(self, repeats: list[int], lineup: Lineup, variant: str, error: FastGLMError) -> None:
        if self.at is None:
            self.bench.fail(lineup, variant, error)
            return
        length, batch = self.at
        self.limits[variant, length] = batch
        self.bench.fail(lineup, variant, error, prompt_tokens=length, batch=batch)
        self.attempt(lineup, variant, repeats)  # the other sizes, in a new process

    def _turn(self, repeats: list[int], variant: str, host: Host, fresh: bool) -> None:
        if fresh:
            self._warm_up(variant, host)
        tokens = self.bench.workload.answer_tokens
        for size in self.sizes(variant):
            for repeat in repeats:
                if not self._has(variant, size, repeat):  # measured before a larger size failed
                    rate = size[1] * tokens / self._answer(variant, host, size, repeat, tokens)
                    self.bench.record.add(variant, "throughput", self._params(size), repeat, rate)

    def _warm_up(self, variant: str, host: Host) -> None:
        if max(self.bench.workload.batches) > 1:
            host.apply(ready_for_batches)
        tokens, took = min(TOKENS, self.bench.workload.answer_tokens), WarmUp()
        for size in self.sizes(variant):
            took += warm_up(partial(self._answer, variant, host, size, self.bench.workload.repeats, tokens))
        self.bench.warmed_up(variant, took)

    def _answer(self, variant: str, host: Host, size: Size, repeat: int, tokens: int) -> float:
        """Seconds for a batch."""
        self.at = length, batch = size
        self.bench.reporter.at(f"{variant}: {batch} × {length} tokens in, {tokens} out")
        prompts = list(islice(cycle(self.bench.prompts[length]), repeat, repeat + batch))
        return host.apply(batch_time, prompts, tokens)

    def _has(self, variant: str, size: Size, repeat: int) -> bool:
        return self.bench.record.has(variant, "throughput", self._params(size), repeat)

    def _params(self, size: Size) -> Params:
        return {**self.bench.params(size[0]), "batch": size[1]}
