"""Prediction of a recipe's effect before it runs: the model's size, and the bytes read per token."""

from dataclasses import replace

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import model_facts
from dashboard.texts import say
from fastglm.compress.recipe import Recipe
from fastglm.compress.size import predict_size
from fastglm.models.facts import ModelFacts
from fastglm.system.files import in_words


def predict(facts: ModelFacts, recipe: Recipe, kind: str) -> pd.DataFrame:
    """Predict a row for the model and for the result of each step.

    Columns: step, parameters, bytes (on the disk), read (bytes per token on a device of this kind: weights that are not
    packed are fp32 on a CPU, otherwise fp16). Raises UsageError for a step that the model cannot go through.
    """
    runs = replace(facts, dtype="float32" if kind == "cpu" else "float16")
    stored = [predict_size(each) for each in (facts, *recipe.configs(facts))]
    read = [predict_size(each).read for each in (runs, *recipe.configs(runs))]
    names = ["", *(f"{number} {step.name}" for number, step in enumerate(recipe.steps, 1))]
    figures = [(each.parameters, each.bytes) for each in stored]
    return pd.DataFrame(
        [(name, *figure, each) for name, figure, each in zip(names, figures, read, strict=True)],
        columns=["step", "parameters", "bytes", "read"],
    )


def draw(rows: pd.DataFrame, recipe: Recipe, kind: str) -> None:
    """Draw the result, with the bound of its speed, and each step's part of it."""
    before, after = rows.iloc[0], rows.iloc[-1]
    columns = st.columns(3)
    figures = {
        "parameters": (say("parameters"), model_facts.number(after["parameters"])),
        "bytes": (say("disk-size"), in_words(after["bytes"])),
        "read": (say("bytes-read"), in_words(after["read"])),
    }
    for column, (figure, (label, words)) in zip(columns, figures.items(), strict=True):
        against(column, label, words, after[figure] / before[figure])
    ratio = before["read"] / after["read"]
    st.caption(say("predicted-bound", read=in_words(before["read"]), ratio=f"{ratio:.2f}", kind=kind))
    if any(step.name == "prune-vocabulary" for step in recipe.steps):
        st.caption(say("predicted-vocabulary"))
    with st.expander(say("step-by-step")):
        table(rows)


def against(column: DeltaGenerator, label: str, words: str, ratio: float) -> None:
    """Draw a figure and its ratio to the original's."""
    share = say("of-original", ratio=f"{ratio:.3g}")
    column.metric(label, words, share, delta_color="off", delta_arrow="off")


def table(rows: pd.DataFrame) -> None:
    """Draw the numbers of each step that `rows` has."""
    columns = {
        "step": say("step"),
        "parameters": st.column_config.NumberColumn(say("parameters"), format="localized"),
        "bytes": say("disk-size"),
        "read": say("bytes-read"),
        "loss": st.column_config.NumberColumn(say("loss-axis"), format="%.4f"),
        "perplexity": st.column_config.NumberColumn(say("perplexity"), format="%.4f"),
        "seconds": st.column_config.NumberColumn(say("seconds"), format="%.1f"),
    }
    words = {
        name: rows[name].map(in_words) for name in ("bytes", "read") if name in rows
    }  # streamlit would write 3.8亿 B
    named = rows.assign(step=rows["step"].replace("", say("before")), **words)
    st.dataframe(named[[name for name in columns if name in rows]], hide_index=True, column_config=columns)
