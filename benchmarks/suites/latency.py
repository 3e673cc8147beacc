"""How fast: time to the first token, and time between tokens, of answers asked in turn (A B A B …)."""

from functools import partial
from itertools import pairwise
from math import ceil

from benchmarks.bench import Bench
from benchmarks.lineup import Lineup
from benchmarks.workload import Workload
from fastglm.host import Host

WARM_UP_TOKENS = 16  # enough for every buffer to be there and every path to be taken


def steps(workload: Workload) -> int:
    """Loading, a warm-up of each length, the answers."""
    return 1 + len(workload.prompt_tokens) * (1 + workload.repeats)


def measure(bench: Bench) -> None:
    """`ttft`, `prefill_rate`, `decode_rate`, `decode_latency` of every variant and prompt length."""
    left = _left(bench)
    if not left:
        bench.skip(steps(bench.workload) * len(bench.standing))
        return
    bench.skip((bench.workload.repeats - len(left)) * len(bench.prompts) * len(bench.standing))
    with bench.lineup("interleaved") as lineup:
        for variant in bench.standing:
            bench.attempt(lineup, variant, partial(_prepare, bench))
        bench.arranged(lineup)
        while left and bench.standing:
            block = left[: _block(bench, lineup)]
            for variant in bench.standing:
                bench.attempt(lineup, variant, partial(_turn, bench, block))
            bench.record.save()
            left = left[len(block) :]


def _left(bench: Bench) -> list[int]:
    """The repeats that not all variants have taken: those of a pair belong to the same moment."""
    return [
        repeat
        for repeat in range(bench.workload.repeats)
        if not all(
            bench.record.has(variant, "decode_latency", bench.params(length), repeat)
            for variant in bench.standing
            for length in bench.prompts
        )
    ]


def _block(bench: Bench, lineup: Lineup) -> int:
    """Repeats of one turn: one where turns are cheap; half of all where each turn loads the model again."""
    return 1 if lineup.arrangement == "interleaved" else ceil(bench.workload.repeats / 2)


def _prepare(bench: Bench, variant: str, host: Host, fresh: bool) -> None:
    bench.reporter.step()
    if fresh:
        _warm_up(bench, variant, host)
    for _ in bench.workload.prompt_tokens:
        bench.reporter.step()


def _warm_up(bench: Bench, variant: str, host: Host) -> None:
    for prompts in bench.prompts.values():
        bench.reporter.at(f"{variant}: warming up")
        bench.ask(host, prompts[-1], min(WARM_UP_TOKENS, bench.workload.answer_tokens))


def _turn(bench: Bench, block: list[int], variant: str, host: Host, fresh: bool) -> None:
    if fresh:
        _warm_up(bench, variant, host)
    for length, prompts in bench.prompts.items():
        for repeat in block:
            bench.reporter.at(f"{variant}: {length} tokens in, {bench.workload.answer_tokens} out")
            _answer(bench, variant, host, length, prompts[repeat], repeat)
            bench.reporter.step()


def _answer(bench: Bench, variant: str, host: Host, length: int, prompt: list[int], repeat: int) -> None:
    times = [piece.time for piece in bench.ask(host, prompt, bench.workload.answer_tokens)]
    first, params = times[0], bench.params(length)
    gaps = [after - before for before, after in pairwise(times)]
    bench.record.add(variant, "ttft", params, repeat, first)
    bench.record.add(variant, "prefill_rate", params, repeat, length / first)
    bench.record.add(variant, "decode_rate", params, repeat, len(gaps) / (times[-1] - first))
    bench.record.add(variant, "decode_latency", params, repeat, *gaps)
