"""The sweep: it removes leftovers of killed processes, and no file in use or kept for the user."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hosting import LAUNCH_FAKE, TESTS_ON_PATH

import fastglm.hosting.host
from fastglm.hosting import sweep as sweeping
from fastglm.hosting.host import Host
from fastglm.hosting.sweep import LOG_KEPT, LOGS, sweep
from fastglm.system.locks import try_lock
from fastglm.system.making import part_of

PARTIAL = (
    "kernels.json.{}",
    "references/{}.partial",
    "conversations/{}.part",
    "conversations/x.json.{}.partial",
    "models/m.work/{}.partial",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path))
    monkeypatch.setattr(fastglm.hosting.host, "LAUNCH", LAUNCH_FAKE)
    sweeping._sweep.cache_clear()
    return tmp_path


def put(path: Path, age: float = 0.0, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


@pytest.mark.parametrize(
    "place", ["kernels", "steps", "variants/demo-1", "models", "models/mine.work"], ids=lambda place: place
)
def test_parts_of_killed_makers_are_removed_and_of_others_kept(home: Path, place: str) -> None:
    (home / place).mkdir(parents=True)
    dies = "import os, sys; from pathlib import Path; from fastglm.system.making import part_of\n"
    dies += "with part_of(Path(sys.argv[1])) as part:\n    (part / 'x').write_text('half')\n    os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", dies, str(home / place / "x")], env=os.environ | TESTS_ON_PATH)
    assert len(list((home / place).glob("*.part"))) == 1
    with part_of(home / place / "y") as part:
        sweep()
        assert list((home / place).glob("*.part")) == [part]


def test_forsaken_files_are_removed_and_fresh_ones_kept(home: Path) -> None:
    for number, age in ((123, 2 * 3600.0), (456, 0.0)):
        for name in PARTIAL:
            put(home / name.format(number), age)
    old = [put(home / place / "tmpabcdefgh" / "x.cpp").parent for place in ("kernels", "steps")]
    for folder in old:
        os.utime(folder, (0, 0))
    kept = [put(home / name, 10 * LOG_KEPT) for name in ("kernels.json", "references/a", "models/m/weights", "mine")]
    sweep()
    left = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert left == {
        *(path.relative_to(home).as_posix() for path in kept),
        *(name.format(456) for name in PARTIAL),
    }
    assert not any(folder.exists() for folder in old)


def test_locks_of_makers_that_are_gone_are_removed(home: Path) -> None:
    put(home / "leases" / "gone.making")
    put(home / "leases" / "gone.news")
    put(home / "leases" / "orphan.news")
    held = put(home / "leases" / "there.making")
    put(home / "leases" / "there.news")
    lock = try_lock(held)
    assert lock
    with lock:
        sweep()
        assert sorted(path.name for path in (home / "leases").iterdir()) == ["there.making", "there.news"]


def test_logs_of_failed_hosts_are_kept_for_a_while(home: Path) -> None:
    logs = home / "logs"
    for number in range(LOGS + 5):
        put(logs / f"host-202601{number:02}-000000-x.log")
    put(logs / "host-20251231-000000-x.log", LOG_KEPT + 60)
    put(logs / "host-20260201-000000-empty.log", content="")
    put(logs / "worker.log", 10 * LOG_KEPT)
    sweep()
    kept = sorted(path.name for path in logs.iterdir())
    assert kept == [f"host-202601{number:02}-000000-x.log" for number in range(5, LOGS + 5)] + ["worker.log"]


@pytest.mark.skipif(os.name != "posix", reason="Windows refuses to remove a file that is open")
def test_the_log_of_a_host_that_runs_is_kept(home: Path) -> None:
    with Host.start():
        (log,) = (home / "logs").iterdir()
        os.utime(log, (0, 0))
        sweeping._sweep.cache_clear()
        sweep()
        assert log.exists()


def test_a_home_that_is_not_there_is_not_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTGLM_HOME", str(home / "new"))
    sweep()
    assert not (home / "new").exists()
