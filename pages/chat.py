"""Chat: pick a model and a variant, and talk to it."""

from collections.abc import Sequence

import streamlit as st

from dashboard import page_frame, safe_markdown, widgets
from dashboard.markup import plain
from dashboard.session.conversation import Desk
from dashboard.session.state import MESSAGE, NotAConversation, Round, loads
from dashboard.texts import language, say
from fastglm.demo.skills import SKILLS, Language, Skill, skills_of
from fastglm.messages import ToolCall

FIRST = ("advice", "stories", "multiplication", "capitals", "translation", "memory")  # model of an empty page


def main() -> None:
    """Draw the page."""
    desk, tab = page_frame.begin(say("chat"), wide=False)
    refused = choose(desk, tab)
    with st.container():
        if reason := desk.shelf.unsaved(tab):
            st.warning(say("unsaved", reason=reason), icon=":material/save:")
    rounds = desk.conversation(tab).rounds
    busy = desk.turn(tab) is not None
    if not rounds:
        st.info(say("chat-empty"), icon=":material/waving_hand:")
        if widgets.is_embedded(desk.conversation(tab).model) and not refused:
            examples(desk, tab, "first", [skill for skill in SKILLS if skill.name in FIRST])
    for past in rounds[:-1]:
        draw_round(past)
    if busy:
        st.fragment(draw_running, run_every=0.25)(desk, tab)
    elif rounds:
        draw_round(rounds[-1])
        retry = say("again") if rounds[-1].figures and not rounds[-1].error else say("try-again")
        st.button(
            retry, key="again", icon=":material/refresh:", on_click=desk.answer_last, args=[tab], disabled=bool(refused)
        )
    if refused:
        st.error(plain(refused), icon=":material/block:")
    if query := st.chat_input(say("chat-input"), key="query", max_chars=MESSAGE, disabled=busy or refused is not None):
        if query.strip():
            desk.ask(tab, query)
        st.rerun()


def choose(desk: Desk, tab: str) -> str | None:
    """Draw the choices and the buttons of the conversation; returns the reason why no question can be asked, if any."""
    conversation = desk.conversation(tab)
    left, right = st.columns(2)
    key, refused = widgets.pick("chat", left, right, conversation.model, conversation.variant)
    with st.container(horizontal=True):
        with st.popover(say("settings"), icon=":material/tune:"):
            settings = widgets.sampling(conversation.settings)
        with st.popover(say("conversation"), icon=":material/forum:"):
            system = widgets.system_text(key.model, conversation.system)
            files(desk, tab)
        if widgets.is_embedded(key.model):
            with st.popover(say("examples"), icon=":material/lightbulb:"):
                examples(desk, tab, "all", SKILLS, disabled=desk.turn(tab) is not None or refused is not None)
    if widgets.is_embedded(key.model):
        skills = len(skills_of(key.model))
        st.caption(say("demo-line", skills=skills) if key.model == "demo" else say("demo-glm-line", skills=skills))
    chosen = (key.model, key.variant, settings, system)
    if chosen != (conversation.model, conversation.variant, conversation.settings, conversation.system):
        conversation.model, conversation.variant, conversation.settings, conversation.system = chosen
        desk.shelf.save(tab)
    return refused


def examples(desk: Desk, tab: str, place: str, skills: Sequence[Skill], disabled: bool = False) -> None:
    """Draw a question for each skill of the demo model, asked with a click."""
    spoken: Language = "zh" if language() == "zh" else "en"
    for skill in skills:
        question = skill.examples[spoken]
        st.button(
            f"**{skill.titles[spoken]}** · {question}",
            key=f"example-{place}-{skill.name}",
            on_click=desk.ask,
            args=[tab, question],
            disabled=disabled,
            width="stretch",
        )


def files(desk: Desk, tab: str) -> None:
    """Draw the buttons that clear, save and load the conversation."""
    conversation = desk.conversation(tab)
    st.button(
        say("clear"),
        icon=":material/delete:",
        on_click=desk.clear,
        args=[tab],
        disabled=not conversation.rounds,
        width="stretch",
    )
    st.download_button(
        say("save"),
        conversation.dumps(),
        "conversation.json",
        "application/json",
        icon=":material/download:",
        on_click="ignore",
        disabled=not conversation.rounds,
        width="stretch",
    )
    uploads = st.session_state.setdefault("uploads", 0)  # a new key empties the uploader
    file = st.file_uploader(say("load"), type="json", key=f"upload-{uploads}", max_upload_size=5)
    if file is not None:
        try:
            loaded = loads(file.getvalue())
        except NotAConversation:
            st.error(say("not-a-conversation", name=file.name))
            return
        desk.clear(tab, loaded)
        for name in ("chat-model", "chat-variant"):
            st.session_state.pop(name, None)
        st.session_state["uploads"] = uploads + 1
        st.rerun()


def draw_round(past: Round) -> None:
    """Draw a question, its answer and its figures."""
    with st.chat_message("user"):
        safe_markdown.draw_plain(past.query)
    with st.chat_message("assistant"):
        if past.call:
            tool_call(past.call)
        else:
            safe_markdown.draw(past.response)
        if past.figures:
            widgets.figures_line(past.figures, past.model, past.variant, ended=past.error is None)
        if past.error:
            st.error(plain(past.error), icon=":material/error:")
        elif not past.figures:
            st.caption(":material/stop_circle: " + say("no-answer"))


def tool_call(call: ToolCall) -> None:
    """Draw the call of a tool: its name and its arguments, or the call as it was written and why it cannot be read."""
    st.markdown(":material/build: " + say("calls-tool", name=call.name))
    if call.fault or call.arguments is None:
        st.code(call.content, None, wrap_lines=True)
        st.error(plain(call.fault), icon=":material/error:")
        return
    st.code(call.arguments, "json", wrap_lines=True)
    st.caption(say("tool-not-run"))


def draw_running(desk: Desk, tab: str) -> None:
    """Draw the last round again and again while its answer is unfinished."""
    turn = desk.turn(tab)
    if turn is None:
        st.rerun()
    with st.chat_message("user"):
        safe_markdown.draw_plain(desk.conversation(tab).rounds[-1].query)
    with st.chat_message("assistant"):
        widgets.turn_text(turn)
        widgets.turn_status(turn)
        if turn.figures:
            widgets.figures_line(turn.figures, ended=False)
        st.button(say("stop"), key="stop", icon=":material/stop:", on_click=desk.stop, args=[tab])


main()
