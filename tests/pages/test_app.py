"""The whole app, and each page by itself."""

import pytest
from page_run import PAGES, Open, healthy, place, words

EMPTY = {
    "history": "Measure something on the Latency page, or import",
    "latency": "Nothing has been measured yet",
    "memory": "No memory has been measured yet",
    "quality": "Nothing has been measured yet",
}


@pytest.mark.parametrize("page", PAGES)
def test_every_page_runs_by_itself_and_an_empty_one_says_what_to_do(open_page: Open, page: str) -> None:
    app = open_page(f"pages/{page}.py")
    assert app.title[0].value == page.capitalize()
    assert EMPTY.get(page, "") in words(app)
    assert not app.get("plotly_chart")


def test_the_element_that_asks_for_the_tab_moves_nothing_when_it_goes(open_page: Open) -> None:
    asking, told = open_page("pages/compare.py", tab=None), open_page("pages/compare.py")
    assert [len(asking.main.children)] == place(told.main, told.caption[0])


def test_the_whole_app_opens_at_the_chat_and_has_every_page(open_page: Open) -> None:
    app = open_page("streamlit_app.py")
    assert app.title[0].value == "Chat"
    for page in PAGES:
        assert healthy(app.switch_page(f"pages/{page}.py").run()).title[0].value == page.capitalize()


def test_limits_are_told_in_both_languages(open_page: Open) -> None:
    english, chinese = (words(open_page("pages/limits.py", locale=locale)) for locale in ("en-US", "zh-TW"))
    for topic in ("Facts", "Logic", "Bias", "Knowledge of themselves", "English", "The demo model"):
        assert topic in english
    for topic in ("事实", "逻辑", "偏见", "自我认知", "英文", "演示模型"):
        assert topic in chinese


def test_the_language_can_be_switched(open_page: Open) -> None:
    app = open_page("pages/limits.py")
    healthy(app.segmented_control[0].set_value("zh").run())
    assert app.title[0].value == "局限"
