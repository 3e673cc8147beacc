"""The part of the page Serve that shows servers under load."""

import json
from typing import Any

import pytest
from loads import loaded
from page_run import Open, healthy, press, words
from stored import more
from streamlit.testing.v1 import AppTest

from benchmarks.store.run import Run
from dashboard.serve.permission import ALLOWED

PAGE = "pages/serve.py"
ELSEWHERE = "http://127.0.0.1:8080/v1"


def chart(app: AppTest, name: str) -> dict[str, Any]:
    """The chart with a key, in plotly's form."""
    (found,) = (element for element in app.get("plotly_chart") if element.proto.id.endswith(f"-chart-load-{name}"))
    return dict(json.loads(found.proto.spec))


def lines(app: AppTest, name: str) -> dict[str, list[Any]]:
    """Names of the lines of a chart, and the numbers of clients at their points."""
    return {trace["name"]: [int(text) for text in trace["text"]] for trace in chart(app, name)["data"]}


def field(app: AppTest, label: str) -> Any:
    return next(found for found in app.number_input if found.label == label)


@pytest.fixture
def run() -> Run:
    """At 8 clients a token takes 85 ms of `original`, and 17 ms of `int4`."""
    return loaded({"original": 0.05, "int4": 0.01})


def test_work_is_drawn_against_waiting(run: Run, open_page: Open) -> None:
    app = open_page(PAGE, run=run.id)
    assert "How many people can this machine serve?" in words(app)
    for metric in ("time_per_token", "ttft"):
        assert lines(app, metric) == {"original": [1, 2, 4, 8], "int4": [1, 2, 4, 8]}
    assert chart(app, "time_per_token")["data"][0]["x"] == pytest.approx([50, 55, 65, 85])
    assert chart(app, "ttft")["data"][1]["x"] == pytest.approx([100, 110, 130, 170])
    (quantile,) = (found for found in app.segmented_control if found.label == "Quantile of the times")
    app = healthy(quantile.set_value("p99").run())
    assert chart(app, "time_per_token")["data"][0]["x"] == pytest.approx([100, 110, 130, 170])
    assert "p99" in chart(app, "ttft")["layout"]["xaxis"]["title"]["text"]


def test_clients_and_people_follow_the_limits_of_the_visitor(run: Run, open_page: Open) -> None:
    app = open_page(PAGE, run=run.id)
    assert "int4: 8 clients at once keep these limits, the largest number" in words(app).replace("*", "")
    people = [line for line in words(app).replace("*", "").splitlines() if "has time for about" in line]
    assert [line.partition(" ")[0] for line in people] == ["original", "int4"]
    assert all("there may be room for more" in line for line in people)
    app = healthy(field(app, "Each further token within, ms").set_value(60.0).run())
    text = words(app).replace("*", "")
    assert "original: up to 2 clients at once keep these limits (measured: 1, 2, 4, 8)" in text
    assert "2 clients at once were measured" in text
    app = healthy(field(app, "Each further token within, ms").set_value(40.0).run())
    assert "original: none of the measured numbers of clients" in words(app).replace("*", "")
    assert "original: no measured load keeps the limits at this pace" in words(app).replace("*", "")


def test_people_follow_their_pace(run: Run, open_page: Open) -> None:
    def found(app: AppTest) -> list[int]:
        texts = words(app).replace("*", "").replace(",", "").splitlines()
        return [int(text.split("about ")[1].split()[0]) for text in texts if "has time for about" in text]

    app = open_page(PAGE, run=run.id)
    usual = found(app)
    app = healthy(field(app, "and asks every, s").set_value(600).run())
    assert all(8 * few < many for few, many in zip(usual, found(app), strict=True))
    assert "a question every 600 s" in words(app)
    app = healthy(field(app, "A person reads, tokens/s").set_value(40.0).run())
    assert len(found(app)) == 1  # nobody reads faster than `original` writes
    assert "at most 25 ms/token" in words(app)


def test_goodput_is_computed_anew_from_stored_times(run: Run, open_page: Open) -> None:
    app = open_page(PAGE, run=run.id)
    asked = [n / (74 * 0.05 * (0.9 + 0.1 * n)) for n in (1, 2, 4, 8)]
    share = [1.0, 0.95, 0.95, 0.95]  # the slowest of 20 takes 100 ms, and more beside others
    assert chart(app, "goodput")["data"][0]["y"] == pytest.approx([a * s for a, s in zip(asked, share, strict=True)])
    app = healthy(field(app, "Each further token within, ms").set_value(60.0).run())
    assert chart(app, "goodput")["data"][0]["y"] == pytest.approx([0.95 * asked[0], 0.95 * asked[1], 0, 0])
    table = next(frame.value for frame in app.dataframe if "share" in frame.value)
    assert table["share"][:4].tolist() == pytest.approx([0.95, 0.95, 0, 0])
    app = healthy(field(app, "First token within, s").set_value(0.4).run())
    assert chart(app, "goodput")["data"][0]["y"] == [0, 0, 0, 0]


def test_a_peer_stands_in_the_same_chart(run: Run, open_page: Open) -> None:
    peer = loaded({ELSEWHERE: 0.02}, (1, 4), model="gguf", endpoint=ELSEWHERE)
    again = loaded({"int4": 0.02}, (1, 2))
    loaded({"int4": 0.02}, prompts="32,512")  # another load
    loaded({"int4": 0.02}, machine={"node": "elsewhere"})
    loaded({"int4": 0.02}, model="demo-glm")
    app = open_page(PAGE, run=run.id)
    (beside,) = (found for found in app.multiselect if found.label == "Other runs in the same charts")
    assert len(beside.options) == 2
    app = healthy(beside.set_value([peer.id, again.id]).run())
    names = list(lines(app, "ttft"))
    assert names[:3] == ["original", "int4", ELSEWHERE]
    assert names[3].startswith("int4 · ")
    assert lines(app, "ttft")[ELSEWHERE] == [1, 4]


def test_random_arrivals_alone_tell_the_people(open_page: Open) -> None:
    app = open_page(PAGE, run=loaded({"int4": 0.01}, (), (0.5, 2.0)).id)
    text = words(app).replace("*", "")
    assert "int4 has time for about 120 people: together they ask 2 questions a second" in text
    assert "clients at once keep" not in text


def test_a_failed_level_keeps_no_limit(open_page: Open) -> None:
    run = loaded({"int4": 0.01}, (1, 2, 4))  # the level failed in one of its repeats
    reason = {"suite": "serving", "kind": "FastGLMError", "error": "no request was answered", "clients": 4}
    more(run, ("int4", "failure", reason, 1.0))
    text = words(open_page(PAGE, run=run.id)).replace("*", "")
    assert "int4: up to 2 clients at once keep these limits (measured: 1, 2, 4)" in text
    assert "no request was answered" in text


def test_a_level_without_any_answer_counts_as_measured(open_page: Open) -> None:
    run = loaded({"int4": 0.01}, (1,))
    more(run, ("int4", "failure", {"suite": "serving", "error": "no request was answered", "clients": 8}, 1.0))
    text = words(open_page(PAGE, run=run.id)).replace("*", "")
    assert "int4: 1 client keeps these limits (measured: 1, 8)" in text
    assert "may be room for more" not in text


def test_chinese_pages_say_the_same(run: Run, open_page: Open) -> None:
    text = words(open_page(PAGE, "zh-CN", run=run.id)).replace("*", "")
    assert "int4：8 个客户端同时提问仍在限度以内" in text
    assert "int4 大约能服务" in text


def test_a_measurement_starts_where_servers_may(
    open_page: Open, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Measure" not in [found.label for found in open_page(PAGE).button]
    monkeypatch.setenv(ALLOWED, "1")
    press(open_page(PAGE), "Measure")
    (command,) = commands
    assert "This takes 27 minutes or more" in words(open_page(PAGE))  # 8 variants, 4 numbers, 5 repeats, 10 s
    assert command[:5] == ["-m", "benchmarks", "serving", "--model", "demo"]
    loads = ["--clients", "1,2,4,8", "--prompts", "32,128,512", "--answer-tokens", "64", "--repeats", "5"]
    assert command[7:] == [*loads, "--progress", "json"]
