import os
import platform
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, update

from benchmarks.cli.fallback import keep_here
from benchmarks.measure.graded_answer import Graded
from benchmarks.measure.measurement import Measurement, Sample
from benchmarks.run.record import Result
from benchmarks.store import store as stores
from benchmarks.store.run import Run, still_runs
from benchmarks.store.schema import RUNS
from benchmarks.store.store import Store, StoreError, local_url


def _run(**changes: object) -> Run:
    settings = {"machine": {"cpu": "某处理器"}, "code_version": "abc+changes", "settings": {"repeats": 5}}
    return Run("demo", ("original", "int4"), ("latency",), **(settings | changes))  # type: ignore[arg-type]


def _row(run: Run, value: float = 0.25, **changes: object) -> Measurement:
    row = {"params": {"prompt_tokens": 32, "quantile": 0.5}, "unit": "s", "n": 5, "low": 0.2, "high": 0.3}
    return Measurement(run.id, "demo", "int4", "cpu", "ttft", value=value, **(row | changes))  # type: ignore[arg-type]


def test_written_rows_are_read_back_after_a_restart() -> None:
    run = _run()
    store = Store()
    store.start_run(run)
    store.note(run.id, {"arrangement": {"latency": "blocks"}})
    store.add([_row(run), _row(run, 1.0, params={})])
    store.add_samples(run.id, [Sample("int4", "decode_latency", {"prompt_tokens": 32}, 3, (0.1, 0.2))])
    answers = [
        Graded("int4", number, {"skill": "某"}, [("a", "b")], "c", "d", text, right, 3, 0.5, 0.1, 2)
        for number, (text, right) in enumerate([("错", False), ("e", True), (None, None)])
    ]
    store.add_answers(run.id, answers[:2])
    store.add_answers(run.id, [replace(answers[0], answer="对"), answers[2]])
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
    assert first == asdict(_row(run))
    assert second["params"] == {}
    given = again.answers(run.id)
    assert given["answer"].tolist() == ["对", "e", None]
    assert given["right"].tolist() == [False, True, None]
    assert (given["labels"][0], given["history"][0]) == ({"skill": "某"}, [["a", "b"]])
    (sample,) = again.samples().to_dict("records")
    assert (sample["repeat"], sample["values"], sample["params"]) == (3, [0.1, 0.2], {"prompt_tokens": 32})


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


def test_an_empty_store_gives_empty_tables() -> None:
    store = Store()
    assert store.runs().empty
    assert "params" in store.measurements().columns
    assert store.samples().empty


def test_the_default_place_is_the_home_with_a_write_ahead_log(own_home: Path) -> None:
    Store()
    with closing(sqlite3.connect(own_home / "results" / "results.sqlite")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_another_database_by_the_environment(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTGLM_DATABASE_URL", f"sqlite:///{tmp_path / 'other.sqlite'}")
    Store()
    assert (tmp_path / "other.sqlite").exists()
    assert not (own_home / "results").exists()


def test_a_locked_database_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "BUSY_TIMEOUT", 0.1)
    path = tmp_path / "results.sqlite"
    store, run = Store(f"sqlite:///{path}"), _run()
    store.start_run(run)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"results\.sqlite is locked by another program: close") as caught:
            store.add([_row(run)])
        assert len(Store(f"sqlite:///{path}").runs()) == 1  # existing data can still be read
    assert "\n" not in str(caught.value)
    store.add([_row(run)])  # and the store works again


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "database URL"),
        ("bogus://host/name", "SQLite or PostgreSQL, not in bogus: give a database URL"),
        ("mysql://host/name", "SQLite or PostgreSQL, not in mysql: give a database URL"),
        ("sqlite:////no/such/folder/results.sqlite", "unable to open"),
        ("sqlite:///{}", "file is not a database"),
    ],
)
def test_a_file_that_is_no_database_is_told_in_one_line(url: str, said: str, tmp_path: Path) -> None:
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


def test_rows_are_replaced_in_place_on_both_databases(url: str) -> None:
    store, run = Store(url), _run()
    store.start_run(run)
    store.add([_row(run, 1.0), _row(run, 2.0, params={}), _row(run, 3.0)])
    store.add([_row(run, 4.0, n=9, low=None, params={"quantile": 0.5, "prompt_tokens": 32})])
    rows = store.measurements()
    assert (rows["value"].tolist(), rows["n"].tolist(), rows["low"].isna().tolist()) == (
        [4.0, 2.0],
        [9, 5],
        [True, False],
    )
    for values in ((0.1,), (0.2, 0.3)):
        store.add_samples(run.id, [Sample("int4", "ttft", {}, 0, values)])
    assert store.samples()["values"].tolist() == [[0.2, 0.3]]
    store.finish(run.id, "failed", "x" * 5000)
    (kept,) = store.runs().to_dict("records")
    assert (kept["status"], len(kept["error"]), kept["machine"]) == ("failed", 2000, {"cpu": "某处理器"})
    store.add([])


def test_deleted_runs_come_back_for_thirty_days(url: str) -> None:
    store, gone, stays = Store(url), _run(), _run()
    for run in (gone, stays):
        store.start_run(run)
        store.add([_row(run)])
        store.add_samples(run.id, [Sample("int4", "ttft", {}, 0, (0.1,))])
    store.delete([gone.id])
    assert store.runs()["id"].tolist() == [stays.id]
    assert store.runs(deleted=True)["id"].tolist() == [gone.id]
    assert store.measurements()["run"].tolist() == store.samples()["run"].tolist() == [stays.id]
    assert store.measurements([gone.id]).empty
    with pytest.raises(StoreError, match="there is no run nonsense"):
        store.restore([gone.id, "nonsense"])
    assert len(store.runs()) == 1
    store.restore([gone.id])
    assert len(store.runs()) == len(store.measurements()) == 2

    store.delete([gone.id])
    _age(store, timedelta(days=29))
    assert len(Store(url).runs(deleted=True)) == 1
    _age(store, timedelta(days=31))
    assert Store(url).runs(deleted=True).empty
    store.restore([stays.id])
    assert store.measurements()["run"].tolist() == store.samples()["run"].tolist() == [stays.id]
    with pytest.raises(StoreError, match="there is no run"):
        store.restore([gone.id])


def _age(store: Store, age: timedelta) -> None:
    when = (datetime.now(UTC) - age).replace(tzinfo=None)
    store.work(
        lambda connection: connection.execute(update(RUNS).where(RUNS.c.deleted.is_not(None)).values(deleted=when))
    )


def test_a_large_store_finds_its_rows_by_indexes(url: str) -> None:
    store = Store(url)
    for query in (
        "SELECT * FROM runs WHERE deleted IS NULL ORDER BY started DESC LIMIT 50",
        "SELECT * FROM measurements WHERE run IN ('a', 'b')",
        "SELECT * FROM samples WHERE run IN ('a', 'b')",
        "SELECT * FROM measurements WHERE metric = 'ttft'",
        "DELETE FROM runs WHERE deleted < '2020-01-01'",
    ):
        plan = store.work(lambda connection, query=query: _plan(connection, query))  # type: ignore[misc]
        assert "INDEX" in plan.upper()


def _plan(connection: Any, query: str) -> str:
    if connection.dialect.name == "sqlite":
        return str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all())
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # PostgreSQL would scan so small a table
    return str(connection.exec_driver_sql(f"EXPLAIN {query}").all())


def test_a_server_that_stops_during_a_run_is_waited_for_and_the_results_are_kept_here(
    own_postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(stores.time, "sleep", waited.append)
    store, run = Store(own_postgres.get_uri()), _run(settings={})
    store.start_run(run)
    store.add([_row(run, 1.0)])
    own_postgres.cleanup()
    with pytest.raises(StoreError, match=r"cannot be used \(.*\): see that its server runs") as caught:
        store.add([_row(run, 2.0)])
    assert "\n" not in str(caught.value)
    assert sum(waited) == pytest.approx(10)
    with pytest.raises(StoreError):
        store.finish(run.id, "done")
    assert len(waited) == len(stores.WAITS)  # not again for every row
    with pytest.raises(StoreError, match="cannot be used"):
        Store(own_postgres.get_uri())
    assert len(waited) == len(stores.WAITS)  # nor for an address that never answered

    samples = [Sample("int4", "ttft", {}, 0, (2.0,))]
    told = keep_here(Result(run, "done", [_row(run, 2.0)], samples, [], caught.value), store)
    assert f"the results are kept in {local_url()}" in str(told)
    here = Store(local_url())
    assert here.runs()["status"].tolist() == ["done"]
    assert here.measurements()["value"].tolist() == [2.0]
    assert len(here.samples()) == 1


def test_a_server_that_comes_back_in_time_has_it_all(new_postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    waited: list[float] = []
    monkeypatch.setattr(stores.time, "sleep", waited.append)
    store, run = Store(new_postgres()), _run()
    store.start_run(run)
    tried = []

    def steps(connection: Any) -> None:
        stores.upsert(connection, stores.MEASUREMENTS, [stores._columns(_row(run))])
        tried.append(1)
        if len(tried) < 3:
            raise OperationalError("", None, Exception("terminating connection"))

    store.work(steps)
    assert (len(tried), waited) == (3, list(stores.WAITS[:2]))
    assert len(store.measurements()) == 1


def test_trouble_with_the_local_store_itself_is_only_told() -> None:
    trouble = StoreError("locked")
    assert keep_here(Result(_run(), "done", [], [], [], trouble), Store(local_url())) is trouble


def test_opening_a_store_once_more_keeps_the_locks_of_this_process(own_home: Path) -> None:
    """POSIX removes a process's locks on a file when it closes the file, however it had opened it."""
    first = Store()
    path = own_home / "results" / "results.sqlite"
    reads = f"import sqlite3; c = sqlite3.connect({str(path)!r}); print(c.execute('SELECT 1 FROM runs').fetchall())"
    with first._engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1 FROM runs").fetchall()
        Store()  # like another session of the app
        subprocess.run([sys.executable, "-c", f"{reads}; c.close()"], check=True)
        assert path.with_name(f"{path.name}-wal").exists()  # the last process to close a database removes it
    first.close()
