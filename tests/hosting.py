"""What tests of host processes share."""

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from fastglm.errors import UsageError
from fastglm.launch import launched
from fastglm.progress import OnProgress, Progress

TESTS_ON_PATH = {"PYTHONPATH": str(Path(__file__).parent)}
FAKE = Path(__file__).with_name("fake_host.py")
LAUNCH_FAKE = partial(launched, command=(sys.executable, str(FAKE)))


def eventually(happens: Callable[[], object], seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def evaluated(model: Any, tokenizer: str, what: str, progress: OnProgress) -> tuple[int, str, str]:
    """What tests let a host apply to its model."""
    progress(Progress("answer", 1, 2))
    match what:
        case "threads":
            import torch

            return torch.get_num_threads(), model.fastglm.variant, tokenizer
        case "usage":
            raise UsageError("another vocabulary")
        case "bug":
            raise ZeroDivisionError("a bug")
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid(), model.fastglm.variant, tokenizer
