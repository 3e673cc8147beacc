"""Compare: one prompt, two variants, side by side."""

import streamlit as st

from benchmarks.report.charts import BARE
from dashboard import charts, page_frame, safe_markdown, widgets
from dashboard.markup import bold, plain
from dashboard.session.answering import Comparison, Turn
from dashboard.session.conversation import Desk
from dashboard.session.state import Figures, Settings
from dashboard.texts import say
from fastglm.hosting.protocol import HostKey

NAMES = ("A", "B")


def main() -> None:
    """Draw the page."""
    desk, tab = page_frame.begin(say("compare"))
    st.caption(say("compare-intro"))
    keys, refused = choose()
    duel = desk.duels.get(tab)
    busy = duel is not None and not duel.ended
    with st.form("question", border=False):
        prompt = st.text_area(say("prompt"), say("compare-prompt"), key="compare-prompt", height=80, max_chars=4000)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            tokens = st.number_input(say("answer-tokens"), 8, 2048, 64, 8, key="compare-tokens", width=160)
            race = st.toggle(say("race"), key="race", help=say("race-help"))
            go = st.form_submit_button(
                say("compare-go"), type="primary", icon=":material/play_arrow:", disabled=busy or refused
            )
    if go and prompt.strip():
        # Greedy decoding, so that only the weights make the texts differ.
        desk.compare(tab, keys, prompt, {**Settings(temperature=0).for_stream(), "max_new_tokens": int(tokens)}, race)
        st.rerun()
    if duel is not None and busy:
        st.fragment(draw_running, run_every=0.25)(desk, tab)
    elif duel is not None:
        draw_ended(duel)


def choose() -> tuple[tuple[HostKey, HostKey], bool]:
    """Draw the choices of both sides; returns them, and whether one of them cannot run."""
    picked = []
    for name, column, variant in zip(NAMES, st.columns(2), ("original", "int4"), strict=True):
        with column, st.container(border=True):
            st.markdown(f"**{name}**")
            left, right = st.columns(2)
            key, refused = widgets.pick(f"compare-{name}", left, right, variant=variant, link=f"model-{name.lower()}")
            if refused:
                st.error(plain(refused), icon=":material/block:")
            picked.append((key, refused))
    (a, refused_a), (b, refused_b) = picked
    return (a, b), bool(refused_a or refused_b)


def draw_running(desk: Desk, tab: str) -> None:
    """Draw both answers again and again until both are finished."""
    duel = desk.duels.get(tab)
    if duel is None or duel.ended:
        st.rerun()
    st.button(say("stop"), key="stop", icon=":material/stop:", on_click=duel.cancel)
    for name, column, turn in zip(NAMES, st.columns(2), duel.turns, strict=True):
        with column, st.container(border=True):
            head(name, turn)
            widgets.turn_text(turn)
            widgets.turn_status(turn)
            if turn.figures:
                widgets.figures_line(turn.figures, ended=turn.ended and not turn.error)


def head(name: str, turn: Turn) -> None:
    """Draw the name above an answer."""
    st.markdown(f"**{name}** · {plain(widgets.model_name(turn.key.model))} · {bold(turn.key.variant)}")


def draw_ended(duel: Comparison) -> None:
    """Draw both answers with the first difference marked, and their figures."""
    left, right = duel.turns
    st.divider()
    with st.chat_message("user"):
        safe_markdown.draw_plain(left.prompt)
    parted = safe_markdown.parting(left.text, right.text) if left.text and right.text else None
    for name, column, turn in zip(NAMES, st.columns(2), duel.turns, strict=True):
        with column, st.container(border=True):
            head(name, turn)
            if turn.error:
                st.error(plain(turn.error), icon=":material/error:")
            safe_markdown.draw_parting(turn.text, parted)
            if turn.figures:
                widgets.figures_line(turn.figures, ended=not turn.error)
    if left.state == right.state == "done" and left.figures and right.figures:
        draw_parting(left.text, parted)
        draw_figures(duel, left.figures, right.figures)


def draw_parting(text: str, at: int | None) -> None:
    """Name the position where the two texts begin to differ."""
    if at is None:
        st.success(say("texts-equal", count=len(text)), icon=":material/equal:")
    else:
        st.info(say("texts-part", at=at + 1), icon=":material/call_split:")


def draw_figures(duel: Comparison, left: Figures, right: Figures) -> None:
    """Draw the ratio of the speeds, the memory of each, and a chart of both."""
    is_beside = any(turn.beside for turn in duel.turns)
    if duel.race:
        st.warning(say("race-warning"), icon=":material/warning:")
    elif is_beside:
        st.warning(say("beside-warning"), icon=":material/warning:")
    variants = [turn.key.variant for turn in duel.turns]
    speed, memory = st.columns(2)
    if left.decode_rate and right.decode_rate:
        with speed:
            ratio = right.decode_rate / left.decode_rate
            st.metric(say("speed-ratio"), f"{ratio:.2f} ×", help=None if duel.race else say("speed-ratio-help"))
            rates = [left.decode_rate, right.decode_rate]
            st.plotly_chart(charts.pair(variants, rates, say("tokens-per-second")), key="speeds", config=BARE)
    if left.memory and right.memory:
        with memory:
            st.metric(say("memory-ratio"), f"{right.memory / left.memory:.2f} ×", help=say("memory-ratio-help"))
            sizes = [left.memory / 1e6, right.memory / 1e6]
            st.plotly_chart(charts.pair(variants, sizes, "MB"), key="sizes", config=BARE)
    if not duel.race and not is_beside:
        st.caption(say("compare-how"))


main()
