"""Quality: all variants answer the same questions, and are compared with the original on the same answers."""

import math
from collections.abc import Sequence
from functools import partial

from benchmarks.measure import graded_answer
from benchmarks.measure.graded_answer import Graded
from benchmarks.measure.measurement import Param
from benchmarks.run.host_rotation import Lineup
from benchmarks.run.isolated import elsewhere
from benchmarks.run.session import Session
from benchmarks.run.workload import Workload
from fastglm.errors import FastGLMError, MemoryShortError
from fastglm.evaluate.arithmetic import Arithmetic
from fastglm.evaluate.scoring import Asked, Findings, judge, judge_streamed
from fastglm.hosting.host import Host
from fastglm.progress.progress import OnProgress, Progress
from fastglm.system.devices import resolve_devices

LONGEST_ANSWER = 128  # tokens
ORIGINAL = "original"  # the variant that is computed layer by layer if memory is short


def steps(workload: Workload) -> int:
    """Loading, and the questions."""
    return 2


def measure(bench: Session) -> None:
    """Measure `skill_accuracy`, `perplexity`, `bits_per_byte`, `kl_divergence` and `top1_agreement`, and record every
    answer.
    """
    with bench.lineup("blocks") as lineup:
        bench.arranged(lineup)
        for variant in bench.standing:
            if bench.record.has_answers(variant):
                bench.skip(steps(bench.workload))
                continue
            give_up = partial(_stream, bench) if variant == ORIGINAL else None
            bench.attempt(lineup, variant, partial(_turn, bench), give_up)
            bench.record.save(everything=True)


def _turn(bench: Session, variant: str, host: Host, _fresh: bool) -> None:
    bench.reporter.step()
    arithmetic = Arithmetic(bench.record.run.settings.get("arithmetic", Arithmetic.exact))
    found = host.apply(judge, _asked(bench), LONGEST_ANSWER, arithmetic, progress=_progress(bench, variant))
    _grade(bench, variant, found)


def _stream(bench: Session, lineup: Lineup, variant: str, error: FastGLMError) -> None:
    """Score the original without loading it: from its stored answers, or layer by layer."""
    if not isinstance(error, MemoryShortError):
        bench.fail(lineup, variant, error)
        return
    lineup.drop(variant)
    try:
        _grade_streamed(bench)
    except FastGLMError as why:
        bench.fail(lineup, variant, why)


def _grade_streamed(bench: Session) -> None:
    device = str(resolve_devices(bench.record.run.settings["device"])[0])  # one layer after another
    bench.reporter.warning(
        f"there is no room for {ORIGINAL}: unless its answers are kept, they are computed layer by layer, with all "
        "weights read from the disk for every token; a machine that has the room makes them quickly: "
        "python -m benchmarks reference --help"
    )
    bench.reporter.step()
    found = elsewhere(
        streamed,
        _progress(bench, ORIGINAL),
        bench.record.run.model,
        device,
        _asked(bench),
        LONGEST_ANSWER,
    )
    bench.record.devices[ORIGINAL] = device
    bench.settle("streamed", ORIGINAL, found.precision)
    _grade(bench, ORIGINAL, found)


def streamed(progress: OnProgress, model: str, device: str, asked: Sequence[Asked], longest: int) -> Findings:
    """Call `judge_streamed` with the arguments that `elsewhere` passes."""
    return judge_streamed(model, device, asked, longest, progress)


def _asked(bench: Session) -> list[Asked]:
    return [question.asked for question in bench.questions]


def _progress(bench: Session, variant: str) -> OnProgress:
    def progress(news: Progress) -> None:
        bench.reporter.at(f"{variant}: {news.stage} ({news.done:.0f} of {news.total:.0f} {news.unit})", news.fraction)

    return progress


def _grade(bench: Session, variant: str, found: Findings) -> None:
    answers = [
        Graded(
            variant,
            number,
            question.labels,
            question.text.history,
            question.text.prompt,
            question.text.answer,
            judged.answer,
            question.right(judged.answer),
            len(judged.losses),
            math.fsum(judged.losses),
            None if judged.kl is None else math.fsum(judged.kl),
            judged.agreed,
        )
        for number, (question, judged) in enumerate(zip(bench.questions, found.questions, strict=True))
    ]
    scored: dict[str, Param] = {"arithmetic": str(found.arithmetic), "precision": found.precision}
    if found.vocabulary:
        scored["vocabulary"] = found.vocabulary
    bench.settle("scored", variant, scored)
    rows = [
        *graded_answer.rows(answers, scored),
        *graded_answer.tails([judged.kl for judged in found.questions], answers, scored),
    ]
    bench.record.grade(variant, answers, rows)
    bench.reporter.step()
