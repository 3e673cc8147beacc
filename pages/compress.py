"""Compress: a model and a recipe, the predicted result, the running job, and the finished model."""

import streamlit as st

from dashboard import machine, page_frame, widgets
from dashboard.compress import form, prediction, result_card
from dashboard.jobs import status
from dashboard.markup import plain
from dashboard.texts import say
from fastglm.compress.recipe import Recipe
from fastglm.errors import FastGLMError


def main() -> None:
    """Draw the page."""
    page_frame.begin(say("compress"))
    st.caption(say("compress-intro"))
    choose()
    status.watch()
    form.offer_rest()
    draw_made()


def choose() -> None:
    """Draw model and recipe, the prediction, and the start button."""
    left, right = st.columns(2)
    with left:
        model = widgets.pick_model("compress", link="model")
    with st.container():  # a fixed place for the form below, so that a slow page does not show it twice
        try:
            recipe = form.pick_recipe(right)
            form.show_yaml(recipe)
            reason = widgets.refusal(model) or predict(model, recipe)
        except FastGLMError as error:
            st.error(plain(error), icon=":material/error:")
            return
        if reason:
            st.error(plain(reason), icon=":material/block:")
    ask(model, recipe, able=reason is None)


def predict(model: str, recipe: Recipe) -> str | None:
    """Draw the predicted result; returns the reason why it cannot be made, if any. Raises FastGLMError if it cannot be
    predicted.
    """
    known = widgets.known_facts(model)
    if known is None:
        st.info(say("predicted-unknown"), icon=":material/download:")
        return None
    facts, _ = known
    if facts.is_quantized:
        return say("compress-quantised")
    card = machine.device()
    kind = card.kind if card else "cpu"
    st.subheader(say("predicted"), anchor=False)
    prediction.draw(prediction.predict(facts, recipe, kind), recipe, kind)
    return say("compress-shape") if model.startswith("shape:") else None


def ask(model: str, recipe: Recipe, able: bool) -> None:
    """Draw texts and name, and the button."""
    texts = form.pick_texts(model, recipe)
    usual = form.usual_name(model, recipe)
    with st.form("make", border=False):
        with st.container():
            own = (
                st.file_uploader(say("texts-file"), ["txt", "jsonl"], help=say("texts-file-help"))
                if texts == "own"
                else None
            )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input(say("compress-name"), usual, key=f"name-{usual}", max_chars=60, width=320)
            go = st.form_submit_button(
                say("compress-go"), type="primary", icon=":material/compress:", disabled=not able
            )
    if not go:
        return
    try:
        form.start(model, recipe, name.strip(), texts, own)
    except FastGLMError as error:
        st.error(plain(error), icon=":material/error:")
        return
    st.query_params["made"] = name.strip()
    st.rerun()


def draw_made() -> None:
    """Draw the card of the model that the visitor picks: the one in the address, otherwise the newest."""
    st.divider()
    st.subheader(say("made"), anchor=False)
    folders = {folder.name: folder for folder in result_card.found()}
    if not folders:
        st.info(say("made-empty"), icon=":material/compress:")
        return
    names, linked = list(folders), st.query_params.get("made")
    place = names.index(linked) if linked in names else 0
    chosen = str(st.selectbox(say("made-model"), names, place, key=f"made-{linked}-{names[0]}"))
    if linked in names or chosen != names[0]:  # a link to an unfinished model stays
        st.query_params["made"] = chosen
    try:
        result_card.draw(folders[chosen])
    except FastGLMError as error:
        st.error(plain(error), icon=":material/error:")


main()
