"""What tests of host processes share."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

TESTS_ON_PATH = {"PYTHONPATH": str(Path(__file__).parent)}
FAKE = Path(__file__).with_name("fake_host.py")


def eventually(happens: Callable[[], object], seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
