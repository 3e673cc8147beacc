"""The whole app, and each page by itself."""

import pytest
from page_run import PAGES, Open, healthy, place, words


@pytest.mark.parametrize("page", PAGES)
def test_every_page_runs_by_itself(open_page: Open, page: str) -> None:
    assert open_page(f"pages/{page}.py").title[0].value == PAGES[page]


def test_the_element_that_asks_for_the_tab_moves_nothing_when_it_goes(open_page: Open) -> None:
    asking, told = open_page("pages/compare.py", tab=None), open_page("pages/compare.py")
    assert [len(asking.main.children)] == place(told.main, told.caption[0])


def test_the_whole_app_opens_at_the_chat_and_has_every_page(open_page: Open) -> None:
    app = open_page("streamlit_app.py")
    assert app.title[0].value == "Chat"
    for page, title in PAGES.items():
        assert healthy(app.switch_page(f"pages/{page}.py").run()).title[0].value == title


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
