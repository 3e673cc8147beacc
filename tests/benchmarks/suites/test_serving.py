"""The serving suite on a scripted server, from the command line to the store."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_openai
import psutil
import pytest
from fake_hosts import FakeMachine
from fake_openai import FakeOpenAI, running
from waiting import until
from wrong_usage import refuse

import benchmarks.environment.machine
from benchmarks.cli.commands import main
from benchmarks.environment import run_facts
from benchmarks.exchange.exchange import export_runs, import_runs
from benchmarks.serving import loops
from benchmarks.store.store import Store
from benchmarks.suites import serving

LOAD = ["--clients", "1,3", "--rates", "50", "--prompts", "32,64", "--answer-tokens", "4", "--repeats", "2"]
WIDE = ["--slo", "ttft=60s,tpot=60s"]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "SECONDS", 0.0)
    monkeypatch.setattr(loops, "PAUSE", 0.0)
    monkeypatch.setattr(benchmarks.environment.machine, "busy", lambda: 0.0)


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with running(FakeOpenAI()) as fake:
        yield fake


def test_a_server_is_measured_and_its_figures_are_kept(server: FakeOpenAI, tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    assert main(["serving", "--endpoint", server.url, *LOAD, *WIDE, "--json", str(target)]) == 0
    (run,) = Store().runs().to_dict("records")
    url = f"{server.url}/v1"
    assert (run["model"], run["variants"], run["suites"], run["status"]) == ("glm", [url], ["serving"], "done")
    assert run["settings"]["served"] == {url: {"model": "glm", "usage": True, "full_length": True}}
    assert run["settings"]["slo"] == "ttft=60s,tpot=60s"
    rows = Store().measurements()
    assert set(rows["device"]) == {"network"}
    levels = [{"clients": 1}, {"clients": 3}, {"rate": 50}]
    for level in levels:
        of_level = rows[[level.items() <= params.items() for params in rows["params"]]]
        assert set(of_level["metric"]) == {
            *("throughput", "request_rate", "goodput", "error_share", "ttft", "time_per_token", "answer_time")
        }
        times = of_level[of_level["metric"] == "ttft"]
        assert [params["quantile"] for params in times["params"]] == [0.5, 0.95, 0.99]
        assert set(of_level["n"]) == {2}
        assert of_level["low"].notna().all()
        rate, good = (of_level[of_level["metric"] == name]["value"].item() for name in ("request_rate", "goodput"))
        assert rate == good > 0
    assert rows[rows["metric"] == "served_clients"]["value"].item() == 3
    assert {row["metric"] for row in json.loads(target.read_text())["samples"]} == set(rows["metric"]) - {
        "served_clients"
    }
    contents = [body["messages"][0]["content"] for body in server.asked]
    assert len({text[:8] for text in contents}) == len(contents)  # no server has read the beginning before
    assert {len(text) for text in contents[4:]} == {54, 118}  # 32 and 64 tokens as this server counts


def test_limits_that_nobody_keeps_leave_no_goodput(server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    load = ["--clients", "1", "--repeats", "1", "--answer-tokens", "4", "--slo", "ttft=0.001ms"]
    assert main(["serving", "--endpoint", server.url, *load]) == 0
    rows = Store().measurements()
    assert set(rows[rows["metric"].isin(["goodput", "served_clients"])]["value"]) == {0}
    assert "4 out, clients 1, prompts 32,128,512" in capsys.readouterr().out


def test_a_level_without_answers_is_a_failure_and_the_others_stay(
    server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two looks of two requests, three requests of the warm-up and three of the client are answered, no others."""
    server.fails = dict.fromkeys(range(10, 1000), "status")
    load = ["--clients", "1", "--rates", "50", "--repeats", "2", "--answer-tokens", "4"]
    assert main(["serving", "--endpoint", server.url, *load, *WIDE]) == 0
    said = capsys.readouterr()
    assert said.err.count("requests failed") == 2  # the rate is not tried again in the second repeat
    assert "HTTP 429: too many requests" in said.err
    rate, clients = Store().measurements(metric="failure")["params"]
    assert (rate["rate"], rate["suite"], clients["clients"]) == (50, "serving", 1)
    assert "serving of 50 requests/s failed: no request was answered" in said.out
    rows = Store().measurements()
    assert rows[rows["metric"] == "served_clients"]["value"].item() == 0  # its second repeat failed


def test_remarks_tell_what_the_server_does_not(server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    server.refused = ("stream_options", "ignore_eos")
    assert main(["serving", "--endpoint", server.url, "--clients", "1", "--repeats", "1", "--answer-tokens", "4"]) == 0
    assert "tells no usage: each chunk of an answer counts as one token" in capsys.readouterr().err
    (run,) = Store().runs().to_dict("records")
    keys = {remark.key for remark in run_facts.remarks(run)}
    assert {"endpoint", "chunks", "early-ends"} <= keys


def test_results_travel_to_another_store(server: FakeOpenAI, tmp_path: Path) -> None:
    assert main(["serving", "--endpoint", server.url, *LOAD]) == 0
    export_runs(Store(), tmp_path / "runs.json")
    other = Store(f"sqlite:///{tmp_path / 'other.sqlite'}")
    assert len(import_runs(other, tmp_path / "runs.json").new) == 1
    assert len(other.measurements()) == len(Store().measurements())


def test_a_broken_off_run_of_an_endpoint_is_started_anew(
    server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "figures", stop)
    assert main(["serving", "--endpoint", server.url, *LOAD]) == 130
    (run,) = Store().runs().to_dict("records")
    assert run["status"] == "cancelled"
    capsys.readouterr()
    refuse(["resume", run["id"]], "measured the server at http://127.0.0.1", capsys)


def test_a_run_that_is_terminated_ends_without_a_traceback(server: FakeOpenAI) -> None:
    command = [sys.executable, "-m", "benchmarks", "serving", "--endpoint", server.url, "--clients", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: len(server.asked) > 8)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    (run,) = Store().runs().to_dict("records")
    assert run["status"] == "cancelled"


@pytest.fixture
def own_servers(monkeypatch: pytest.MonkeyPatch, machine: FakeMachine) -> None:
    """The script takes the place of `fastglm serve`."""
    monkeypatch.setattr("benchmarks.serving.server.SERVE", (sys.executable, fake_openai.__file__))


@pytest.mark.usefixtures("own_servers")
def test_a_server_of_each_variant_is_started_and_ended() -> None:
    """The lease that the benchmark has alone is lent to the servers; one of them cannot load its variant."""
    load = ["--variants", "original,int8,int4", "--model", "demo", "--device", "cpu"]
    assert main(["serving", *load, *LOAD, *WIDE]) == 0
    (run,) = Store().runs().to_dict("records")
    assert (run["model"], run["variants"], run["status"]) == ("demo", ["original", "int8", "int4"], "done")
    assert run["settings"]["served"]["int4"]["model"] == "demo"
    rows = Store().measurements()
    served = rows[rows["metric"] == "served_clients"]
    assert dict(zip(served["variant"], served["value"], strict=True)) == {"original": 3, "int4": 3}
    assert set(rows["device"]) == {"cpu"}
    assert "throughput_ratio" in set(rows["metric"])
    (failure,) = rows[rows["metric"] == "failure"]["params"]
    assert failure["error"] == "fastglm serve ended before it was ready (error: too little memory for int8)"
    assert not [child for child in psutil.Process().children(True) if "fake_openai" in " ".join(child.cmdline())]


@pytest.mark.usefixtures("own_servers")
def test_a_broken_off_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second variant lacks everything, the first one its last level and repeat."""
    keep, left = serving._Server._keep, iter(range(5))

    def stop(*arguments: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        keep(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(serving._Server, "_keep", stop)
        assert main(["serving", "--variants", "original,int4", "--device", "cpu", *LOAD, *WIDE]) == 130
    (run,) = Store().runs().to_dict("records")
    assert len(Store().samples(metric="goodput")) == 5
    kept: list[object] = []
    monkeypatch.setattr(serving._Server, "_keep", lambda *each: (kept.append(each), keep(*each)))
    assert main(["resume", run["id"]]) == 0
    assert len(kept) == 7
    assert len(Store().samples(metric="goodput")) == 2 * 3 * 2
    assert Store().measurements(metric="served_clients")["value"].tolist() == [3, 3]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--endpoint", "http://127.0.0.1:1"], 1, "no server answers at http://127.0.0.1:1/v1"),
        (["--endpoint", "nowhere"], 2, "--endpoint 'nowhere' is no address"),
        (["--endpoint", "http://127.0.0.1:1", "--clients", "none"], 2, "--clients wants whole numbers"),
        (["--endpoint", "http://127.0.0.1:1", "--key-file", "missing"], 2, "--key-file missing cannot be read"),
        (["--endpoint", "http://127.0.0.1:1", "--variants", "int4"], 2, "leave them out with --endpoint"),
        (["--key-file", "missing"], 2, "--key-file is for --endpoint"),
        (["--variants", "int5"], 2, "int5"),
    ],
)
def test_a_wrong_command_gives_one_line(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serving", *arguments]) == status
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err
    assert Store().runs().empty


def test_the_suite_has_a_command_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    refuse(["run", "--suite", "serving"], "python -m benchmarks serving", capsys)
