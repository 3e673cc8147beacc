"""Measurements of a compressed model and its parent on this machine."""

import platform
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from benchmarks.store.store import Store
from dashboard import widgets
from dashboard.compress import prediction
from dashboard.jobs import measure_form
from dashboard.results import recommendation
from dashboard.texts import say, together
from fastglm.system.files import in_words

BEFORE, AFTER = "before", "after"
VARIANTS = {BEFORE: "original", AFTER: "fast"}  # the compressed model's own format, on the fast engine
OPTIONS = ["--repeats", "5", "--questions", "4"]  # questions of each kind: minutes, not an hour, on a modest machine
SAMPLES = 8  # answers on the page


def draw(store: Store, folder: Path, parent: str) -> None:
    """Draw speed, memory, right answers and sample answers of both, and the button that measures them."""
    models = {BEFORE: parent, AFTER: str(folder)}
    ids, rows = _rows(store, models)
    found = recommendation.newest(rows, ids)[0] if ids else pd.DataFrame()
    if found.empty:
        st.caption(say("made-unmeasured"))
    else:
        _draw_figures(found)
        st.dataframe(_table(found, models), hide_index=True, column_config=_columns())
        st.caption(_how(found))
        _draw_answers(store, found)
    if widgets.refusal(parent) is None and st.button(say("made-measure"), key="measure", icon=":material/speed:"):
        both = {models[side]: VARIANTS[side] for side in models}
        measure_form.start_each(both, "latency,memory,quality", OPTIONS)


def _rows(store: Store, models: dict[str, str]) -> tuple[list[str], pd.DataFrame]:
    """The newest finished runs of both models on this machine, newest first, and their rows; `variant` is before or
    after.
    """
    runs = store.runs()
    here = pd.Series([machine.get("node") == platform.node() for machine in runs["machine"]], runs.index, dtype=bool)
    recent = {run for model in models.values() for run in recommendation.recent(runs[here & (runs["model"] == model)])}
    ids = [run for run in runs["id"] if run in recent]
    rows = store.measurements(ids)
    parts = [
        rows[(rows["model"] == model) & (rows["variant"] == VARIANTS[side])].assign(variant=side)
        for side, model in models.items()
    ]
    return ids, _alike(pd.concat(parts, ignore_index=True), ids)


def _alike(rows: pd.DataFrame, ids: list[str]) -> pd.DataFrame:
    """Leave out shares of other question sets than the newest that both models answered, if there is one."""
    shares = (rows["metric"] == "skill_accuracy") & ~rows["params"].map(bool)
    asked = {side: set(rows.loc[shares & (rows["variant"] == side), "n"]) for side in VARIANTS}
    common = rows[shares & rows["n"].isin(asked[BEFORE] & asked[AFTER])]
    if common.empty:
        return rows
    newest = common.loc[common["run"].map(ids.index).idxmin(), "n"]
    return rows[~shares | (rows["n"] == newest)]


def _draw_figures(found: pd.DataFrame) -> None:
    """Draw the compressed model's figures, and their ratio to the original's if both were measured the same way."""
    values = found.set_index(["side", "variant"])["value"].to_dict()
    forms = {
        "speed": (say("overview-speed"), lambda value: f"{value:.1f}"),
        "memory": (say("memory"), in_words),
        "quality": (say("made-right"), lambda value: f"{100 * value:.1f} %"),
    }
    if found.loc[found["side"] == "quality", "n"].nunique() > 1:
        del forms["quality"]  # other questions
    both = [side for side in forms if values.get((side, BEFORE)) and (side, AFTER) in values]
    for column, side in zip(st.columns(3), both, strict=False):
        label, form = forms[side]
        after = values[side, AFTER]
        prediction.against(column, label, form(after), after / values[side, BEFORE])


def _table(found: pd.DataFrame, models: dict[str, str]) -> pd.DataFrame:
    """A row for each of the two models with known figures."""
    rows = []
    for side, model in models.items():
        part = found[found["variant"] == side]
        if part.empty:
            continue
        values: dict[str, Any] = dict(zip(part["side"], part["value"], strict=True))
        asked = part.loc[part["side"] == "quality", "n"]
        if memory := values.get("memory"):
            values["memory"] = in_words(memory)
        own = {"model": widgets.model_name(model), "variant": VARIANTS[side]}
        rows.append({**own, **dict.fromkeys(recommendation.SIDES), **values, "asked": next(iter(asked), None)})
    return pd.DataFrame(rows)


def _columns() -> dict[str, Any]:
    return {
        "model": say("model"),
        "variant": say("variant"),
        "speed": st.column_config.NumberColumn(say("overview-speed"), format="%.1f"),
        "memory": say("memory"),
        "quality": st.column_config.NumberColumn(say("made-right"), format="percent"),
        "asked": st.column_config.NumberColumn(say("made-asked"), format="localized"),
    }


def _how(found: pd.DataFrame) -> str:
    """Describe how each figure was measured."""
    by = {side: part.iloc[0] for side, part in found.groupby("side")}
    parts = [say("made-measured-how")]
    if "speed" in by:
        params = by["speed"]["params"]
        lengths = {name: params.get(name, "?") for name in ("prompt_tokens", "answer_tokens")}
        parts.append(say("made-how-speed", prompt=lengths["prompt_tokens"], answer=lengths["answer_tokens"]))
    if "memory" in by:
        parts.append(say("made-how-memory"))
    if "quality" in by:
        counts = found.loc[found["side"] == "quality", "n"].astype(int)
        parts.append(say("made-how-quality", count=say("list-comma").join(map(str, dict.fromkeys(counts)))))
    return together(parts)


def _draw_answers(store: Store, found: pd.DataFrame) -> None:
    """Draw some questions with both answers, differing answers first."""
    runs = found[found["side"] == "quality"].set_index("variant")["run"]
    if not {BEFORE, AFTER} <= set(runs.index):
        return
    first, second = (_answers(store, runs[side], VARIANTS[side]) for side in (BEFORE, AFTER))
    both = first.merge(second[["key", "answer"]], on="key", suffixes=("", "_after"))
    if both.empty:  # they answered different questions
        return
    same = both["answer"].fillna("\0") == both["answer_after"].fillna("\0")
    shown = pd.concat([both[~same], both[same].sample(frac=1, random_state=0)]).head(SAMPLES)
    said = zip(shown["history"], shown["question"], strict=True)
    asked = ["\n".join([*map(" → ".join, history), question]) for history, question in said]
    shown = shown.assign(asked=asked)
    columns = {
        "asked": say("made-question"),
        "expected": say("column-expected"),
        "answer": say("before"),
        "answer_after": say("made-new"),
    }
    st.markdown(say("made-samples", asked=len(both), same=int(same.sum())))
    st.dataframe(shown[list(columns)].fillna("…"), hide_index=True, column_config=columns, key="sample-answers")


def _answers(store: Store, run: str, variant: str) -> pd.DataFrame:
    """The answers of a variant in a run; `key` identifies a question with its history and expected answer."""
    answers = store.answers(run)
    answers = answers[answers["variant"] == variant]
    asked = answers[["history", "question", "expected"]].to_numpy().tolist()
    return answers.assign(key=[str(values) for values in asked]).drop_duplicates("key")
