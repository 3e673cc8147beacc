"""A run on a Ray cluster of two machines, both on this one: on fake hosts, and once on real ones."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed")

import fake_tasks  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from benchmarks.cli.commands import main  # noqa: E402
from benchmarks.execution import ray_cluster  # noqa: E402
from benchmarks.execution.ray_cluster import tasks_of  # noqa: E402
from benchmarks.execution.request import RunRequest  # noqa: E402
from benchmarks.store.store import Store  # noqa: E402

TESTS = Path(__file__).parents[2]
GOLDEN = TESTS / "golden" / "chatglm"
pytestmark = pytest.mark.timeout(600)  # workers import PyTorch
SHORT = ["--variants", "original,int4", "--prompt-tokens", "8", "--answer-tokens", "4", "--repeats", "3"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of all machines, whose workers inherit it; its folder `tasks` is for `fake_tasks`."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "tasks").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTGLM_HOME", str(folder))
        patch.setenv("FAKE_TASKS", str(folder / "tasks"))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS / "support"), str(TESTS.parent), *sys.path]))
        patch.setenv("FAKE_ANSWER_TAKES", "0.01")
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("OMP_NUM_THREADS", raising=False)
        yield folder


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """The address of a cluster with two machines of one processor each."""
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        started.add_node(num_cpus=1)
        started.wait_for_nodes()
        yield started.address
    finally:
        started.shutdown()


@pytest.fixture
def tasks(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fake hosts, an empty store, and the folder in which `fake_tasks` finds orders and leaves records."""
    for file in (home / "tasks").iterdir():
        file.unlink()
    monkeypatch.setenv("FASTGLM_DATABASE_URL", f"sqlite:///{home / f'{time.monotonic_ns()}.sqlite'}")
    monkeypatch.setattr(ray_cluster, "measure", fake_tasks.measure)
    return home / "tasks"


def calls(tasks: Path, name: str) -> list[int]:
    """The number of calls of a task on each machine."""
    nodes = [file.name.split(".")[1] for file in tasks.glob(f"{name}.*")]
    return sorted(nodes.count(node) for node in set(nodes))


def test_a_request_is_split_into_tasks() -> None:
    order = RunRequest.read("demo", "original,fast,int4", "latency,memory,load", "8", "4", "3", "cpu")
    assert [(task.suites, task.variants) for task in tasks_of(order)] == [
        (["latency"], ["original", "fast", "int4"]),  # its ratios are of pairs, measured in turn
        *[([suite], [variant]) for suite in ("memory", "load") for variant in ("original", "fast", "int4")],
    ]


def test_every_machine_is_a_run(address: str, tasks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--suite", "latency,memory,quality", "--questions", "1", "--ray", address]
    assert main(["run", *SHORT, *asked]) == 0
    assert capsys.readouterr().out.count("× original") == 4  # a ratio of the rate and of the first token, twice
    runs = Store().runs()
    assert runs["status"].tolist() == ["done", "done"]
    for run in runs.to_dict("records"):
        assert run["suites"] == ["latency", "memory", "quality"]
        assert run["settings"]["arrangement"] == {"latency": "interleaved", "memory": "blocks", "quality": "blocks"}
        assert run["machine"]["cores"]
        assert run["versions"]["torch"]
        rows = Store().measurements([run["id"]])
        assert set(rows["variant"]) == {"original", "int4"}
        assert set(rows["metric"]) > {"ttft", "decode_rate_ratio", "peak_memory", "skill_accuracy"}
        loads = Store().samples([run["id"]], metric="load_time")
        assert len(loads) == 2 * 3  # one of each variant in every suite
        assert len(Store().answers(run["id"])) > 100
    times = [file.read_text().split() for file in tasks.iterdir()]
    assert len(times) == 2 * 5
    assert {threads for _, _, threads in times} == {"None"}  # PyTorch chooses, as without Ray
    for node in {file.name.split(".")[1] for file in tasks.iterdir()}:
        spans = sorted([float(time_) for time_ in file.read_text().split()[:2]] for file in tasks.glob(f"*.{node}.*"))
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))


def test_a_failure_is_a_result_and_the_rest_goes_on(
    address: str, tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tasks / "kill").write_text("memory-original 1\nmemory-int4 9\n")
    (tasks / "bug").write_text("load-original 1\n")
    (tasks / "large").write_text("load-int4 1\n")
    asked = ["--suite", "latency,memory,load", "--progress", "json", "--ray", address]
    assert main(["run", *SHORT, *asked]) == 0
    said = capsys.readouterr().out.splitlines()
    told = [json.loads(line) for line in said if line.startswith("{")]  # Ray reports dead workers in between
    warnings = [line["message"] for line in told if line["event"] == "warning"]
    assert sum("original (memory) lost its worker" in text and text.endswith("is run again") for text in warnings) == 1
    assert sum("int4 (memory) could not be measured" in text for text in warnings) == 1
    assert sum("original (load) could not be measured: a bug" in text for text in warnings) == 2
    assert [line["event"] for line in told].count("run") == 2
    assert [line["status"] for line in told if line["event"] == "done"] == ["done", "done"]
    assert calls(tasks, "memory-original") == calls(tasks, "memory-int4") == [1, 2]  # run again, once
    crashed = {("int4", "memory", "WorkerCrashedError")}
    lost: list[bool] = []
    for run in Store().runs()["id"]:
        rows = Store().measurements([run])
        failures = rows[rows["metric"] == "failure"]
        found = {(row["variant"], row["params"]["suite"], row["params"]["kind"]) for row in failures.to_dict("records")}
        lost.append(found >= crashed)
        others = {("original", "load", "ZeroDivisionError"), ("int4", "load", "MemoryShortError")}
        assert found == others | (crashed if lost[-1] else set())
        measured = {"original"} if lost[-1] else {"original", "int4"}
        assert set(rows[rows["metric"] == "peak_memory"]["variant"]) == measured
        assert set(rows[rows["metric"] == "decode_rate"]["variant"]) == {"original", "int4"}
    assert sorted(lost) == [False, True]


def test_ctrl_c_keeps_results_that_arrived(address: str, home: Path, tasks: Path) -> None:
    code = "import sys, fake_tasks; from benchmarks.execution import ray_cluster\n"
    code += "ray_cluster.measure = fake_tasks.measure\n"
    code += "from benchmarks.cli.commands import main; sys.exit(main())"
    asked = [*SHORT, "--suite", "latency,memory", "--repeats", "2000", "--progress", "json", "--ray", address]
    with subprocess.Popen([sys.executable, "-c", code, "run", *asked], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        # One measures latency, the other waits for it: they share this machine's device.
        while "loaded" not in [file.read_text() for file in tasks.iterdir()]:
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        told = [json.loads(line) for line in process.stdout]
    assert process.returncode == 130
    assert [line["status"] for line in told if line["event"] == "done"] == ["cancelled", "cancelled"]
    assert Store().runs()["status"].tolist() == ["cancelled", "cancelled"]
    assert Store().samples(metric="decode_rate")["run"].nunique() == 1  # rows of the task that did not run


def test_texts_of_the_user_travel(address: str, tasks: Path, tmp_path: Path) -> None:
    texts = tmp_path / "mine.jsonl"
    texts.write_text('{"prompt": "1+1=?", "answer": "2"}\n', encoding="utf-8")
    assert main(["run", *SHORT, "--suite", "quality", "--texts", str(texts), "--ray", address]) == 0
    runs = Store().runs()
    assert {row["settings"]["texts"] for row in runs.to_dict("records")} == {str(texts)}
    for run in runs["id"]:
        answers = Store().answers(run)
        assert answers["question"].tolist() == ["1+1=?"] * 2
        assert answers["labels"].tolist() == [{"texts": "mine.jsonl"}] * 2


def test_a_real_model(address: str, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("FASTGLM_HOME", str(tasks.parent))
    monkeypatch.setenv("FASTGLM_DATABASE_URL", f"sqlite:///{tasks.parent / 'real.sqlite'}")
    asked = ["--model", str(GOLDEN), "--variants", "original", "--suite", "memory", "--prompt-tokens", "8"]
    assert main(["run", *asked, "--answer-tokens", "4", "--repeats", "1", "--device", "cpu", "--ray", address]) == 0
    rows = Store().measurements(metric="peak_memory")
    assert rows.groupby("run").size().tolist() == [2, 2]
    assert (rows["value"] > 50e6).all()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--ray", "127.0.0.1:1"], 1, "there is no Ray cluster at 127.0.0.1:1 to work with"),
        (["--ray", "x", "--json", "out.json"], 2, "--json is for one machine"),
        (["--ray", "x", "--suite", "quality", "--model", "shape:chatglm-6b"], 2, "random weights"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], status: int, said: str, tasks: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments]) == status
    told = capfd.readouterr().err
    assert told.startswith("error: ")
    assert said in told
    assert told.count("\n") == 1


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "benchmarks.execution.ray_cluster", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["run", "--ray", "127.0.0.1:1", "--store", "none"]) == 1
    assert capsys.readouterr().err == "error: --ray needs ray: pip install ray\n"
