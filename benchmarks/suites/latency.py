"""How fast: time to the first token, and time between tokens, of answers asked in turn (A B B A …)."""

from functools import partial
from itertools import pairwise
from statistics import median

from benchmarks.bench import Bench
from benchmarks.lineup import Lineup
from benchmarks.repeats import Repeats
from benchmarks.warmup import TOKENS, WarmUp, warm_up
from benchmarks.workload import Workload
from fastglm.host import Host


def steps(workload: Workload) -> int:
    """Loading, a warm-up of each length, the answers."""
    return 1 + len(workload.prompt_tokens) * (1 + workload.most)


def measure(bench: Bench) -> None:
    """`ttft`, `prefill_rate`, `decode_rate`, `decode_latency` of every variant and prompt length, and `energy`."""
    workload, ended = bench.workload, bench.record.run.settings.get("ended", {}).get("latency")
    count = ended["repeats"] if ended else workload.most  # a run that is taken up may have had enough
    bench.plan(-_steps(bench, workload.most - count))
    left = _left(bench, count)
    if not left:
        bench.skip(steps(workload) * len(bench.standing) - _steps(bench, workload.most - count))
        return
    bench.skip(_steps(bench, count - len(left)))
    with bench.lineup("interleaved") as lineup:
        each: dict[str, float] = {}  # seconds of a variant's answers, as its warm-up tells
        for variant in bench.standing:
            bench.attempt(lineup, variant, partial(_prepare, bench, each))
        bench.arranged(lineup)
        precision = None if ended else workload.precision
        repeats = Repeats(count, workload.repeats, precision, sum(each.values()))
        bench.reporter.estimate(sum(each.values()), *repeats.bounds(count - len(left)))
        _repeat(bench, lineup, repeats, left)


def _repeat(bench: Bench, lineup: Lineup, repeats: Repeats, left: list[int]) -> None:
    """Take turns until there is enough."""
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
        block = left[: lineup.block(bench.workload.repeats)]
        for variant in next(turns):
            bench.attempt(lineup, variant, partial(_turn, bench, block))
        bench.record.save()
        repeats.took(len(block))
        left = left[len(block) :]


def _steps(bench: Bench, repeats: int) -> int:
    """Steps of so many repeats of all variants."""
    return repeats * len(bench.prompts) * len(bench.standing)


def _left(bench: Bench, count: int) -> list[int]:
    """The repeats that not all variants have taken: those of a pair belong to the same moment."""
    return [
        repeat
        for repeat in range(count)
        if not all(
            bench.record.has(variant, "decode_latency", bench.params(length), repeat)
            for variant in bench.standing
            for length in bench.prompts
        )
    ]


def _prepare(bench: Bench, each: dict[str, float], variant: str, host: Host, fresh: bool) -> None:
    bench.reporter.step()
    if fresh:
        each[variant] = _warm_up(bench, variant, host)
    bench.skip(len(bench.prompts))


def _warm_up(bench: Bench, variant: str, host: Host) -> float:
    """Seconds that an answer to each length may take."""
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


def _turn(bench: Bench, block: list[int], variant: str, host: Host, fresh: bool) -> None:
    """Some repeats of a variant. A host that was stopped meanwhile first answers something that does not count.

    Of two hosts of one variant the second was 2.5 % faster without that (demo, 14 runs of 11 repeats), and 1.1 % with
    it (8 runs): before the first one's turn this process does other things, and caches go cold.
    """
    if fresh:
        _warm_up(bench, variant, host)
    else:
        bench.ask(host, next(iter(bench.prompts.values()))[-1], min(TOKENS, bench.workload.answer_tokens))
    for length, prompts in bench.prompts.items():
        for repeat in block:
            bench.reporter.at(f"{variant}: {length} tokens in, {bench.workload.answer_tokens} out")
            _answer(bench, variant, host, length, prompts[repeat], repeat)
            bench.reporter.step()


def _answer(bench: Bench, variant: str, host: Host, length: int, prompt: list[int], repeat: int) -> None:
    meter = bench.meter(host.info.device)
    before = meter.read() if meter else []
    times = [piece.time for piece in bench.ask(host, prompt, bench.workload.answer_tokens)]
    spent = meter.joules(before, meter.read()) if meter else None
    first, params = times[0], bench.params(length)
    gaps = [after - before for before, after in pairwise(times)]
    bench.record.add(variant, "ttft", params, repeat, first)
    bench.record.add(variant, "prefill_rate", params, repeat, length / first)
    bench.record.add(variant, "decode_rate", params, repeat, len(gaps) / (times[-1] - first))
    bench.record.add(variant, "decode_latency", params, repeat, *gaps)
    if meter and spent:
        bench.record.add(variant, "energy", {**params, "meter": meter.kind}, repeat, spent / len(times))
