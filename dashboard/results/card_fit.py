"""Memory that the variants of a model need, predicted before it is downloaded, and the smallest card for each."""

from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import widgets
from dashboard.markup import Markdown, bold
from dashboard.texts import say
from fastglm.errors import FastGLMError, UsageError
from fastglm.models.architecture import architectures
from fastglm.models.facts import ModelFacts
from fastglm.system.files import in_words
from fastglm.variants.need import CARDS, Need, predict_need
from fastglm.variants.variants import VARIANTS

SHORTEST, USUAL, LONGEST = 512, 8192, 1 << 20  # tokens of context that can be chosen


def facts_of(model: str) -> ModelFacts | None:
    """The facts of a model; until it is downloaded, those of the published size of its name, if there is one."""
    try:
        known = widgets.known_facts(model)
    except FastGLMError:  # the page says so elsewhere
        return None
    if known:
        return known[0]
    name = Path(model).name.lower()
    sizes = [each for each in architectures() if name in each.shapes]
    return sizes[0].facts_class.of_shape(name, sizes[0].shapes[name]) if sizes else None


def predict(facts: ModelFacts, context: int, cache: str) -> dict[str, Need]:
    """The need of each variant whose size can be predicted, on a GPU."""
    found = {}
    for name, variant in VARIANTS.items():
        try:
            found[name] = predict_need(facts, variant, context, cache=cache)
        except UsageError:  # the model has no such variant, or bitsandbytes packs it
            continue
    return found


def contexts(longest: int) -> list[int]:
    """The contexts that can be chosen, in tokens: powers of two, and the longest."""
    longest = min(longest, LONGEST)
    powers = [SHORTEST << power for power in range(12)]
    return [*(tokens for tokens in powers if tokens < longest), longest]


def draw(model: str) -> None:
    """Draw the prediction; nothing for a model whose size is unknown."""
    if (facts := facts_of(model)) is None:
        return
    st.subheader(say("cards-title", model=widgets.model_name(model)), anchor=False)
    choices = contexts(facts.context)
    usual = max((tokens for tokens in choices if tokens <= USUAL), default=choices[0])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        context = st.selectbox(say("context"), choices, choices.index(usual), key=f"cards-context-{model}", width=320)
        is_int8 = st.toggle(say("cards-int8"), key="cards-int8")
    found = predict(facts, context, "int8" if is_int8 else "auto")
    for card in (*CARDS, None):
        names = [name for name, need in found.items() if need.card == card]
        if names:
            about = {"variants": Markdown(say("list-comma").join(map(bold, names))), "context": str(context)}
            if card:
                st.markdown(say("cards-fit", count=len(names), card=card, **about))
            else:
                st.markdown(say("cards-none", count=len(names), card=CARDS[-1], **about))
    with st.expander(say("all-numbers")):
        _draw_table(found)
    st.caption(say("cards-how"))


def _draw_table(found: dict[str, Need]) -> None:
    """Draw the parts of each need."""
    columns = {
        say("variant"): list(found),
        say("memory-weights"): [in_words(need.weights) for need in found.values()],
        say("memory-cache"): [in_words(need.cache) for need in found.values()],
        say("cards-work"): [in_words(need.work) for need in found.values()],
        say("column-need"): [in_words(need.total) for need in found.values()],
        say("cards-card"): [f"{need.card} GB" if need.card else "–" for need in found.values()],
    }
    st.dataframe(pd.DataFrame(columns), hide_index=True)
