"""The comparison page."""

import pytest
from fake_pool import FakePool
from page_run import TAB, Open, button, healthy, press, run_until, words
from streamlit.testing.v1 import AppTest

from dashboard.session.conversation import desk

PAGE = "pages/compare.py"


@pytest.fixture(autouse=True)
def different(pool: FakePool) -> None:
    pool.texts = {"original": "Paris is it.", "int4": "Paris <was> it."}


def compare(app: AppTest) -> AppTest:
    press(app, "Compare")
    return run_until(app, lambda app: TAB in desk().duels and desk().duels[TAB].ended and not button(app, "stop"))


def test_two_variants_side_by_side(open_page: Open, pool: FakePool) -> None:
    app = open_page(PAGE)
    assert [box.value for box in app.selectbox if box.label == "Variant"] == ["original", "int4"]
    compare(app)
    text = words(app)
    assert "Paris <mark" in text
    assert "&lt;was&gt; it.</mark>" in text
    assert "The texts differ from character 7 on." in text
    assert [(metric.label, metric.value) for metric in app.metric] == [
        ("Speed, B over A", "1.00 ×"),
        ("Memory, B over A", "1.00 ×"),
    ]
    assert len(app.get("plotly_chart")) == 2
    assert "cannot be compared" not in text
    assert pool.asked[-1][3] == {"do_sample": False, "max_length": 8192, "max_new_tokens": 64}


def test_a_race_says_that_its_times_are_not_comparable(open_page: Open) -> None:
    app = open_page(PAGE)
    app.toggle[0].set_value(True)
    compare(app)
    assert "cannot be compared" in app.warning[0].value


def test_equal_texts(open_page: Open, pool: FakePool) -> None:
    pool.texts = {}
    app = compare(open_page(PAGE))
    assert "Both texts are the same (8 characters)." in words(app)


def test_a_reload_finds_the_comparison(open_page: Open) -> None:
    compare(open_page(PAGE))
    assert open_page(PAGE).metric


def test_one_side_fails(open_page: Open, pool: FakePool) -> None:
    pool.dies = 3
    app = compare(open_page(PAGE))
    assert len(app.error) == 2
    assert not app.metric


def test_a_comparison_is_stopped_midway(open_page: Open, pool: FakePool) -> None:
    pool.texts, pool.text, pool.pace = {}, "x" * 500, 0.05
    app = press(open_page(PAGE), "Compare")
    run_until(app, lambda app: button(app, "stop"))
    healthy(button(app, "stop").click().run())
    run_until(app, lambda app: not button(app, "stop"))
    assert not app.metric
