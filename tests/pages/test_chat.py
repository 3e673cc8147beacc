"""The chat page."""

import threading

import pytest
from fake_pool import FakePool
from page_run import TAB, Open, box, button, healthy, press, run_until, words
from streamlit.testing.v1 import AppTest

from dashboard.session.conversation import desk
from dashboard.session.state import Conversation, Figures, Round
from fastglm.demo.skills import GLM_SKILLS, SKILLS
from fastglm.errors import FastGLMError
from fastglm.messages import Message, ToolCall

PAGE = "pages/chat.py"


def ask(app: AppTest, text: str) -> AppTest:
    healthy(app.chat_input[0].set_value(text).run())
    return run_until(app, lambda app: button(app, "again"))


def test_a_message_is_answered_with_its_figures(open_page: Open, pool: FakePool) -> None:
    app = open_page(PAGE)
    assert "Ask something" in words(app)
    assert "Test GPU" in words(app)
    assert "compute capability 8.9" in words(app)
    ask(app, "hello <b>you</b>")
    assert len(app.chat_message) == 2
    text = words(app)
    assert "hello &lt;b&gt;you&lt;/b&gt;" in text
    assert pool.text in text
    assert "8 tokens · first token after 0.10 s · 50.0 tokens/s · 250.0 MB in use" in text


def test_an_answer_that_fills_the_context_says_so(open_page: Open) -> None:
    figures = Figures(3, 0.1, 20.0, 1000, stop="length", context_full=True)
    desk().shelf.put(TAB, Conversation([Round("more", "and so on", figures=figures)]))
    text = words(open_page(PAGE))
    assert "The context is full, so the answer ends here" in text
    assert "The maximum length was reached" not in text


def test_a_call_of_a_tool_is_drawn_as_one(open_page: Open, pool: FakePool) -> None:
    pool.text, pool.call = "search\n{}", ToolCall("search", "{}", '{"query": "x"}')
    app = ask(open_page(PAGE), "look")
    assert "A call of the tool **search**" in words(app)
    assert [found.value for found in app.code] == ['{"query": "x"}']
    pool.call = ToolCall("search", "{", fault="it is not JSON")
    ask(app, "again")
    assert "it is not JSON" in words(app)
    assert app.code[-1].value == "{"
    assert pool.asked[-1][2] == [Message("user", "look"), Message("assistant", "{}", "search")]


def test_an_empty_message_does_nothing(open_page: Open, pool: FakePool) -> None:
    app = open_page(PAGE)
    healthy(app.chat_input[0].set_value("  \n ").run())
    assert not app.chat_message
    assert not pool.asked


def test_an_answer_streams_and_is_stopped_while_another_tab_is_answered(open_page: Open, pool: FakePool) -> None:
    pool.text, pool.pace = "0123456789" * 4, 0.05
    mine, its = open_page(PAGE), open_page(PAGE, tab="another-tab-of-the-same-person")
    for app, question in ((mine, "my question"), (its, "its question")):
        healthy(app.chat_input[0].set_value(question).run())
    run_until(mine, lambda app: "0123" in words(app))
    run_until(its, lambda app: "0123" in words(app))
    assert mine.chat_input[0].disabled
    assert "its question" not in words(mine)
    healthy(button(mine, "stop").click().run())
    run_until(mine, lambda app: button(app, "again"))
    run_until(its, lambda app: button(app, "again"))
    assert "Stopped." in words(mine)
    assert not mine.chat_input[0].disabled
    assert pool.text in words(its)
    assert "Stopped." not in words(its)
    assert "my question" not in words(its)


def test_answering_again(open_page: Open, pool: FakePool) -> None:
    app = ask(open_page(PAGE), "hello")
    pool.text = "something else"
    healthy(button(app, "again").click().run())
    run_until(app, lambda app: "something else" in words(app))
    assert len(app.chat_message) == 2


def test_loading_shows_a_bar_and_the_queue_is_visible(open_page: Open, pool: FakePool) -> None:
    pool.load_time, pool.gate, pool.first_state = 1.0, threading.Event(), "queued"
    app = open_page(PAGE)
    healthy(app.chat_input[0].set_value("hello").run())
    run_until(app, lambda app: app.get("progress"))
    run_until(app, lambda app: "2 answers before yours" in words(app))
    pool.gate.set()
    run_until(app, lambda app: button(app, "again"))


def test_waiting_for_a_benchmark_is_visible(open_page: Open, pool: FakePool) -> None:
    pool.gate, pool.first_state = threading.Event(), "waiting"
    app = open_page(PAGE)
    healthy(app.chat_input[0].set_value("hello").run())
    run_until(app, lambda app: "Waiting for the device: a benchmark" in words(app))
    pool.gate.set()


def test_a_dead_host_gives_a_message_and_a_way_on(open_page: Open, pool: FakePool) -> None:
    pool.dies = 2
    app = ask(open_page(PAGE), "hello")
    assert "ended (signal 9)" in app.error[0].value
    assert button(app, "again").label == "Try again"
    pool.dies = None
    healthy(button(app, "again").click().run())
    run_until(app, lambda app: pool.text in words(app))
    assert not app.error


def test_a_reload_finds_the_conversation_and_another_tab_has_its_own(open_page: Open) -> None:
    ask(open_page(PAGE), "hello")
    assert len(open_page(PAGE).chat_message) == 2
    assert not open_page(PAGE, tab="another-tab-of-the-same-person").chat_message


def test_before_the_browser_tells_its_tab_nothing_is_shown(open_page: Open) -> None:
    app = open_page(PAGE, tab=None)
    assert not app.chat_input


def test_saving_clearing_and_loading(open_page: Open) -> None:
    app = ask(open_page(PAGE), "hello")
    saved = desk().conversation(TAB).dumps()
    assert app.get("download_button")
    press(app, "Clear")
    assert not app.chat_message
    healthy(app.file_uploader[0].upload("talk.json", saved.encode(), "application/json").run())
    assert len(healthy(app.run()).chat_message) == 2
    assert desk().conversation(TAB).dumps() == saved


def test_a_file_that_is_no_conversation_loses_nothing(open_page: Open) -> None:
    app = ask(open_page(PAGE), "hello")
    healthy(app.file_uploader[0].upload("list.json", b"[1, 2]", "application/json").run())
    (error,) = app.error
    assert error.value.startswith("list.json is not a conversation saved by this app; your conversation is unchanged.")
    assert len(app.chat_message) == 2


def test_a_loaded_file_brings_its_choices(open_page: Open) -> None:
    app = open_page(PAGE)
    file = Conversation([Round("q", "a")], variant="int8").dumps().encode()
    healthy(app.file_uploader[0].upload("talk.json", file, "application/json").run())
    healthy(app.run())
    assert box(app, "Variant").value == "int8"


def test_the_settings_are_the_published_ones_and_reach_the_model(open_page: Open, pool: FakePool) -> None:
    app = open_page(PAGE)
    assert [slider.value for slider in app.slider] == [0.7, 0.95]
    assert [number.value for number in app.number_input] == [8192, None]
    healthy(app.slider[1].set_value(0.0).run())
    ask(app, "hello")
    assert pool.asked[-1][3] == {"do_sample": False, "max_length": 8192, "owner": TAB}


def test_a_system_message_for_models_that_know_its_role(open_page: Open, pool: FakePool) -> None:
    app = open_page(PAGE)
    assert not app.text_area
    for model, known in (("shape:chatglm2-6b", False), ("shape:chatglm3-6b", True), ("shape:glm-4-9b", True)):
        desk().conversation(TAB).model = model
        app = open_page(PAGE)
        assert bool(app.text_area) == known, model
    healthy(app.text_area[0].set_value(" 短。 ").run())
    ask(app, "hello")
    assert pool.asked[-1][2] == [Message("system", "短。")]
    assert desk().conversation(TAB).system == "短。"


def test_a_path_that_a_visitor_makes_up_is_refused(open_page: Open, pool: FakePool) -> None:
    desk().conversation(TAB).model = "/etc"  # as a conversation file may contain
    app = open_page(PAGE)
    assert "may not be opened here" in app.error[0].value
    assert app.chat_input[0].disabled


def test_a_message_goes_to_the_chosen_model_when_the_browsers_address_is_older(open_page: Open, pool: FakePool) -> None:
    app = open_page(PAGE)
    healthy(box(app, "Model").set_value("demo-glm").run())
    healthy(box(app, "Variant").set_value("int8").run())
    app.query_params.update(model="demo", variant="original")  # sent before the page's last answer had come
    ask(app, "who are you")
    assert (box(app, "Model").value, box(app, "Variant").value) == ("demo-glm", "int8")
    (said,) = desk().conversation(TAB).rounds
    assert (said.model, said.variant) == ("demo-glm", "int8")


def test_in_chinese(open_page: Open) -> None:
    app = open_page(PAGE, locale="zh-CN")
    assert app.title[0].value == "对话"


@pytest.mark.parametrize("line", ["config.json is missing", "needs 13.7 GB, 8.2 GB are free"])
def test_a_refusal_of_the_loader_is_one_line(open_page: Open, pool: FakePool, line: str) -> None:
    pool.refuses = FastGLMError(line)
    app = ask(open_page(PAGE), "hello")
    assert [error.value for error in app.error] == [line]


def test_examples_of_every_skill_are_asked_with_a_click(open_page: Open, pool: FakePool) -> None:
    app = open_page(PAGE)
    assert f"on {len(SKILLS)} small skills" in words(app)
    assert all(button(app, f"example-all-{skill.name}") for skill in SKILLS)
    healthy(button(app, "example-first-capitals").click().run())
    run_until(app, lambda app: button(app, "again"))
    asked = next(skill.examples["en"] for skill in SKILLS if skill.name == "capitals")
    assert pool.asked[-1][1] == asked
    assert asked in words(app)
    assert button(app, "example-first-capitals") is None


def test_the_second_demo_has_the_same_examples(open_page: Open) -> None:
    desk().conversation(TAB).model = "demo-glm"
    app = open_page(PAGE)
    assert f"{len(GLM_SKILLS)} small skills, one of them the call of a calculator" in words(app)
    assert all(button(app, f"example-all-{skill.name}") for skill in SKILLS)


def test_other_models_have_no_examples(open_page: Open) -> None:
    desk().conversation(TAB).model = "shape:chatglm-6b"
    app = open_page(PAGE)
    assert "small skills" not in words(app)
    assert not [found for found in app.button if (found.key or "").startswith("example-")]
