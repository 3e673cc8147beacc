"""The latency page."""

import json
import platform
import sqlite3
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from page_run import DEMO_VARIANTS, Open, box, button, healthy, press, shown, words
from stored import keep, more, recorded
from streamlit.testing.v1 import AppTest

from benchmarks.jobs.jobs import Job, Jobs
from benchmarks.store import store
from benchmarks.store.run import Run
from benchmarks.store.store import Store
from dashboard.jobs import jobs
from dashboard.results import results
from fastglm.hosting.lease import serving_lease

PAGE = "pages/latency.py"


def measured() -> Run:
    """A run of two variants in the store."""
    rates = [
        (variant, metric, {"prompt_tokens": prompt, "answer_tokens": 64}, value, 5, value - 1, value + 1)
        for variant, factor in (("original", 1.0), ("int4", 4.0))
        for prompt in (32, 128)
        for metric, value in (("decode_rate", 25 * factor), ("prefill_rate", 900 / factor))
    ]
    ratio = {"prompt_tokens": 32, "answer_tokens": 64, "baseline": "original"}
    run = Run("demo", ("original", "int4"), ("latency",), {"threads": 2})
    return keep(run, *rates, ("int4", "decode_rate_ratio", ratio, 4.0, 5, 3.8, 4.1))


def timed(lengths: tuple[int, ...] = (32, 128), **about: Any) -> Run:
    """A stored run with samples of tokens that take 10 ms and 2 ms each, weights of 40 MB and 10 MB."""
    facts = {"device": {"name": "Test GPU", "bandwidth": 10 * 10**9}}
    weights = {"original": 40_000_000, "int4": 10_000_000}
    run = Run("demo", tuple(weights), ("latency", "quality"), {"weights": weights}, **({"machine": facts} | about))
    with recorded(run) as record:
        for variant, gap in (("original", 0.010), ("int4", 0.002)):
            record.devices[variant] = "cpu"
            for length, repeat in product(lengths, range(3)):
                params = {"prompt_tokens": length, "answer_tokens": 64}
                record.add(variant, "ttft", params, repeat, gap * length)
                record.add(variant, "decode_rate", params, repeat, 1 / gap)
                record.add(variant, "decode_latency", params, repeat, *[gap] * 62, 2 * gap)
    more(run, ("int4", "skill_accuracy", {}, 0.9, 228))
    return run


def chart(app: AppTest, name: str) -> dict[str, Any]:
    """The chart with a key, in plotly's form."""
    (found,) = (element for element in app.get("plotly_chart") if element.proto.id.endswith(f"-chart-{name}"))
    return dict(json.loads(found.proto.spec))


def values(figure: dict[str, Any], axis: str = "x") -> dict[str, list[float]]:
    return {trace["name"]: trace[axis] for trace in figure["data"]}


def test_a_kept_run_is_plotted(open_page: Open) -> None:
    run = measured()
    app = open_page(PAGE)
    text = words(app)
    assert "Writing speed of **int4** over original: **4.00 ×** (95 %: 3.80 – 4.10) after 32 prompt tokens." in text
    assert len(app.get("plotly_chart")) == 2
    assert "Medians of 5 repeats" in text
    assert run.code_version in text
    assert "Test GPU" in text
    table = app.dataframe[0].value
    assert set(table["variant"]) == {"original", "int4"}
    assert len(table) == 9


def test_an_earlier_run_can_be_picked(open_page: Open) -> None:
    first, second = measured(), measured()
    app = open_page(PAGE)
    runs = box(app, "Measurement")
    assert len(runs.options) == 2
    assert {first.id, second.id} >= {runs.value}
    healthy(runs.select_index(1).run())
    assert len(app.get("plotly_chart")) == 2


def bar(app: AppTest) -> str:
    """The text beside the progress bar."""
    (found,) = app.get("progress")
    return str(found.proto.text)


def test_measuring_is_a_job_that_a_reload_finds_again(open_page: Open, worker: Callable[[], Job]) -> None:
    queue = Jobs(Store())
    app = press(open_page(PAGE), "Measure")
    assert "demo (built in) · Latency · next in line" in words(app)
    job = worker()
    assert " ".join(job.arguments) == (
        f"-m benchmarks run --model demo --variants {','.join(DEMO_VARIANTS)} --suite latency "
        "--prompt-tokens 32,128 --answer-tokens 64 --repeats 5 --progress json"
    )
    assert bar(healthy(app.run())) == "Starting …"
    queue.tell(job, {"stage": "int4: 32 tokens in", "fraction": 0.3, "eta": 12.0}, ["run r1", "int4: 32 tokens in"])
    again = open_page(PAGE)
    assert bar(again) == "int4: 32 tokens in · about 12 s left"
    assert not again.code  # the log is closed
    again.session_state[f"log-{job.id}"] = True
    assert healthy(again.run()).code[0].value == "run r1\nint4: 32 tokens in"
    healthy(button(again, f"cancel-{job.id}").click().run())
    assert bar(healthy(again.run())).startswith("Stopping")
    assert button(again, f"cancel-{job.id}").disabled
    queue.finish(job, "cancelled")
    assert not healthy(again.run()).get("progress")
    assert "was cancelled" in words(again)


def test_a_request_made_meanwhile_waits_for_its_turn(open_page: Open, worker: Callable[[], Job]) -> None:
    queue = Jobs(Store())
    app = press(open_page(PAGE), "Measure")
    first = worker()
    next(number for number in app.number_input if number.label == "Repeats").set_value(7)
    press(app, "Measure")
    press(app, "Measure")  # a second click
    _, second = queue.unfinished()
    assert "waits for 1 before it" in words(app)
    next(number for number in app.number_input if number.label == "Repeats").set_value(9)
    assert "waits for 2 before it" in words(press(app, "Measure"))
    healthy(button(app, f"cancel-{second.id}").click().run())
    assert "waits for 2 before it" not in words(healthy(app.run()))
    assert "was cancelled" not in words(app)  # nothing had been measured
    queue.finish(first, "failed", "shard 2 is missing")
    assert "next in line" in words(healthy(app.run()))
    assert "shard 2 is missing" in words(app)
    worker()
    queue.add(["-m", "benchmarks", "resume", "r1"])
    assert "r1 的剩余部分 · 排队中，前面还有 1 项" in words(open_page(PAGE, locale="zh-CN"))


def test_a_job_that_fails_says_why_until_another_is_asked_for(open_page: Open, worker: Callable[[], Job]) -> None:
    Jobs(Store()).add(["-c", "pass"])
    Jobs(Store()).finish(worker(), "failed", "shard 2 is missing")
    app = open_page(PAGE)
    assert "shard 2 is missing" in words(app)
    assert "shard 2 is missing" not in words(press(app, "Measure"))


def test_a_job_whose_worker_is_gone_is_told_of(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(jobs, "_see_to", lambda left: seen.append(len(left)))
    Jobs(Store()).add(["-m", "benchmarks", "resume", "r1"])
    Jobs(Store()).claim("4194305 1.00")
    assert "continues where it stopped" in bar(open_page(PAGE))
    assert 1 in seen


def test_a_worker_that_cannot_work_is_told_of(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_see_to", lambda _: None)
    monkeypatch.setattr(jobs, "trouble", lambda: "error: no module named benchmarks")
    Jobs(Store()).add(["-m", "benchmarks", "resume", "r1"])
    app = open_page(PAGE)
    assert "the rest of r1 · next in line" in words(app)
    assert "no module named benchmarks" in words(app)


def test_a_database_from_a_newer_version_gives_one_line(open_page: Open, own_home: Path) -> None:
    measured()
    with sqlite3.connect(own_home / "results" / "results.sqlite") as database:
        database.execute("UPDATE fastglm_revision SET version_num = '0099'")
    app = open_page(PAGE)
    assert len(app.error) == 1
    assert "newer FAST-ChatGLM" in app.error[0].value


def test_a_locked_database_gives_one_line(open_page: Open, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured()
    monkeypatch.setattr(store, "BUSY_TIMEOUT", 0.1)
    with sqlite3.connect(own_home / "results" / "results.sqlite", isolation_level=None) as database:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("BEGIN EXCLUSIVE")
        app = open_page(PAGE)
        database.execute("ROLLBACK")
    (error,) = app.error
    assert "is locked by another program" in error.value


def test_a_run_without_numbers(open_page: Open) -> None:
    keep(Run("demo", ("original",), ("latency",), {}), status="cancelled")
    assert "no numbers" in words(open_page(PAGE))


def test_a_run_that_broke_off_can_be_gone_on_with(open_page: Open, commands: list[list[str]]) -> None:
    facts = {"node": platform.node()}
    run = Run("demo", ("original",), ("latency",), {}, machine=facts)
    elsewhere = Run("demo", ("original",), ("latency",), {}, machine={"node": "elsewhere"})
    files = Run("demo", ("original",), ("latency",), {"texts": "/etc/passwd"}, machine=facts)
    checkpoint = Run("/etc", ("original",), ("latency",), {}, machine=facts)
    for begun in (run, elsewhere, files, checkpoint):
        keep(begun, status="cancelled")
    for refused in (elsewhere, files, checkpoint):
        assert not button(open_page(PAGE, run=refused.id), "go-on")
    healthy(button(open_page(PAGE, run=run.id), "go-on").click().run())
    assert commands == [["-m", "benchmarks", "resume", run.id, "--progress", "json"]]


def test_a_link_to_a_run_that_is_not_here_is_told_of_until_another_is_chosen(open_page: Open) -> None:
    first, _ = measured(), measured()
    app = open_page(PAGE, run="20200101-000000-abcdef")
    assert "20200101-000000-abcdef, which is not stored here" in words(healthy(app.run()))
    runs = box(app, "Measurement")
    healthy(runs.select_index(1).run())
    healthy(app.run())
    assert "which is not stored here" not in words(app)
    assert app.query_params["run"] in (first.id, [first.id])


def test_the_newest_runs_and_the_linked_one_can_be_chosen(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "LISTED", 2)
    first, *_ = [measured() for _ in range(4)]
    app = open_page(PAGE, run=first.id)
    listed = box(app, "Measurement")
    assert (len(listed.options), listed.value) == (3, first.id)
    assert "The newest 2 runs" in listed.help
    healthy(listed.select_index(0).run())
    assert app.query_params["run"] != [first.id]


def test_times_of_tokens_and_of_the_first_are_plotted_with_only_this_pages_numbers(open_page: Open) -> None:
    timed()
    app = open_page(PAGE)
    text = words(app)
    assert values(chart(app, "ttft"), "y") == {
        "original": pytest.approx([0.32, 1.28]),
        "int4": pytest.approx([0.064, 0.256]),
    }
    assert "Time to the first token of **int4** over original: **0.20 ×** (95 %: 0.20 – 0.20) after 32" in text
    quantiles = chart(app, "quantiles")
    assert quantiles["data"][0]["y"] == ["p50", "p95", "p99"]
    assert values(quantiles)["int4"] == pytest.approx([2, 2, 4])  # ms
    assert max(values(chart(app, "times"))["original"]) == pytest.approx(20)
    assert "Medians of 3 repeats" in text
    assert "skill_accuracy" not in set(app.dataframe[0].value["metric"])


def test_the_prompt_length_of_token_times_is_in_the_address(open_page: Open) -> None:
    timed()
    after = open_page(PAGE, after="128").selectbox(key="after")
    assert (after.value, after.options) == ("128", ["32", "128"])


def test_each_variant_is_held_against_the_bandwidth_where_the_run_measured_it(open_page: Open) -> None:
    run = timed()
    app = open_page(PAGE)
    assert values(chart(app, "floor")) == {"original": pytest.approx([0.4]), "int4": pytest.approx([0.5])}
    assert "10 GB/s, the speed of copying memory" in words(app)
    assert "**original** 4 ms/token, **int4** 1 ms/token" in words(app)
    without = timed(machine={})
    assert "floor" not in words(open_page(PAGE, run=without.id))
    assert "floor" in words(open_page(PAGE, run=run.id))


def test_with_one_prompt_length_the_page_says_how_to_get_more(open_page: Open) -> None:
    timed(lengths=(32,))
    app = open_page(PAGE)
    assert "choose several lengths" in words(app)
    assert values(chart(app, "ttft"))["int4"] == pytest.approx([64])  # ms
    assert not [box for box in app.selectbox if box.key == "after"]


def test_throughput_is_drawn_where_it_was_measured(open_page: Open) -> None:
    run = timed()
    assert "Throughput" not in words(open_page(PAGE))
    for batch in (1, 4):
        params = {"batch": batch, "prompt_tokens": 32, "answer_tokens": 64}
        more(run, ("int4", "throughput", params, 90.0 * batch, 3, 80, 400))
    (line,) = chart(open_page(PAGE), "throughput")["data"]
    assert (line["x"], line["y"]) == ([1, 4], [90, 360])


def test_a_results_file_that_is_taken_away_is_noticed(open_page: Open, own_home: Path) -> None:
    measured()
    assert open_page(PAGE).get("plotly_chart")
    for file in (own_home / "results").iterdir():
        file.unlink()
    assert "Nothing has been measured yet" in words(open_page(PAGE))
    measured()
    assert open_page(PAGE).get("plotly_chart")


def test_a_measurement_beside_a_server_is_offered_and_marked(open_page: Open, commands: list[list[str]]) -> None:
    keep(
        Run("demo", ("int4",), ("latency",), {"noise": {"beside": {"server": "a *server*"}, "other": {"x": 1}}}),
        ("int4", "decode_rate", {"prompt_tokens": 32, "answer_tokens": 64}, 9.0),
    )
    app = open_page(PAGE)
    assert "noisy: a *server* served on the same device meanwhile" in words(app)
    assert not app.toggle
    press(app, "Measure")
    with serving_lease("cuda:0", "a server of demo"):
        app = open_page(PAGE)
        (beside,) = app.toggle
        assert "a server of demo (process" in shown(beside.label)
        press(healthy(beside.set_value(True).run()), "Measure")
    assert ["--beside" in command for command in commands] == [False, True]
