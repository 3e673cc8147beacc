"""The card of a compressed model: its record, its measurements, and links to the next pages."""

from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException

from benchmarks.report.charts import BARE
from dashboard import charts, model_facts, widgets
from dashboard.compress import before_after, prediction
from dashboard.markup import plain
from dashboard.results import results
from dashboard.texts import say
from fastglm.compress.manifest import FILE, broken, read_manifest
from fastglm.models.source import openable
from fastglm.system.files import in_words

LARGEST = 1e30  # largest number of seconds, nats or perplexity on a page
LOSS = 0.001  # nats: a smaller loss is not worth a sentence


def found() -> list[Path]:
    """The compressed models that visitors may open, newest first."""
    records = [Path(model) / FILE for model in openable().models if Path(model).is_absolute()]
    records = [record for record in records if record.is_file()]
    return [record.parent for record in sorted(records, key=lambda record: record.stat().st_mtime, reverse=True)]


@dataclass(frozen=True, slots=True)
class Record:
    """Record of a model's making. `stages` has a row for the parent and for the result of each step, with the columns
    step, parameters, bytes, seconds, loss and perplexity; unknown values are NaN.
    """

    parent: str
    recipe: str
    stages: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """Read the record beside a model. Raises CheckpointError if it is not in the form that compression writes."""
        told = read_manifest(folder) or {}
        try:
            sizes, scores = told["sizes"], told["scores"] or {}
            rows = [_stage("", sizes["before"], scores.get("before"))]
            for number, step in enumerate(told["steps"], 1):
                rows.append(_stage(f"{number} {step['step']}", step["size"], step.get("scores"), step["seconds"]))
            rows[-1] |= _whole(sizes["after"])
            return cls(str(told["parents"][0]["model"]), str(told["recipe"]["name"]), pd.DataFrame(rows))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise broken(folder) from error


def _stage(step: str, sizes: dict[str, Any], scores: dict[str, Any] | None, seconds: float = nan) -> dict[str, Any]:
    figures = {name: _figure(scores[name]) if scores else nan for name in ("loss", "perplexity")}
    return {"step": step, **_whole(sizes), "seconds": _figure(seconds), **figures}


def _whole(sizes: dict[str, Any]) -> dict[str, int]:
    found = {name: int(sizes[name]) for name in ("parameters", "bytes")}
    if not all(0 < size < 2**63 for size in found.values()):
        raise ValueError("a size is out of range")
    return found


def _figure(number: Any) -> float:
    figure = float(number)
    if not (isnan(figure) or 0 <= figure < LARGEST):
        raise ValueError("a figure is out of range")
    return figure


def draw(folder: Path) -> None:
    """Draw the card of a model. Raises CheckpointError if its record cannot be read."""
    record = Record.read(folder)
    rows, parent = record.stages, record.parent
    minutes = f"{rows['seconds'].sum() / 60:.1f}"
    with st.container(border=True):
        st.subheader(plain(folder.name), anchor=False)
        st.caption(say("made-how", recipe=record.recipe, parent=widgets.model_name(parent), minutes=minutes))
        _draw_figures(rows)
        _draw_losses(rows)
        with st.expander(say("step-by-step")):
            prediction.table(rows.dropna(axis="columns", how="all"))
        _draw_links(folder, parent)
        results.show(lambda store: before_after.draw(store, folder, parent))


def _draw_figures(rows: pd.DataFrame) -> None:
    """Draw sizes before and after."""
    before, after = rows.iloc[0], rows.iloc[-1]
    columns = st.columns(3)
    figures = {
        "parameters": (say("parameters"), model_facts.number(after["parameters"])),
        "bytes": (say("disk-size"), in_words(after["bytes"])),
        "perplexity": (say("perplexity"), f"{after['perplexity']:.4g}"),
    }
    if pd.isna(after["perplexity"]) or pd.isna(before["perplexity"]):
        del figures["perplexity"]
        st.caption(say("made-unscored"))
    for column, (figure, (label, words)) in zip(columns, figures.items(), strict=False):
        prediction.against(column, label, words, after[figure] / before[figure])


def _draw_losses(rows: pd.DataFrame) -> None:
    """Draw the loss that each step caused on held-out texts, and the part that healing regained."""
    scored = rows.dropna(subset="loss")
    if len(scored) < 2:
        return
    names = scored["step"].replace("", say("before")).tolist()
    st.plotly_chart(charts.stages(names, scored["loss"].tolist(), say("loss-axis")), key="losses", config=BARE)
    before, worst, after = scored["loss"].iloc[0], scored["loss"].max(), scored["loss"].iloc[-1]
    values = {"before": f"{before:.4f}", "worst": f"{worst:.4f}", "after": f"{after:.4f}"}
    st.caption(say("made-healed", **values) if worst > after + LOSS else say("made-scored", **values))


def _draw_links(folder: Path, parent: str) -> None:
    """Draw links to the pages that can use the model; none if this page runs by itself."""
    model = str(folder)
    can_run = widgets.refusal(parent) is None
    pair = {"model-a": parent, "variant-a": "original", "model-b": model, "variant-b": "fast"}
    to = {
        "pages/chat.py": (say("made-chat"), {"model": model, "variant": "fast"}),
        "pages/compare.py": (say("made-compare"), pair),
        "pages/latency.py": (say("latency"), {"model": model}),
        "pages/memory.py": (say("memory"), {"model": model}),
        "pages/quality.py": (say("quality"), {"model": model}),
    }
    if not can_run:
        del to["pages/compare.py"]
    with st.container(horizontal=True):
        for page, (label, query) in to.items():
            try:
                st.page_link(page, label=label, query_params=query)
            except StreamlitAPIException:  # the app has no other page
                return
