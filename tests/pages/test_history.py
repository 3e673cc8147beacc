"""The history page."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fake_pool import FakePool
from page_run import Open, button, healthy, shown, words
from stored import recorded
from streamlit.testing.v1 import AppTest

from benchmarks.measure.measurement import Measurement
from benchmarks.store.run import Run
from benchmarks.store.store import Store
from dashboard.results import exchange, runs

PAGE = "pages/history.py"
BEGAN = datetime(2025, 3, 1, 12, tzinfo=UTC)
FACTS = {"node": "here", "cpu": "A processor", "threads": 2, "device": {"name": "A card"}}


def measured(
    number: int = 0, speed: float = 20.0, status: Any = "done", prompts: tuple[int, ...] = (32,), **changes: Any
) -> Run:
    """A stored run, `number` days after the first, with `speed` tokens per second."""
    facts = {"machine": FACTS, "versions": {"torch": "2.11"}, "code_version": f"code{number}", "command": "measure"}
    facts |= {"id": f"run-{number}", "started": BEGAN + timedelta(days=number), "settings": {"repeats": 5}}
    facts |= {"model": "demo", "variants": ("original", "int4"), "suites": ("latency",)}
    with recorded(run := Run(**(facts | changes)), status) as record:
        for repeat in range(5):
            for prompt in prompts:
                params = {"prompt_tokens": prompt, "answer_tokens": 64}
                record.add("original", "decode_rate", params, repeat, 10 + 0.01 * repeat)
                record.add("int4", "decode_rate", params, repeat, speed + 0.01 * repeat)
    return run


def table(app: AppTest, key: str = "runs") -> pd.DataFrame:
    return next(found.value for found in app.dataframe if (found.key or "").startswith(key))


def select(app: AppTest, *rows: int, key: str = "runs") -> AppTest:
    name = next(found.key for found in app.dataframe if (found.key or "").startswith(key))
    app.session_state[name] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    return healthy(app.run())


def versions(app: AppTest) -> list[str]:
    return table(app)["code_version"].tolist()


def click(app: AppTest, key: str) -> AppTest:
    return healthy(button(app, key).click().run())


def test_all_runs_are_listed_and_filtered_as_an_address_says_too(open_page: Open) -> None:
    measured(0)
    measured(1, status="failed", suites=("memory",))
    measured(2, model="shape:chatglm-6b", machine=FACTS | {"node": "there"})
    app = open_page(PAGE)
    assert versions(app) == ["code2", "code1", "code0"]
    row = ["2025-03-02 12:00", "demo", "original, int4", "memory", "here · A card", "code1", "failed"]
    assert table(app).iloc[1].tolist() == row
    assert "3 of 3 runs." in words(app)
    for key, value, left in (
        ("model", ["demo"], ["code1", "code0"]),
        ("suite", ["memory"], ["code1"]),
        ("machine", ["there · A card"], ["code2"]),
        ("history-status", ["done"], ["code2", "code0"]),
    ):
        healthy(app.multiselect(key=key).set_value(value).run())
        assert versions(app) == left
        healthy(app.multiselect(key=key).set_value([]).run())
    healthy(app.text_input[0].set_value("CODE1 memory").run())
    assert versions(app) == ["code1"]
    for query, left in (
        ({"status": "done", "search": "int4", "model": "demo"}, ["code0"]),
        ({"suite": ["memory", "latency"], "machine": "there · A card"}, ["code2"]),
    ):
        assert versions(open_page(PAGE, **query)) == left
    assert "0 of 3 runs." in words(open_page(PAGE, search="nothing like it"))


def test_one_run_is_shown_with_its_report(open_page: Open) -> None:
    run = measured(speed=30)
    kept = Store()
    kept.add([Measurement(run.id, "demo", "int8", "cpu", "failure", {"suite": "latency", "error": "![x](http://y)"})])
    app = select(open_page(PAGE), 0)
    assert app.query_params["runs"] == run.id
    text = words(app)
    assert "2025-03-01 12:00 · demo (built in) · done" in text
    assert "<b>Command</b>: measure" in text
    assert "**int8**" in text
    assert r"!\[x\](http" in app.warning[0].value
    assert 30.02 in app.dataframe[1].value["value"].tolist()
    page = exchange.report(kept, kept.runs().iloc[0])()
    assert page.startswith("<!doctype html>")
    assert run.id in page


def test_a_link_to_two_runs_compares_the_later_with_the_earlier(open_page: Open) -> None:
    measured(0, speed=20)
    measured(1, speed=40)
    app = open_page(PAGE, runs=["run-1", "run-0"])
    text = words(app)
    assert "**A**: run-0" in text
    assert "**B**: run-1" in text
    assert "B is better in 1, worse in 0, undecided in 1 and equal in 0" in text
    assert "the runs differ in code: code0 → code1" in text
    assert len(app.get("plotly_chart")) == 2
    lines = app.dataframe[1].value.set_index("variant")
    assert lines["verdict"].to_dict() == {"original": "undecided", "int4": "better"}
    assert lines["value"]["int4"] == pytest.approx(2, rel=0.01)
    assert lines["low"]["int4"] < lines["value"]["int4"] < lines["high"]["int4"]


def test_two_selected_runs_are_in_the_address_and_stay_when_filtered_out(open_page: Open) -> None:
    for number in range(3):
        measured(number)
    app = select(open_page(PAGE), 0, 2)
    assert app.query_params["runs"] == ["run-2", "run-0"]
    healthy(app.text_input[0].set_value("code1").run())
    assert versions(app) == ["code2", "code1", "code0"]
    assert "**B**: run-2" in words(app)
    select(app, 0)
    assert app.query_params["runs"] == "run-2"
    assert "**B**" not in words(app)


def test_runs_that_cannot_be_compared_and_links_to_none_are_one_line(open_page: Open) -> None:
    measured(0)
    measured(1, prompts=(128,))
    app = open_page(PAGE, runs=["run-0", "run-1"])
    (warning,) = app.warning
    assert "have no measurement in common" in warning.value
    app = open_page(PAGE, runs="gone")
    (warning,) = app.warning
    assert "This link names the run gone, which was deleted or is not stored here." in warning.value


def test_only_the_newest_are_drawn_and_the_linked_one(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SHOWN", 2)
    for number in range(5):
        measured(number, prompts=())
    app = open_page(PAGE, runs="run-0")
    assert versions(app) == ["code4", "code3", "code0"]
    assert "5 of 5 runs; the newest 2 are shown" in words(app)


def test_deleted_runs_can_be_restored_at_once_and_after_a_reload(open_page: Open) -> None:
    for number in range(3):
        measured(number)
    app = open_page(PAGE)
    assert button(app, "delete").disabled
    select(app, 0, 1)
    click(app, "delete")
    assert versions(app) == ["code0"]
    assert "2 runs were deleted." in words(app)
    assert not app.query_params.get("runs")
    click(app, "undo")
    assert versions(app) == ["code2", "code1", "code0"]
    assert not button(app, "undo")

    click(select(app, 1), "delete")
    app = open_page(PAGE)
    assert versions(app) == ["code2", "code0"]
    assert table(app, "deleted")["code_version"].tolist() == ["code1"]
    assert button(app, "restore").disabled
    click(select(app, 0, key="deleted"), "restore")
    assert versions(app) == ["code2", "code1", "code0"]
    assert not button(app, "restore")


def test_a_running_run_is_not_deleted(open_page: Open) -> None:
    measured(status="running")
    app = select(open_page(PAGE), 0)
    assert button(app, "delete").disabled
    assert "still measuring cannot be deleted" in words(app)


def pick(app: AppTest, key: str, value: str) -> AppTest:
    return healthy(app.selectbox(key=key).set_value(value).run())


def test_a_metric_over_the_code_versions(open_page: Open) -> None:
    for number in range(3):
        measured(number, speed=20 + number, prompts=(32, 128))
    measured(3, speed=99, machine=FACTS | {"node": "there"})
    app = open_page(PAGE, **{"trend-machine": "here · A card", "trend-variant": "int4"})
    numbers = app.dataframe[1].value
    assert numbers["version"].tolist() == ["code0", "code1", "code2"]
    assert numbers["value"].tolist() == [20.02, 21.02, 22.02]
    assert "Each point is a run on here · A card" in words(app)
    assert app.selectbox(key="trend-params").options == ["32 in, 64 out", "128 in, 64 out"]
    pick(app, "trend-variant", "original")
    assert app.dataframe[1].value["value"].tolist() == [10.02] * 3
    pick(app, "trend-machine", "there · A card")
    assert app.dataframe[1].value["version"].tolist() == ["code3"]
    pick(app, "trend-metric", "decode_rate_ratio")
    assert "no such number" in words(app)  # original has no ratio to itself


def test_exported_runs_are_imported_elsewhere_once(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measured(0)
    measured(1)
    file = exchange.exported(Store(), ["run-1"], ".json")
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path))
    app = open_page(PAGE)
    healthy(app.file_uploader[0].upload("mine.json", file).run())
    assert versions(app) == ["code1"]
    (told,) = app.success
    assert told.value == "mine.json: 1 new, 0 completed, 0 already here, 0 refused."
    assert len(Store().measurements()) == 3
    healthy(app.run())
    assert app.success[0].value == told.value  # a second import would report that it exists already


def test_a_broken_file_is_one_line_with_its_own_name(open_page: Open) -> None:
    app = open_page(PAGE)
    healthy(app.file_uploader[0].upload("mine.json", b'{"format": "nonsense"}').run())
    (error,) = app.error
    assert shown(error.value).startswith("mine.json: it is not a file of results")


def test_numbers_that_differ_are_refused(open_page: Open) -> None:
    measured(speed=20)
    file = exchange.exported(Store(), ["run-0"], ".json")
    app = open_page(PAGE)
    healthy(app.file_uploader[0].upload("mine.json", file.replace(b"20.0", b"25.0")).run())
    (warning,) = app.warning
    assert "1 refused" in warning.value
    assert "differ from the stored run" in warning.value


def test_a_machine_that_says_nonsense_has_a_name() -> None:
    assert runs.machine_name({"device": "gpu", "node": 3}) == "3"
    assert runs.machine_name({}) == "?"


def test_in_chinese(open_page: Open, pool: FakePool) -> None:
    measured(0)
    measured(1)
    app = open_page(PAGE, locale="zh-CN", runs=["run-0", "run-1"])
    assert app.title[0].value == "历史"
    assert "两次测量的比较" in words(app)
    assert app.dataframe[1].value["verdict"].tolist() == ["无法断定", "无法断定"]
