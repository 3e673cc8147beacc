"""A measurement has its device alone: it waits for chats, and a server refuses it unless it is to run beside."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hosts import FakeMachine

from benchmarks.claims import claims
from benchmarks.cli.commands import main
from benchmarks.environment import run_facts
from benchmarks.exchange.exchange import export_runs, import_runs
from benchmarks.measure.bounds import ClaimedFigure
from benchmarks.run.device import alone
from benchmarks.run.progress import BarReporter
from benchmarks.store.store import Store
from fastglm.hosting.lease import lease, serving_lease

SERVER = "a server of demo as int4 at http://127.0.0.1:8000"
NAMED = f"{SERVER} (process {os.getpid()})"
REFUSED = f"error: {NAMED} uses cpu: stop it, or add --beside to measure beside it, marked as disturbed\n"
SMALL = ["--variants", "original", "--prompt-tokens", "8", "--answer-tokens", "4", "--repeats", "2"]
RUN = ["run", *SMALL, "--device", "cpu"]


@pytest.fixture
def server() -> Iterator[None]:
    with serving_lease("cpu", SERVER):
        yield


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One promise, kept at once, on a machine without a GPU."""

    def measure(reporter: BarReporter) -> list[ClaimedFigure]:
        with alone("cpu", "benchmark", reporter):
            return [ClaimedFigure(1.0, "s", most=2.0)]

    monkeypatch.setattr(claims, "PROMISES", {"quick": claims.Promise("it is quick", measure)})
    monkeypatch.setattr(claims, "resolve_device", lambda: "cpu")
    monkeypatch.setattr(claims, "busy", lambda: 0.0)


def test_a_wait_for_a_device_says_who_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: BarReporter, stage: str, part: float = 0.0) -> None:
        raise TimeoutError(stage)

    monkeypatch.setattr(BarReporter, "at", stop)
    with (
        lease("cpu", "a chat"),
        pytest.raises(TimeoutError, match="waiting for a chat"),
        alone("cpu", "me", BarReporter()),
    ):
        pass
    with alone("cpu", "me", BarReporter()) as beside:
        assert beside is None


@pytest.mark.usefixtures("machine", "server", "quick")
@pytest.mark.parametrize(
    "command",
    [
        RUN,
        ["serving", "--model", "demo", "--device", "cpu"],
        ["peers", "--model", "shape:chatglm-6b@1"],
        ["promises"],
        ["products"],
    ],
    ids=lambda command: command[0],
)
def test_a_measurement_is_refused_by_a_server(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 1
    captured = capsys.readouterr()
    assert captured.err.removeprefix("\r") == REFUSED
    assert Store().runs().empty


@pytest.mark.usefixtures("machine", "server")
def test_a_job_is_told_who_refuses_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--progress", "json"]) == 1
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert event == {"event": "error", "message": REFUSED.removeprefix("error: ").strip()}


@pytest.mark.usefixtures("server")
def test_a_run_beside_a_server_is_marked_wherever_it_goes(
    machine: FakeMachine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--beside"]) == 0
    assert f"warning: {NAMED} serves on the same device" in capsys.readouterr().err
    (run,) = Store().runs().to_dict("records")
    assert run["settings"]["noise"]["beside"] == {"server": NAMED}
    remark = f"noisy: {NAMED} served on the same device meanwhile"
    assert remark in map(str, run_facts.remarks(run))
    assert main(["report", run["id"], "--out", str(tmp_path / "report.html")]) == 0
    assert "served on the same device meanwhile" in (tmp_path / "report.html").read_text(encoding="utf-8")
    export_runs(Store(), tmp_path / "runs.json", None)
    elsewhere = Store(f"sqlite:///{tmp_path / 'other.sqlite'}")
    import_runs(elsewhere, tmp_path / "runs.json")
    assert remark in map(str, run_facts.remarks(elsewhere.runs().to_dict("records")[0]))


def test_a_run_that_could_be_beside_a_server_and_is_alone_is_not_marked(machine: FakeMachine) -> None:
    assert main([*RUN, "--beside"]) == 0
    assert "beside" not in Store().runs()["settings"][0]["noise"]


def test_a_run_that_goes_on_beside_a_server_is_marked(machine: FakeMachine) -> None:
    machine.on_load = _interrupt
    assert main(RUN) == 130
    (run,) = Store().runs()["id"]
    machine.on_load = lambda _: None
    with serving_lease("cpu", SERVER):
        assert main(["resume", run]) == 1
        assert main(["resume", run, "--beside"]) == 0
    assert Store().runs()["settings"][0]["noise"]["beside"] == {"server": NAMED}


def _interrupt(_variant: str) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("quick", "server")
def test_promises_beside_a_server_are_noted_in_their_file(tmp_path: Path) -> None:
    file = tmp_path / "promises.json"
    assert main(["promises", "--beside", "--json", str(file)]) == 0
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert row["note"] == f"disturbed by {NAMED}"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["serving", "--endpoint", "http://127.0.0.1:9", "--beside"], "leave them out with --endpoint"),
        (["run", "--ray", "127.0.0.1:9", "--beside"], "--beside is for one machine"),
    ],
)
def test_what_cannot_be_beside_is_refused(command: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert said in capsys.readouterr().err
