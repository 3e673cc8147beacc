"""A visitor's own recipe, built step by step."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import streamlit as st

from dashboard.texts import say
from fastglm.compress.recipe import Recipe
from fastglm.compress.steps import STEPS
from fastglm.errors import UsageError
from fastglm.kernels.layout import LAYOUTS

KEY = "recipe-steps"
MOST = 12  # steps
FIRST: Mapping[str, dict[str, Any]] = {  # defaults of a newly added step
    "prune-depth": {"share": 0.1},
    "prune-width": {"channels": 0.75, "heads": 0.75},
    "distil": {"steps": 4000},
    "quantise": {"format": "int4-g128"},
}

Item = dict[str, Any]  # id, name and fields of a step


def build(begin: Recipe) -> Recipe:
    """Let the visitor change, add and remove steps; the first ones come from the address or from `begin`.

    Raises UsageError for steps that no recipe can have in this order.
    """
    if KEY not in st.session_state:
        st.session_state[KEY] = [_item(step) for step in (_linked() or begin).as_dict()["steps"]]
    items: list[Item] = st.session_state[KEY]
    for number, item in enumerate(items):
        with st.container(border=True), st.container(horizontal=True, vertical_alignment="bottom"):
            _draw(number, item)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        added = st.selectbox(say("step"), list(STEPS), key="step-added", width=220)
        full = len(items) >= MOST
        st.button(say("step-add"), key="step-add", icon=":material/add:", on_click=_add, args=[added], disabled=full)
    st.caption(_about(added))
    steps = [{item["name"]: dict(item["fields"])} for item in items]
    st.query_params["steps"] = json.dumps(steps, separators=(",", ":"))
    return Recipe.from_dict({"name": "own", "steps": steps}, "own")


def _draw(number: int, item: Item) -> None:
    """Draw a step: its main numbers, and the buttons for it."""
    st.markdown(f"**{number + 1} · {item['name']}**", help=_about(item["name"]), width=150)
    _draw_fields(item)
    up, remove = say("step-up"), say("step-remove")
    key = item["id"]
    st.button(
        "", key=f"up-{key}", icon=":material/arrow_upward:", help=up, on_click=_up, args=[key], disabled=not number
    )
    st.button("", key=f"remove-{key}", icon=":material/delete:", help=remove, on_click=_remove, args=[key])


def _draw_fields(item: Item) -> None:
    """Draw the fields that matter most; others stay unchanged."""
    fields, key = item["fields"], item["id"]
    match item["name"]:
        case "prune-depth" if "layers" in fields:
            layers = min(fields["layers"], 200)
            fields["layers"] = int(st.number_input(say("step-layers"), 1, 200, layers, key=f"layers-{key}", width=160))
        case "prune-depth":
            fields["share"] = _share(say("step-share"), fields["share"], f"share-{key}")
        case "prune-width":
            fields["channels"] = _share(say("step-channels"), fields.get("channels", 1.0), f"channels-{key}")
            fields["heads"] = _share(say("step-heads"), fields.get("heads", 1.0), f"heads-{key}")
        case "distil":
            steps = min(fields.get("steps") or 4000, 1_000_000)
            label, name = say("training-steps"), f"steps-{key}"
            fields["steps"] = int(st.number_input(label, 1, 1_000_000, steps, 100, key=name, width=160))
        case "quantise":
            formats = list(LAYOUTS)
            now = fields.get("format", "int4-g128")
            fields["format"] = st.selectbox(
                say("step-format"), formats, formats.index(now), key=f"format-{key}", width=150
            )


def _share(label: str, value: float, key: str) -> float:
    shown = min(max(value, 0.01), 1.0)
    return round(float(st.number_input(label, 0.01, 1.0, shown, 0.05, key=key, width=160)), 4)


def _about(step: str) -> str:
    """Describe a step in one line."""
    return {
        "prune-depth": say("step-prune-depth"),
        "prune-width": say("step-prune-width"),
        "prune-vocabulary": say("step-prune-vocabulary"),
        "sparse24": say("step-sparse24"),
        "distil": say("step-distil"),
        "quantise": say("step-quantise"),
    }[step]


def _linked() -> Recipe | None:
    """The recipe in the address; None if there is none."""
    try:
        steps = json.loads(st.query_params.get("steps", ""))
        return Recipe.from_dict({"name": "own", "steps": steps}, "own") if len(steps) <= MOST else None
    except (ValueError, TypeError, RecursionError, UsageError):
        return None


def _item(step: Mapping[str, dict[str, Any]]) -> Item:
    ((name, fields),) = step.items()
    return {"id": uuid4().hex[:8], "name": name, "fields": dict(fields)}


def _add(name: str) -> None:
    """Add a step at the end, or before a final quantize step, which nothing can follow."""
    items: list[Item] = st.session_state[KEY]
    last = len(items) - (bool(items) and items[-1]["name"] == "quantise")
    items.insert(last, _item({name: FIRST.get(name, {})}))


def _up(key: str) -> None:
    items: list[Item] = st.session_state[KEY]
    place = next(number for number, item in enumerate(items) if item["id"] == key)
    items[place - 1], items[place] = items[place], items[place - 1]


def _remove(key: str) -> None:
    st.session_state[KEY] = [item for item in st.session_state[KEY] if item["id"] != key]
