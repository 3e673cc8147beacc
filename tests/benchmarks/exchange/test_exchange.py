"""Export and import: nothing lost, nothing twice, nothing partial, and nothing absurd."""

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks.cli.commands import main
from benchmarks.exchange import formats
from benchmarks.exchange.exchange import export_runs, import_runs
from benchmarks.exchange.schema import ExchangeError
from benchmarks.measure.graded_answer import Graded
from benchmarks.measure.measurement import Measurement, Sample
from benchmarks.store.run import Run
from benchmarks.store.store import Store
from fastglm.errors import UsageError


def _run(**changes: Any) -> Run:
    settings = {"machine": {"cpu": '某, "处理器"'}, "code_version": "abc+changes", "settings": {"repeats": 5}}
    return Run("demo", ("original", "int4"), ("latency",), **(settings | changes))


ANSWERS = [
    Graded("int4", 0, {"skill": "汉"}, [("a", "b")], "c", "d", "e", True, 3, 0.5, 0.1, 2),
    Graded("int4", 1, {"texts": "own"}, [], "c", "d", None, None, 3, 0.5, None, None),
]


def _fill(store: Store, run: Run, value: float = 0.1 + 0.2, rows: int = 4, finished: bool = True) -> None:
    store.start_run(run)
    store.add(
        Measurement(run.id, "demo", "int4", "cpu", "ttft", {"prompt_tokens": i, "q": 0.5}, value, "s", 5, low, 9.0)
        for i, low in zip(range(rows), [None, 0.01] * rows, strict=False)
    )
    store.add_samples(run.id, [Sample("int4", "decode_latency", {"prompt_tokens": 3}, 0, (0.1, 0.25))])
    store.add_answers(run.id, ANSWERS)
    if finished:
        store.finish(run.id, "done")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'from.sqlite'}")


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'to.sqlite'}")


def _counts(store: Store, path: Path) -> tuple[int, ...]:
    done = import_runs(store, path)
    return len(done.new), len(done.completed), len(done.known), len(done.refused)


def test_exported_runs_are_imported_once(url: str, store: Store, tmp_path: Path) -> None:
    runs = [_run(), _run()]
    for run in runs:
        _fill(store, run)
    path, there = tmp_path / "out.json", Store(url)
    assert export_runs(store, path) == 2
    assert _counts(there, path) == (2, 0, 0, 0)
    assert _counts(there, path) == (0, 0, 2, 0)
    assert _counts(store, path) == (0, 0, 2, 0)
    pd.testing.assert_frame_equal(there.measurements(), store.measurements())
    assert there.runs().to_dict("records") == store.runs().to_dict("records")
    pd.testing.assert_frame_equal(there.samples(), store.samples())
    for run in runs:
        pd.testing.assert_frame_equal(there.answers(run.id), store.answers(run.id))
        assert len(there.answers(run.id)) == 2
    assert sorted(file.name for file in tmp_path.glob("*out*")) == [path.name]


@pytest.mark.parametrize(("form", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_tables_are_written_with_what_each_row_was_measured_on_and_not_read(
    form: str, read: Callable[[Path], pd.DataFrame], store: Store, other: Store, tmp_path: Path
) -> None:
    run, path = _run(code_version='=HYPERLINK("http://127.0.0.1:9")'), tmp_path / f"out.{form}"
    _fill(store, run)
    export_runs(store, path)
    table = read(path)
    assert set(table["run"]) == {run.id}
    assert json.loads(table["machine"][0]) == {"cpu": '某, "处理器"'}
    no_formula = "'" if form == "csv" else ""  # a spreadsheet takes the cell for text
    assert set(table["code_version"]) == {f"{no_formula}{run.code_version}"}
    assert table["value"].tolist() == [0.1 + 0.2] * 4
    assert table["low"].isna().tolist() == [True, False, True, False]
    assert pd.to_datetime(table["started"], utc=True)[0] == run.started
    with pytest.raises(UsageError, match=r"results are read from JSON; export them as \.json"):
        import_runs(other, path)


def test_some_runs_are_exported(store: Store, other: Store, tmp_path: Path) -> None:
    one, two = _run(), _run()
    _fill(store, one)
    _fill(store, two)
    assert export_runs(store, tmp_path / "out.json", [two.id]) == 1
    import_runs(other, tmp_path / "out.json")
    assert other.runs()["id"].tolist() == [two.id]
    store.delete([one.id])
    with pytest.raises(UsageError, match=f"there is no run {one.id}"):
        export_runs(store, tmp_path / "none.json", [one.id])
    with pytest.raises(UsageError, match=r"says no format: name a file that ends in \.json"):
        export_runs(store, tmp_path / "out.xlsx")


def test_a_finished_run_takes_the_place_of_an_unfinished_one_and_never_the_other_way(
    store: Store, other: Store, tmp_path: Path
) -> None:
    run, path = _run(), tmp_path / "out.json"
    _fill(store, run, rows=6)
    _fill(other, run, rows=2, finished=False)
    export_runs(other, early := tmp_path / "early.json")
    export_runs(store, path)
    assert _counts(other, path) == (0, 1, 0, 0)
    assert (len(other.measurements()), other.runs()["status"].tolist()) == (6, ["done"])
    assert _counts(other, early) == (0, 0, 1, 0)
    assert len(other.measurements()) == 6


def test_other_numbers_under_the_same_id_are_refused(store: Store, other: Store, tmp_path: Path) -> None:
    run, path = _run(), tmp_path / "out.json"
    _fill(store, run, value=1.0)
    _fill(other, run, value=2.0)
    export_runs(store, path)
    assert _counts(other, path) == (0, 0, 0, 1)
    assert set(other.measurements()["value"]) == {2.0}


def test_importing_a_deleted_run_brings_it_back_with_all_it_had(store: Store, tmp_path: Path) -> None:
    run = _run()
    _fill(store, run)
    export_runs(store, tmp_path / "out.json")
    store.delete([run.id])
    assert _counts(store, tmp_path / "out.json") == (1, 0, 0, 0)
    assert store.runs()["id"].tolist() == [run.id]
    assert len(store.samples()) == 1


def _second(**changes: Any) -> Callable[[Any], None]:
    """Change the second run."""
    return lambda data: data["runs"][1].update(changes)


def _third_row(**changes: Any) -> Callable[[Any], None]:
    """Change the third measurement of the second run."""
    return lambda data: data["runs"][1]["measurements"][2].update(changes)


DAMAGE: list[tuple[Callable[[Any], Any], str]] = [
    (lambda data: data.update(format="other"), "it is not a file of results"),
    (lambda data: data.pop("format"), "it is not a file of results"),
    (lambda data: data["runs"][0]["answers"][1].update(nats=-1), "answers 2 nats: Input should be greater"),
    (lambda data: data["runs"][0]["answers"][1].update(number=0), "int4 answer 0 is there 2 times"),
    (lambda data: data.update(version=3), r"newer FAST-ChatGLM \(version 3.*update this program"),
    (lambda data: data.update(runs={}), "its runs are not a list"),
    (_third_row(value=-0.5), r"run 2 \(.*: measurements 3: ttft is negative \(-0.5 s\)"),
    (_third_row(value=float("nan")), "run 2: the JSON is broken or cut off"),
    (_third_row(value=None), "measurements 3 value"),
    (_third_row(value="0.5"), r"measurements 3 value: Input should be a valid number \(it is 0.5\)"),
    (_third_row(low=99.0), r"measurements 3: low \(99\) is above high"),
    (_third_row(n=2**31), "measurements 3 n: "),
    (_third_row(params={"text": "x" * 600}), "params: is longer than 500 characters"),
    (_third_row(variant="a\0b"), "character 0"),
    (_third_row(unit="s" * 21), "measurements 3 unit: String should have at most 20"),
    (_third_row(params={"prompt_tokens": 0, "q": 0.5}), "is there 2 times"),
    (_third_row(extra=1), "measurements 3 extra: "),
    (lambda data: data["runs"][1].pop("machine"), "machine: Field required"),
    (_second(machine={"device": 5}), "machine: device: Input should be"),
    (_second(machine={"device": {"name": 5}}), "machine: device name: Input should be"),
    (_second(machine={"cpu_busy": "much"}), r"machine: cpu_busy: .*\(it is much\)"),
    (_second(settings={"prompt_tokens": 8}), "settings: prompt_tokens: "),
    (_second(settings={"arrangement": "turns"}), "settings: arrangement: "),
    (_second(id="../../etc"), "id: String should match"),
    (_second(started="yesterday"), "started: "),
    (_second(finished="2001-01-01T00:00:00Z"), "it finished before it started"),
    (_second(machine=json.loads("[" * 30 + "]" * 30)), "nested more than 24 deep"),
    (lambda data: data["runs"].__setitem__(1, 5), "run 2: "),
    (lambda data: data.update(version=True), "it is not a file of results"),
    (lambda data: data.update(format=["fastglm-results"]), "it is not a file of results"),
    (_second(started="0001-01-01T00:00:00+14:00"), "started: is not from 2000 to 2100"),
    (_second(finished="9999-12-31T23:59:59-14:00"), "finished: is not from 2000 to 2100"),
    (_second(started=1e300), "started: "),
    (_second(settings={"processes": 5}), "settings: processes: "),
    (_second(settings={"noise": 5}), "settings: noise: "),
    (_second(settings={"weights": {"int4": "much"}}), "settings: weights int4: "),
    (_second(settings={"ended": {"latency": {"by": "budget"}}}), "settings: ended latency"),
    (_second(settings={"threads": 10**18}), "settings: threads: "),
    (_second(machine={"cpu_busy": 2}), "machine: cpu_busy: "),
    (_second(machine={"device": {"memory_total": -1}}), "machine: device memory_total"),
    (_second(machine={"x": "y" * 500_000}), "too long to be shown"),
    (_second(machine=dict.fromkeys(map(str, range(1001)), 1)), "more than 1,000 fields"),
    (_second(variants=["x"] * 101), "variants: List should have at most 100"),
    (_second(versions={"torch": 2}), "versions torch: "),
    (_third_row(value=1e300), "measurements 3 value: "),
    (_third_row(params={"prompt_tokens": [1]}), "params: prompt_tokens is neither a number"),
    (_third_row(params={"batch": None}), "params: batch is neither a number"),
    (_third_row(**{"x" * 5000: 1}), "measurements 3 x"),
    (lambda data: data["runs"][1]["samples"][0].update(values=[0.1, -1.0]), "samples 1: decode_latency is negative"),
]


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of a file with two runs."""
    folder = tmp_path_factory.mktemp("two")
    store = Store(f"sqlite:///{folder / 'from.sqlite'}")
    _fill(store, _run())
    _fill(store, _run())
    export_runs(store, folder / "out.json")
    return (folder / "out.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(("damage", "said"), DAMAGE)
def test_a_damaged_json_is_told_in_one_line_with_its_place(
    damage: Callable[[Any], Any], said: str, two_runs: str, other: Store, tmp_path: Path
) -> None:
    path, data = tmp_path / "out.json", json.loads(two_runs)
    damage(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ExchangeError, match=said) as caught:
        import_runs(other, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert other.runs().empty, "nothing is kept, not even the run before"
    assert other.measurements().empty


def test_a_run_too_large_for_the_memory_is_refused(
    store: Store, other: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.json"
    _fill(store, _run(), rows=9)
    export_runs(store, path)
    monkeypatch.setattr(formats, "MOST_PARTS", 40)
    with pytest.raises(ExchangeError, match="it has too many numbers and texts; nothing was imported"):
        import_runs(other, path)
    monkeypatch.setattr(formats, "MOST_RUNS", 0)
    with pytest.raises(ExchangeError, match="has more than 0 runs"):
        import_runs(other, path)
    monkeypatch.setattr(formats, "MOST_BYTES", 1 << 10)
    with pytest.raises(ExchangeError, match="is larger than 0 MB"):
        import_runs(other, path)


HEAD = b'{"format": "fastglm-results", "version": 2, "runs": ['
HOSTILE = {
    "lists": b"[" * 20_000,
    "objects": b'{"a":' * 4_000,
    "in the head": b'{"format": ' + b"[" * 20_000,
    "in a run": HEAD + b'{"machine": ' + b"[" * 20_000,
    "version of 5,000 digits": b'{"format": "fastglm-results", "version": ' + b"9" * 5_000 + b"}",
    "10^400": HEAD + b'{"pid": 1' + b"0" * 400 + b"}]}",
    "1e400": HEAD + b'{"pid": 1e400}]}',
    "a number of a megabyte": HEAD + b"1" * 2_000_000 + b"]}",
    "a text of two megabytes": HEAD + b'"' + b'\\"' * 1_000_000 + b'"]}',
    "a gap of two megabytes": HEAD + b" " * 2_000_000 + b"]}",
    "rows that are none": HEAD + b'{"samples": [' + b"{}," * 400_000 + b"{}]}]}",
    "fields that are none": HEAD + b"{" + b",".join(b'"%d": 0' % i for i in range(100_000)) + b"}]}",
    "numbers that are none": HEAD + b'{"settings": {"batches": [' + b"-1," * 400_000 + b"0]}}]}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_small_file_takes_little_memory(name: str, other: Store, tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_bytes(HOSTILE[name])
    tracemalloc.start()
    try:
        with pytest.raises(ExchangeError) as caught:
            import_runs(other, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000 + 30 * max(len(HOSTILE[name]) - 100_000, 0)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert other.runs().empty


def test_only_regular_files_are_read(other: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "device.json").symlink_to("/dev/zero")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe", "device", "folder"):
        with pytest.raises(ExchangeError, match=f"it is a {name}, not a file"):
            import_runs(other, tmp_path / f"{name}.json")


def test_unknown_metrics_are_kept(store: Store, other: Store, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    _fill(store, _run())
    export_runs(store, path)
    data = json.loads(path.read_text(encoding="utf-8"))
    data["runs"][0]["measurements"][0].update(metric="temperature", unit="°C", value=-3.0, low=-4.0)
    path.write_text(json.dumps(data), encoding="utf-8")
    assert _counts(other, path) == (1, 0, 0, 0)
    assert other.measurements(metric="temperature")["value"].tolist() == [-3.0]


def test_a_json_cut_off_anywhere_leaves_no_half_run(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    _fill(store, _run(), rows=2)
    _fill(store, _run(), rows=2)
    export_runs(store, path)
    whole = path.read_bytes()
    for number, length in enumerate(range(0, len(whole) - 3, len(whole) // 11)):
        path.write_bytes(whole[:length])
        there = Store(f"sqlite:///{tmp_path / f'{number}.sqlite'}")
        with pytest.raises(ExchangeError, match="cut off"):
            import_runs(there, path)
        assert len(there.measurements()) == 2 * len(there.runs())


def test_files_are_written_and_read_run_by_run(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "ROW_GROUP", 3)
    for _ in range(3):
        _fill(store, _run())
    export_runs(store, tmp_path / "out.parquet")
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 4
    export_runs(store, tmp_path / "out.json")
    seen = formats.read_json(tmp_path / "out.json")
    assert len(next(seen)[1]["measurements"]) == 4
    assert len(list(seen)) == 2


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.json"
    path.write_text("before")
    _fill(store, _run())

    def full(beside: Path, _runs: Any) -> None:
        beside.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(formats.WRITERS, ".json", full)
    with pytest.raises(ExchangeError, match=r"could not be written \(No space left on device\)"):
        export_runs(store, path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.glob("*out*")] == ["out.json"]


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, path, elsewhere = _run(), tmp_path / "out.json", f"sqlite:///{tmp_path / 'elsewhere.sqlite'}"
    _fill(Store(), run)
    assert main(["export", str(path)]) == 0
    assert "1 runs written" in capsys.readouterr().out
    assert main(["import", str(path), "--store", elsewhere]) == 0
    assert "1 new, 0 completed, 0 known, 0 refused" in capsys.readouterr().out
    assert main(["delete", run.id]) == 0
    assert Store().runs().empty
    assert main(["delete", run.id, "--undo"]) == 0
    assert len(Store().runs()) == 1
    _fill(Store(elsewhere), run, value=7.0)
    assert main(["import", str(path), "--store", elsewhere]) == 1
    assert f"other numbers for {run.id}" in capsys.readouterr().err
    assert main(["delete", "no-run"]) == 1
    assert "there is no run no-run" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "none.json")]) == 1
    assert "none.json cannot be read (No such file" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "out.txt")]) == 2
    assert main(["export", str(path), "--store", "none"]) == 2
