"""How good: every variant is asked the same questions, and how near it is to the original on the same answers."""

from functools import partial

from benchmarks import graded
from benchmarks.bench import Bench
from benchmarks.graded import Graded
from benchmarks.workload import Workload
from fastglm.evaluate.judged import judge
from fastglm.host import Host
from fastglm.progress import Progress

LONGEST_ANSWER = 128  # tokens


def steps(workload: Workload) -> int:
    """Loading, and the questions."""
    return 2


def measure(bench: Bench) -> None:
    """`skill_accuracy`, `perplexity`, `bits_per_byte`, `kl_divergence`, `top1_agreement`, and every answer."""
    with bench.lineup("blocks") as lineup:
        bench.arranged(lineup)
        for variant in bench.standing:
            if bench.record.has_answers(variant):
                bench.skip(steps(bench.workload))
                continue
            bench.attempt(lineup, variant, partial(_turn, bench))
            bench.record.save(everything=True)


def _turn(bench: Bench, variant: str, host: Host, _fresh: bool) -> None:
    bench.reporter.step()

    def progress(news: Progress) -> None:
        bench.reporter.at(f"{variant}: {news.stage} ({news.done:.0f} of {news.total:.0f} {news.unit})", news.fraction)

    asked = [(question.history, question.question, question.expected) for question in bench.questions]
    judged = host.apply(judge, asked, LONGEST_ANSWER, progress=progress)
    answers = [
        Graded(
            variant,
            number,
            question.labels,
            question.history,
            question.question,
            question.expected,
            found.answer,
            question.right(found.answer),
            found.tokens,
            found.nats,
            found.kl,
            found.agreed,
        )
        for number, (question, found) in enumerate(zip(bench.questions, judged, strict=True))
    ]
    bench.record.grade(variant, answers, graded.rows(answers))
    bench.reporter.step()
