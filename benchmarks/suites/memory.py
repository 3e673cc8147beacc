"""Memory of each variant in a host that is alone on the machine, during loading and answering."""

from functools import partial

from benchmarks.measure.measurement import Params
from benchmarks.run.session import Session
from benchmarks.run.workload import Workload
from fastglm.hosting.host import Host


def steps(workload: Workload) -> int:
    """Loading, and one answer for each length."""
    return 1 + len(workload.prompt_tokens)


def measure(bench: Session) -> None:
    """Measure `weights_memory` and `peak_memory` of loading; `cache_memory` and `peak_memory` of an answer for each
    prompt length.
    """
    with bench.lineup("blocks") as lineup:
        bench.arranged(lineup)
        for variant in bench.standing:
            if all(bench.record.has(variant, "peak_memory", _during(bench, length)) for length in bench.prompts):
                bench.skip(steps(bench.workload))
                continue
            bench.attempt(lineup, variant, partial(_turn, bench))
            bench.record.save(everything=True)


def _turn(bench: Session, variant: str, host: Host, _fresh: bool) -> None:
    bench.reporter.step()
    bench.record.add(variant, "weights_memory", {}, 0, host.info.weights_memory)
    bench.record.add(variant, "peak_memory", {"during": "load"}, 0, host.memory().peak)
    for length, prompts in bench.prompts.items():
        bench.reporter.at(f"{variant}: memory at {length} tokens in, {bench.workload.answer_tokens} out")
        host.reset_peak()
        pieces = bench.ask(host, prompts[0], bench.workload.answer_tokens)
        bench.record.add(variant, "cache_memory", bench.params(length), 0, pieces[-1].cache_memory)
        bench.record.add(variant, "peak_memory", _during(bench, length), 0, host.memory().peak)
        bench.reporter.step()


def _during(bench: Session, length: int) -> Params:
    return {"during": "answer", **bench.params(length)}
