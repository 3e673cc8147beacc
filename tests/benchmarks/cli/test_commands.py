"""The command line, in this process on fake hosts, and in separate processes that are stopped and killed."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fake_hosts import FakeMachine
from wrong_usage import refuse

import benchmarks.environment.machine
from benchmarks.cli.commands import main
from benchmarks.store import store as stores
from benchmarks.store.store import Store
from benchmarks.suites import SUITES

FAKE = Path(__file__).parents[2] / "support" / "fake_benchmarks.py"
pytestmark = pytest.mark.usefixtures("machine")
SHORT = ["--variants", "original,int4", "--prompt-tokens", "8", "--answer-tokens", "4", "--repeats", "3"]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:
    """The JSON lines that were printed."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_run_prints_a_table_and_keeps_its_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *SHORT, "--suite", "latency,memory"]) == 0
    out = capsys.readouterr().out
    assert "decode_rate" in out
    assert "× original" in out
    assert "peak_memory" in out
    (run,) = Store().runs().to_dict("records")
    assert (run["status"], run["suites"]) == ("done", ["latency", "memory"])
    assert run["settings"]["arrangement"] == {"latency": "interleaved", "memory": "blocks"}
    rows = Store().measurements()
    assert set(rows["variant"]) == {"original", "int4"}
    assert set(rows["metric"]) > {"ttft", "decode_rate", "decode_rate_ratio", "decode_latency", "peak_memory"}
    assert len(Store().samples(metric="decode_latency")) == 6


def test_json_holds_what_the_store_holds(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    assert main(["run", *SHORT, "--json", str(target)]) == 0
    data = json.loads(target.read_text(encoding="utf-8"))
    (run,) = Store().runs().to_dict("records")
    assert (data["run"]["id"], data["run"]["status"]) == (run["id"], "done")
    assert data["run"]["machine"]["cores"]
    assert data["run"]["versions"]["torch"]
    assert data["run"]["code_version"]
    kept = Store().measurements().to_dict("records")
    columns = ["metric", "variant", "params", "value", "low", "high", "n", "unit"]

    def comparable(rows: list[dict[str, Any]]) -> list[str]:
        return sorted(
            json.dumps([None if row[c] != row[c] else row[c] for c in columns], sort_keys=True) for row in rows
        )

    assert comparable(data["measurements"]) == comparable(kept)
    assert len(data["samples"]) == len(Store().samples())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json"]


def test_progress_lines(lines: Any) -> None:
    assert main(["run", *SHORT, "--progress", "json"]) == 0
    told = lines()
    (run,) = Store().runs().to_dict("records")
    assert [line for line in told if line["event"] == "run"] == [{"event": "run", "id": run["id"]}]
    assert told[-1] == {"event": "done", "run": run["id"], "status": "done"}
    steps = [line for line in told if line["event"] == "progress" and line["total"]]
    assert [step["done"] for step in steps] == sorted(step["done"] for step in steps)
    assert steps[-1]["done"] == steps[-1]["total"] == 10
    assert all({"stage", "done", "total", "eta"} < step.keys() for step in steps)


def test_the_estimate_is_told_before_the_repeats(lines: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *SHORT, "--progress", "json"]) == 0
    told = lines()
    (estimate,) = [line for line in told if line["event"] == "estimate"]
    assert estimate["repeats"] == [3, 3]
    assert estimate["repeat"] > 0
    assert not any("tokens in" in line.get("stage", "") for line in told[: told.index(estimate)])
    assert main(["run", *SHORT[:-2], "--precision", "5%", "--budget", "1h"]) == 0
    assert "repeats: 6 to 100, about " in capsys.readouterr().err


def test_the_help_names_every_suite(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(suite in said for suite in SUITES)


def test_a_crash_warns_and_a_run_without_any_result_fails(machine: FakeMachine, lines: Any) -> None:
    machine.crash = {"int4": 1}
    assert main(["run", *SHORT, "--progress", "json"]) == 0
    warnings = [line["message"] for line in lines() if line["event"] == "warning"]
    assert warnings == ["int4 could not be measured: the process that ran it ended (signal 11): ask again"]
    machine.too_large = {"original", "int4"}
    assert main(["run", *SHORT, "--progress", "json"]) == 1
    assert lines()[-1]["status"] == "failed"
    assert Store().runs()["status"].tolist() == ["failed", "done"]
    assert "2 GB are needed" in Store().runs()["error"][0]


def test_a_busy_machine_is_warned_of(monkeypatch: pytest.MonkeyPatch, lines: Any) -> None:
    monkeypatch.setattr(benchmarks.environment.machine, "busy", lambda: 0.7)
    assert main(["run", *SHORT, "--progress", "json"]) == 0
    assert "70% of the processors" in next(line["message"] for line in lines() if line["event"] == "warning")
    assert Store().runs()["machine"][0]["cpu_busy"] == 0.7


def test_without_a_store_nothing_is_kept(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *SHORT, "--store", "none"]) == 0
    assert not (own_home / "results").exists()
    assert main(["list", "--store", "none"]) == 2
    assert "without a store" in capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert "no runs yet" in capsys.readouterr().err
    main(["run", *SHORT])
    capsys.readouterr()
    assert main(["list"]) == 0
    _, _, line = capsys.readouterr().out.splitlines()
    assert line.split()[4:] == ["done", "demo", "original,int4", "latency"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--variants", "original,turbo9"], "turbo9"),
        (["run", "--variants", "original,,int4"], "--variants"),
        (["run", "--variants", "int4,int4"], "different names"),
        (["run", "--suite", "speed"], "no suite speed: choose from latency, memory"),
        (["run", "--prompt-tokens", "32,viele"], "whole numbers, not 'viele'"),
        (["run", "--prompt-tokens", "0"], "1 or more"),
        (["run", "--prompt-tokens", "2000"], "context of 2048 tokens"),
        (["run", "--answer-tokens", "1"], "2 tokens or more"),
        (["run", "--answer-tokens", "1.5"], "whole numbers"),
        (["run", "--repeats", "0"], "--repeats"),
        (["run", "--repeats", "5", "--precision", "2%"], "--repeats is a fixed count"),
        (["run", "--repeats", "5", "--budget", "2m"], "--repeats is a fixed count"),
        (["run", "--precision", "0"], "above 0 %"),
        (["run", "--precision", "much"], "--precision wants something such as 2%, not 'much'"),
        (["run", "--precision", "200%"], "below 100 %"),
        (["run", "--budget", "5 days"], "--budget wants something such as 90s, 5m or 1h"),
        (["run", "--budget", "-5m"], "a time above 0"),
        (["run", "--batches", "0,2"], "--batches are different numbers"),
        (["run", "--json", "/no/such/folder/out.json"], "cannot be written (No such file or directory)"),
        (["run", "--json", "/tmp"], "is a folder"),
        (["run", "--progress", "loud"], "progress"),
        (["run", "--nonsense"], "--nonsense"),
        (["measure"], "measure"),
        (["promises", "--only", "everything"], "choose from original-512"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments: list[str], said: str, machine: FakeMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(arguments, said, capsys)
    assert machine.log == []  # reported before anything was loaded


def test_errors_are_json_lines_too(lines: Any) -> None:
    assert main(["run", "--suite", "speed", "--progress", "json"]) == 2
    (line,) = lines()
    assert line["event"] == "error"
    assert "no suite speed" in line["message"]


def test_a_traceback_only_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--suite", "speed", "--debug"])
    assert "Traceback" in capsys.readouterr().err


def test_a_store_that_cannot_be_opened_is_told_before_measuring(
    machine: FakeMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *SHORT, "--store", "sqlite:////no/such/folder/x.sqlite"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert machine.log == []


def test_a_stopped_run_is_cancelled_and_keeps_what_it_measured(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    environment = os.environ | {"FAKE_ANSWER_TAKES": "0.05"}
    command = [sys.executable, str(FAKE), "run", "--variants", "original,int4", "--repeats", "500"]
    command += ["--json", str(target), "--progress", "json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout
        for told in map(json.loads, process.stdout):
            if told["event"] == "progress" and told["done"] >= 13:  # in its second round
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "Stopped.\n"
    assert json.loads(out.splitlines()[-1])["status"] == "cancelled"
    (run,) = Store().runs().to_dict("records")
    assert run["status"] == "cancelled"
    rows = Store().measurements(metric="decode_rate")
    assert set(rows["variant"]) == {"original", "int4"}
    assert 1 <= rows["n"].min() < 500
    assert json.loads(target.read_text(encoding="utf-8"))["run"]["status"] == "cancelled"


def test_a_store_locked_during_the_run_is_told_at_the_end_and_the_json_is_there(
    tmp_path: Path, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, lines: Any
) -> None:
    monkeypatch.setattr(stores, "BUSY_TIMEOUT", 0.05)
    database, target = tmp_path / "results.sqlite", tmp_path / "out.json"
    with closing(sqlite3.connect(database)) as other:
        machine.on_load = lambda _variant: other.in_transaction or other.execute("BEGIN IMMEDIATE")
        arguments = ["--store", f"sqlite:///{database}", "--json", str(target), "--progress", "json"]
        assert main(["run", *SHORT, *arguments]) == 1
    last = lines()[-1]
    assert last["event"] == "error"
    assert "locked by another program" in last["message"]
    data = json.loads(target.read_text(encoding="utf-8"))
    assert {row["variant"] for row in data["measurements"]} == {"original", "int4"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_ways_to_stop_a_program_cancel(number: signal.Signals, machine: FakeMachine, lines: Any) -> None:
    def stop_at_the_second(variant: str) -> None:
        if variant == "int4":
            signal.raise_signal(number)

    machine.on_load = stop_at_the_second
    assert main(["run", *SHORT, "--progress", "json"]) == 130
    assert lines()[-1]["status"] == "cancelled"
    assert Store().runs()["status"].tolist() == ["cancelled"]
    assert Store().samples()["variant"].tolist() == ["original"]
    assert machine.loaded == set()


def test_the_measuring_core_needs_neither_database_nor_app() -> None:
    code = (
        "import sys, benchmarks.execution.request, "
        "benchmarks.report.report, benchmarks.cli.commands, "
        "benchmarks.measure.statistics, benchmarks.claims.claims\n"
        "print({'sqlalchemy', 'pandas', 'streamlit', 'plotly'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
