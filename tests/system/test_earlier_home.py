"""A home folder of an earlier version opens: its store, a compressed model, and an unfinished run and job."""

import platform
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import fastglm
from benchmarks.cli.commands import main
from benchmarks.jobs.jobs import Jobs
from benchmarks.store.store import Store

TESTS = Path(__file__).parents[1]
RECORDED = [105, 681, 145, 268, 99, 145, 699, 714, 591, 17, 521, 268]  # greedy tokens of exact weight-only arithmetic
DONE, INTERRUPTED = "20261128-062912-9dae6c", "20261128-063200-a280ed"


@pytest.fixture
def home(own_home: Path) -> Path:
    """A copy of the recorded home, as if written on this machine."""
    shutil.copytree(TESTS / "fixtures" / "home", own_home, dirs_exist_ok=True)
    manifest = own_home / "models" / "chatglm-int4" / "fastglm.json"
    manifest.write_text(manifest.read_text().replace("GOLDEN", str(TESTS / "golden")))
    with sqlite3.connect(own_home / "results" / "results.sqlite") as database:
        database.execute(
            "UPDATE jobs SET node = ?, arguments = replace(arguments, 'tests/golden', ?)",
            [platform.node(), str(TESTS / "golden")],
        )
        database.execute("UPDATE runs SET machine = json_set(machine, '$.node', ?)", [platform.node()])
    return own_home


def test_the_compressed_model_loads_and_answers(home: Path) -> None:
    model, tokenizer = fastglm.load(str(home / "models" / "chatglm-int4"), "original", "cpu")
    settings = {"max_new_tokens": 12, "do_sample": False, "ignore_eos": True}
    assert [piece.token for piece in fastglm.stream(model, tokenizer, "你好", **settings)] == RECORDED


def test_the_finished_run_reads_as_it_was_written(home: Path) -> None:
    store = Store()
    runs = store.runs().set_index("id")
    assert (runs.loc[DONE, "status"], runs.loc[INTERRUPTED, "status"]) == ("done", "interrupted")
    found = store.measurements([DONE])
    assert len(found) == 16
    assert set(found["metric"]) == {
        "load_time",
        "ttft",
        "prefill_rate",
        "decode_rate",
        "decode_latency",
        "ttft_ratio",
        "decode_rate_ratio",
    }
    assert found.loc[found["metric"] == "load_time", "value"].tolist()[0] == pytest.approx(0.02938834499946097)


def test_a_run_of_another_code_version_is_not_mixed_with_this_one(home: Path) -> None:
    assert Store().runs().set_index("id").loc[INTERRUPTED, "status"] == "interrupted"
    assert main(["resume", INTERRUPTED]) == 2


@pytest.mark.timeout(180)
def test_the_queued_job_is_carried_out(home: Path) -> None:
    store = Store()
    [job] = Jobs(store).unfinished()
    assert job.arguments[:3] == ["-m", "benchmarks", "run"]
    done = subprocess.run([sys.executable, "-m", "benchmarks", "work"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    finished = Jobs(store).get(job.id)
    assert finished
    assert finished.state == "done", finished.error
    assert store.runs()["status"].tolist().count("done") == 2
