"""The model card that a training writes beside its checkpoint."""

from importlib.resources import files

from ...evaluate.answers import TOP_P
from ..evaluation.open_ended import ORDER, TEMPERATURE, OpenReport
from ..evaluation.skills import SPLITS, SkillsReport
from .design import Design
from .plan import Plan, Trained


def card(design: Design, trained: Trained, plan: Plan, steps: int, seed: int, hardware: str) -> str:
    """The card as Markdown."""
    report, history = trained.report, trained.history
    last = history.losses[-50:]
    return _template(design.card).format(
        options=design.options,
        parameters=trained.parameters / 1e6,
        layers=plan.layers,
        hidden=plan.hidden,
        heads=plan.heads,
        inner=plan.inner,
        vocabulary=trained.vocabulary,
        rows=plan.rows,
        row=plan.row,
        steps=steps,
        practice=min((step for step, _ in plan.restarts(steps)), default=steps),
        seed=seed,
        rate=plan.learning_rate,
        restarts="".join(f"; from step {step:,} on {rate:g} again" for step, rate in plan.restarts(steps)),
        tokens=history.tokens / 1e6,
        answers=history.examples,
        hardware=hardware,
        minutes=history.seconds / 60,
        loss=sum(last) / len(last),
        perplexity=report.likelihood.perplexity,
        bits=report.as_json()["bits_per_byte"],
        overall=report.accuracy(),
        questions=len(report.questions),
        operands=report.accuracy(split="new operands"),
        phrasing=report.accuracy(split="new phrasing"),
        zh=report.accuracy(language="zh"),
        en=report.accuracy(language="en"),
        refusals=report.false_refusals,
        skills=_skills(report),
        open=_open(trained.open_report),
        temperature=TEMPERATURE,
        top_p=TOP_P,
        order=ORDER,
    )


def _skills(report: SkillsReport) -> str:
    rows = ["| skill | right | new operands | new phrasing | questions |", "|---|---|---|---|---|"]
    for name, found in report.as_json()["skill"].items():
        splits = [found["split"].get(split) for split in SPLITS]
        shares = " | ".join(f"{split['value']:.0%}" if split else "" for split in splits)
        rows.append(f"| {name} | {found['value']:.0%} | {shares} | {found['n']} |")
    return "\n".join(rows)


def _open(report: OpenReport) -> str:
    rows = [
        "| skill | language | texts | ended | shortest | no repetition | distinct |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, languages in report.as_json()["skill"].items():
        for language, found in languages.items():
            n, ended, shortest, unrepeated, distinct = found.values()
            rows.append(f"| {name} | {language} | {n} | {ended:.0%} | {shortest} | {unrepeated:.0%} | {distinct:.2f} |")
    return "\n".join(rows)


def _template(name: str) -> str:
    return (files("fastglm.demo.training") / name).read_text(encoding="utf-8")
