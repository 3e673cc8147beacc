import os
import platform
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from benchmarks import store as stores
from benchmarks.measurement import Measurement, Sample
from benchmarks.run import Run, still_runs
from benchmarks.store import SCHEMA, Store, StoreError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FASTGLM_DATABASE_URL", raising=False)
    return tmp_path / "home"


def _run(**changes: object) -> Run:
    settings = {"machine": {"cpu": "某处理器"}, "code_version": "abc+changes", "settings": {"repeats": 5}}
    return Run("demo", ("original", "int4"), ("latency",), **(settings | changes))  # type: ignore[arg-type]


def _row(run: Run, value: float = 0.25, **changes: object) -> Measurement:
    row = {"params": {"prompt_tokens": 32, "quantile": 0.5}, "unit": "s", "n": 5, "low": 0.2, "high": 0.3}
    return Measurement(run.id, "demo", "int4", "cpu", "ttft", value=value, **(row | changes))  # type: ignore[arg-type]


@pytest.mark.usefixtures("home")
def test_what_is_written_is_read_back_after_a_restart() -> None:
    run = _run()
    store = Store()
    store.start_run(run)
    store.note(run.id, {"arrangement": {"latency": "blocks"}})
    store.add([_row(run), _row(run, 1.0, params={})])
    store.add_samples(run.id, [Sample("int4", "decode_latency", {"prompt_tokens": 32}, 3, (0.1, 0.2))])
    store.finish(run.id, "done")
    store.close()

    again = Store()
    (kept,) = again.runs().to_dict("records")
    assert kept["id"] == run.id
    assert abs(kept["started"] - run.started).total_seconds() < 1
    assert kept["started"] <= kept["finished"] <= datetime.now(UTC)
    assert (kept["status"], kept["model"], kept["pid"]) == ("done", "demo", os.getpid())
    assert (kept["variants"], kept["suites"]) == (["original", "int4"], ["latency"])
    assert kept["machine"] == {"cpu": "某处理器"}
    assert kept["settings"] == {"arrangement": {"latency": "blocks"}}
    assert kept["code_version"] == "abc+changes"
    first, second = again.measurements().to_dict("records")
    assert first == {
        "run": run.id,
        "model": "demo",
        "variant": "int4",
        "device": "cpu",
        "metric": "ttft",
        "params": {"prompt_tokens": 32, "quantile": 0.5},
        "value": 0.25,
        "unit": "s",
        "n": 5,
        "low": 0.2,
        "high": 0.3,
    }
    assert second["params"] == {}
    (sample,) = again.samples().to_dict("records")
    assert (sample["repeat"], sample["values"], sample["params"]) == (3, [0.1, 0.2], {"prompt_tokens": 32})


@pytest.mark.usefixtures("home")
def test_a_row_measured_further_replaces_the_one_before() -> None:
    store, run = Store(), _run()
    store.start_run(run)
    store.add([_row(run, 1.0, n=1, low=None, high=None)])
    store.add([_row(run, 2.0, params={"quantile": 0.5, "prompt_tokens": 32})])
    (row,) = store.measurements().to_dict("records")
    assert (row["value"], row["n"], row["low"]) == (2.0, 5, 0.2)


@pytest.mark.usefixtures("home")
def test_rows_are_chosen_by_run_and_metric() -> None:
    store, one, two = Store(), _run(), _run()
    for run in (one, two):
        store.start_run(run)
        store.add([_row(run)])
    assert store.measurements([two.id])["run"].tolist() == [two.id]
    assert len(store.measurements(metric="ttft")) == 2
    assert store.measurements(metric="decode_rate").empty
    assert store.measurements([]).empty
    assert store.runs()["id"].tolist() == [two.id, one.id]


@pytest.mark.usefixtures("home")
def test_an_empty_store_gives_empty_tables() -> None:
    store = Store()
    assert store.runs().empty
    assert "params" in store.measurements().columns
    assert store.samples().empty


def test_the_default_place_is_the_home_with_a_write_ahead_log(home: Path) -> None:
    Store()
    with closing(sqlite3.connect(home / "results" / "results.sqlite")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_another_database_by_the_environment(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTGLM_DATABASE_URL", f"sqlite:///{tmp_path / 'other.sqlite'}")
    Store()
    assert (tmp_path / "other.sqlite").exists()
    assert not home.exists()


def test_a_locked_database_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "BUSY_TIMEOUT", 0.1)
    path = tmp_path / "results.sqlite"
    store, run = Store(f"sqlite:///{path}"), _run()
    store.start_run(run)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"results\.sqlite is locked by another program: close") as caught:
            store.add([_row(run)])
        with pytest.raises(StoreError, match="is locked"):
            Store(f"sqlite:///{path}")
    assert "\n" not in str(caught.value)
    store.add([_row(run)])  # and it works again


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    Store(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE fastglm_schema SET version = ?", (SCHEMA + 1,))
        database.commit()
    with pytest.raises(StoreError, match=f"newer FAST-ChatGLM .version {SCHEMA + 1}.*update this program") as caught:
        Store(f"sqlite:///{path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "database URL"),
        ("bogus://host/name", "database URL"),
        ("sqlite:////no/such/folder/results.sqlite", "unable to open"),
        ("sqlite:///{}", "file is not a database"),
    ],
)
def test_what_is_no_database_is_told_in_one_line(url: str, said: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.sqlite"
    broken.write_text("this is no database" * 100)
    with pytest.raises(StoreError, match=said) as caught:
        Store(url.format(broken))
    assert "\n" not in str(caught.value)


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable = create_engine("sqlite:////no/such/folder/results.sqlite")
    monkeypatch.setattr(stores, "_engine", lambda _url: unreachable)
    with pytest.raises(StoreError, match=r"postgresql://user:.*@host/results cannot be used") as caught:
        Store("postgresql://user:secret@host/results")
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("home")
def test_a_run_whose_process_is_gone_is_interrupted() -> None:
    store = Store()
    gone, here = _run(pid=2**22 + 1, machine={"node": platform.node()}), _run(machine={"node": platform.node()})
    elsewhere = _run(pid=2**22 + 1, machine={"node": "another machine"})
    for run in (gone, here, elsewhere):
        store.start_run(run)
    status = store.runs().set_index("id")["status"]
    assert status[gone.id] == "interrupted"
    assert status[here.id] == "running"
    assert status[elsewhere.id] == "running"


def test_a_number_that_another_process_got_later_is_not_the_run() -> None:
    assert still_runs(os.getpid(), datetime.now(UTC))
    assert not still_runs(os.getpid(), datetime(2020, 1, 1, tzinfo=UTC))
