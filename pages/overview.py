"""Overview: the machine, the model, and the variant to run: speed against quality, with the memory of each."""

import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from benchmarks.environment.run_facts import machine_name
from benchmarks.measure import wording
from benchmarks.report import charts
from benchmarks.store.store import Store
from dashboard import machine, model_facts, page_frame, widgets
from dashboard.jobs import measure_form, status
from dashboard.markup import code, plain
from dashboard.results import recommendation, recommendation_text, results
from dashboard.results.recommendation import Advice, Standing, fits
from dashboard.texts import say, together
from fastglm.system.devices import DeviceCard
from fastglm.system.files import in_words
from fastglm.variants.variants import USUAL


def main() -> None:
    """Draw the page."""
    page_frame.begin(say("overview"))
    st.caption(say("overview-intro"))
    linked = st.query_params.get("model", "demo")
    if widgets.refusal(linked):
        st.warning(say("overview-model-unknown"), icon=":material/link_off:")
        linked = "demo"
    model = widgets.pick_model("overview", linked)
    if refused := widgets.refusal(model):
        st.error(plain(refused), icon=":material/block:")
        return
    # A bound widget would put the name of the demo into the address, in the visitor's language.
    st.query_params["model"] = model
    status.watch()
    results.show(partial(draw, model))


def draw(model: str, store: Store) -> None:
    """Draw the known figures of the model's variants on the machine that the visitor picks."""
    runs = store.runs()
    runs = runs[runs["model"] == model].set_index("id", drop=False)
    runs = runs.assign(place=[machine_name(machine_facts) for machine_facts in runs["machine"]])
    card = machine.device()
    here = this_machine(card, runs["place"])
    place = pick_place(here, runs["place"])
    runs = runs[runs["place"] == place]
    device = asdict(card) if card and place == here else recommendation.device(runs["machine"].tolist())
    model_facts.draw(model, device)
    ids = recommendation.recent(runs)
    found, failures = recommendation.newest(store.measurements(ids), ids)
    errors = [params.get("error", "") for params in failures["params"]]
    for variant, error in dict.fromkeys(zip(failures["variant"], errors, strict=True)):
        st.warning(say("overview-failed", variant=variant, error=error), icon=":material/warning:")
    known = recommendation.standings(found, failures)
    metrics = dict(zip(found["side"], found["metric"], strict=True))
    total = float(device.get("memory_total") or 0)
    if "speed" in metrics:
        draw_advice(recommendation.recommend(known, total), metrics)
    draw_missing(model, metrics, place == here)
    draw_chart(known, found, total)
    draw_table(known, found, runs, total)


def this_machine(card: DeviceCard | None, places: pd.Series) -> str:
    """The name of this machine; until its device is known, the name in its newest run."""
    node = platform.node()
    if card is None:
        return next((place for place in places if place.split(" · ")[0] == node), node)
    return machine_name({"node": node, "device": asdict(card)})


def pick_place(here: str, places: pd.Series) -> str:
    """Let the visitor choose a machine, if there are results of other machines."""
    names = list(dict.fromkeys([here, *places]))
    linked = st.query_params.get("machine", here)
    if linked not in names:
        st.warning(say("overview-machine-unknown"), icon=":material/link_off:")
        linked = here
    if len(names) == 1:
        chosen = here
    else:
        chosen = str(st.selectbox(say("overview-machine"), names, names.index(linked), key=f"machine-{here}"))
    if chosen != here:
        st.query_params["machine"] = chosen
    elif "machine" in st.query_params:
        del st.query_params["machine"]
    if len(names) > 1 and chosen == here and here not in set(places):
        st.caption(say("overview-elsewhere"))
    return chosen


def draw_missing(model: str, measured: Mapping[str, str], is_here: bool) -> None:
    """Draw the missing measurements, with a command and, on this machine, a button to make them."""
    missing = {"speed": say("side-speed"), "memory": say("side-memory"), "quality": say("side-quality")}
    if model.startswith("shape:"):
        st.caption(say("overview-no-quality"))
        del missing["quality"]
    missing = {side: words for side, words in missing.items() if side not in measured}
    able = {offer.name for offer in widgets.offers_for(model) if offer.reason is None}
    variants = [name for name in USUAL if name in able]
    if not missing:
        return
    suites = ",".join(recommendation.SIDES[side][0] for side in missing)
    command = f"python -m benchmarks run --model {shlex.quote(model)} --variants {','.join(variants)} --suite {suites}"
    words = say("list-comma").join(missing.values())
    st.info(say("overview-missing", what=words, command=code(command)), icon=":material/speed:")
    label = say("overview-measure")
    if is_here and st.button(label, key="measure", icon=":material/play_arrow:", disabled=measure_form.running()):
        measure_form.start(model, variants, suites, [])


def draw_advice(found: Advice, metrics: Mapping[str, str]) -> None:
    """Draw the recommended variant, the reasons, and the rule."""
    words = together(recommendation_text.sentences(found, metrics))
    if found.pick:
        st.success(words, icon=":material/recommend:")
    else:
        st.warning(words, icon=":material/warning:")
    st.caption(say("advice-rule"))


def draw_chart(known: Sequence[Standing], found: pd.DataFrame, total: float) -> None:
    """Draw speed against quality (or memory, if no quality is measured), and the conditions of the figures."""
    metrics = dict(zip(found["side"], found["metric"], strict=True))
    points = recommendation.points(known, "quality" if "quality" in metrics else "memory", total)
    if points.empty:
        return
    points["note"] = [
        say("device-memory", total=in_words(memory)) if pd.notna(memory) else "" for memory in points["size"]
    ]
    titles = {"skill_accuracy": say("overview-accuracy"), "top1_agreement": say("overview-agreement")}
    title, y_format = titles.get(metrics.get("quality", "")), ".1~%"
    if title is None:
        factor, unit = wording.size(points["size"].max(), "bytes")
        points[["y", "y_low", "y_high"]] *= factor
        title, y_format = say("overview-memory", unit=unit), ".3~g"
    figure = charts.trade_off(points, say("overview-speed"), title, y_format)
    st.plotly_chart(figure, key="trade-off", config=charts.BARE)
    left_out = [standing.variant for standing in known if standing.variant not in set(points["variant"])]
    if left_out:
        st.caption(say("overview-undrawn", variants=say("list-comma").join(left_out)))
    st.caption(together(recommendation_text.how_measured(found, points, total)))


def draw_table(known: Sequence[Standing], found: pd.DataFrame, runs: pd.DataFrame, total: float) -> None:
    """Draw a row per variant with the runs of its figures, and a table of all figures."""
    if found.empty:
        return
    sources = {}
    for variant, names in found.groupby("variant")["run"].unique().items():
        sources[variant] = "; ".join(
            f"{results.local_time(run['started']):%Y-%m-%d %H:%M} · {run['code_version']}"
            for _, run in runs.loc[names].iterrows()
        )
    rows = [
        {
            "variant": standing.variant,
            "speed": standing.speed and standing.speed.value,
            "memory": standing.memory and standing.memory.value / 1e9,
            "quality": standing.quality and standing.quality.value,
            "fits": fits(standing, total),
            "runs": sources.get(standing.variant),
        }
        for standing in known
    ]
    columns: dict[str, Any] = {
        "variant": say("variant"),
        "speed": st.column_config.NumberColumn(say("overview-speed"), format="%.1f"),
        "memory": st.column_config.NumberColumn(say("overview-memory", unit="GB"), format="%.3g"),
        "quality": st.column_config.NumberColumn(say("overview-quality"), format="percent"),
        "fits": st.column_config.CheckboxColumn(say("overview-fits")),
        "runs": say("overview-runs"),
    }
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=columns)
    results.numbers(found)


main()
