"""Helpers for tests of host processes."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from fastglm.errors import UsageError
from fastglm.hosting.spawn import launched
from fastglm.progress.progress import OnProgress, Progress

TESTS_ON_PATH = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])}
FAKE = Path(__file__).with_name("fake_host.py")
LAUNCH_FAKE = partial(launched, command=(sys.executable, str(FAKE)))


def eventually(happens: Callable[[], object], seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@contextlib.contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    """A disk of its own at a folder, made with options of tmpfs; skips the test if this user may not mount one."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this user may not mount a disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Fill a disk; returns the file that takes all free space."""
    file = place / "filler"
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as filler:
        while filler.write(bytes(1 << 16)):
            pass
    return file


def evaluated(model: Any, tokenizer: str, what: str, progress: OnProgress) -> tuple[int, str, str]:
    """A function that tests have a host apply to its model."""
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


def failing_step(model: Any, _tokenizer: Any, rows: int, for_good: bool, progress: OnProgress) -> None:
    """Let the next step of so many rows fail in the middle of its layers; `for_good`: slots cannot be freed then."""
    from fastglm.engine.kv_cache import KVCache

    def fail(_: Any, inputs: tuple[Any, ...]) -> None:
        if len(inputs[0]) == rows:
            hook.remove()
            if for_good:
                KVCache.clear = refuse  # type: ignore[method-assign]
            refuse()

    def refuse(*_: Any) -> None:
        raise RuntimeError("a kernel failed\nin its second line")

    hook = model.transformer.layers[1].mlp.register_forward_pre_hook(fail)


def cache_held(model: Any, _tokenizer: Any, progress: OnProgress) -> int:
    """Bytes of keys and values that the engine holds."""
    from fastglm.engine.runner import runner_of

    return runner_of(model).memory
