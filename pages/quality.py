"""Quality: the loss of each variant, skill by skill and question by question."""

from itertools import cycle
from pathlib import Path

import pandas as pd
import streamlit as st

from benchmarks.environment.run_facts import scored
from benchmarks.report.charts import BARE
from benchmarks.run.questions import read_texts
from benchmarks.store.store import Store
from dashboard import captions, charts
from dashboard.compress import uploads
from dashboard.jobs import measure_form
from dashboard.markup import Markdown, plain
from dashboard.results import quality, results
from dashboard.texts import language, say, together
from fastglm.demo.skills import GLM_SKILLS
from fastglm.errors import FastGLMError

TITLES = {skill.name: skill.titles for skill in GLM_SKILLS}


def choose() -> None:
    """Draw the form of the measurement, and its start button."""
    model, variants, able = measure_form.pick_subject("quality")
    if random := model.startswith("shape:"):
        st.info(say("quality-shape"), icon=":material/casino:")
    with st.form("what", border=False):
        each = st.number_input(say("questions-each"), 1, 200, 24, width=260, help=say("questions-each-help"))
        own = st.file_uploader(say("own-questions"), "jsonl", help=say("own-questions-help"))
        go = st.form_submit_button(say("measure"), type="primary", icon=":material/quiz:", disabled=random or not able)
    if not go:
        return
    options = ["--questions", str(each)]
    if own:
        try:
            options = ["--texts", str(uploads.keep(own.name, own.getvalue(), read_texts))]
        except FastGLMError as error:
            st.error(plain(error), icon=":material/error:")
            return
    measure_form.start(model, variants, "quality", options)


def draw_results(store: Store) -> None:
    """Draw the picked run: charts, changed answers, a sentence on its conditions, and all numbers."""
    run = results.pick_run(store.runs(), "quality", say("quality-empty"))
    if run is None:
        return
    rows = results.without_failures(store.measurements([str(run.name)]), "quality")
    if quality.of(rows, "perplexity").empty:
        st.info(say("run-empty", status=str(run["status"])), icon=":material/hourglass_empty:")
        return
    draw_figures(rows)
    draw_skills(rows)
    draw_changes(store.answers(str(run.name)))
    source = run["settings"].get("texts")
    asked = say("asked-own", file=Path(source).name) if source else say("asked-held-out")
    st.caption(together([asked, say("how-judged"), results.measured_on(run, rows)]))
    for remark in scored(run):
        st.caption(":material/info: " + captions.words(remark))
    results.numbers(rows)


def draw_figures(rows: pd.DataFrame) -> None:
    """Draw one chart per figure, a dot per variant."""
    titles = {
        "skill_accuracy": (say("accuracy"), say("share-of-questions"), ".1~%"),
        "perplexity": (say("perplexity"), say("perplexity-axis"), ".4~g"),
        "kl_divergence": (say("divergence"), say("nats-per-token"), ".3~g"),
        "top1_agreement": (say("agreement"), say("share-of-tokens"), ".2~%"),
    }
    columns = cycle(st.columns(2))
    for metric, (title, unit, tick_format) in titles.items():
        part = quality.of(rows, metric)
        if part.empty:
            continue
        with next(columns):
            st.subheader(title, anchor=False)
            figure = charts.spans(part.assign(group=part["variant"]), unit, tick_format)
            st.plotly_chart(figure, key=f"chart-{metric}", config=BARE)
    st.caption(say("axes-fitted"))


def draw_skills(rows: pd.DataFrame) -> None:
    """Draw the share of right answers for each skill, in both languages or one."""
    if quality.of(rows, "skill_accuracy", "skill").empty:
        return
    st.subheader(say("by-skill"), anchor=False)
    languages = [say("both-languages"), *quality.LANGUAGES]  # the first option needs no parameter in the address
    chosen = st.segmented_control(
        say("questions-in"), languages, default=languages[0], key="in", bind="query-params", required=True
    )
    if chosen in quality.LANGUAGES:
        part = quality.of(rows, "skill_accuracy", "skill", "language")
        part = part[part["language"] == quality.LANGUAGES[chosen]]
    else:
        part = quality.of(rows, "skill_accuracy", "skill")
    figure = charts.dots(part.assign(group=part["skill"].map(skill_name)), say("share-of-questions"))
    st.plotly_chart(figure, key="chart-skills", config=BARE)


def skill_name(skill: str) -> str:
    """The name of a skill for people; skills that only other versions have are shown by their id."""
    return TITLES[skill]["zh" if language() == "zh" else "en"] if skill in TITLES else skill


def draw_changes(answers: pd.DataFrame) -> None:
    """Draw the questions that a variant lost or won, both answers side by side."""
    variants = answers["variant"].unique().tolist()
    if len(variants) < 2:
        return
    before = quality.baseline(variants)
    st.subheader(say("changed-answers", baseline=before), anchor=False)
    others = [variant for variant in variants if variant != before]
    variant = str(st.selectbox(say("variant"), others, key="changed", bind="query-params", width=220))
    table = quality.changed(answers, before, variant)
    counts = {change: int((table["change"] == change).sum()) for change in quality.CHANGES}
    words = {"lost": say("lost"), "won": say("won"), "other": say("changed-otherwise")}
    asked = int((answers["variant"] == variant).sum())
    said = [say("changes", variant=variant, asked=asked, lost=counts["lost"], won=counts["won"], other=counts["other"])]
    if counts["lost"] + counts["won"]:
        said.append(verdict(counts["lost"], counts["won"]))
    st.markdown(together(said))
    if table.empty:
        return
    table = table.assign(
        order=table["change"].map(quality.CHANGES.index),
        change=table["change"].map(words),
        skill=[skill_name(labels.get("skill", "")) for labels in table["labels"]],
        asked=["\n".join([*map(" → ".join, row.history), row.question]) for row in table.itertuples()],
    ).sort_values("order", kind="stable")
    columns = {
        "change": say("column-change"),
        "skill": say("column-skill"),
        "asked": say("prompt"),
        "expected": say("column-expected"),
        "answer": before,
        "answer_after": variant,
    }
    st.dataframe(table[list(columns)], hide_index=True, column_config=columns, key="changed-answers")


def verdict(lost: int, won: int) -> Markdown:
    """Say whether chance explains that more questions were lost than won."""
    p = quality.chance(lost, won)
    return say("changes-sure", p=f"{p:.2g}") if p < 0.05 else say("changes-chance", p=f"{p:.2g}")


results.page(say("quality"), say("quality-intro"), choose, draw_results)
