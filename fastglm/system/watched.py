"""Commands that end together with the process that started them, and with all their own child processes: compilers, for
one.

`python watched.py FOLDER COMMAND …` runs a command in a process group of its own. Its standard input ends when its
parent ends, in whatever way; then it kills the group and removes the command's working folder.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_GRACE = 2.0  # seconds between a polite request to end and killing


@contextlib.contextmanager
def watched(folder: Path, command: Sequence[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in `folder`, which also holds its temporary files; the command is ended at the end of the block.

    The caller reads the command's errors from the process's `stderr`.
    """
    own_group: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
    with subprocess.Popen(
        # It needs no site-packages, and starts within milliseconds without them.
        [sys.executable, "-I", "-S", __file__, str(folder), *map(str, command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
        **own_group,
    ) as process:
        yield process


def _run(folder: str, command: list[str]) -> int:
    """Run the command; returns its exit status."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    ending = threading.Event()

    def end() -> None:
        os.read(0, 1)  # returns when the parent has closed its end or has died
        ending.set()
        _signal(process, signal.SIGTERM)  # compilers then remove their temporary files
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        shutil.rmtree(folder, ignore_errors=True)
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))  # the rest of the group, this process included
        os._exit(1)

    watcher = threading.Thread(target=end, daemon=True)
    watcher.start()
    status = process.wait()
    if ending.is_set():
        watcher.join()
    return status


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    if os.name == "posix":
        os.killpg(0, number)
    else:
        process.kill()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: None)  # this process is the last of its group
    # No clean-up of the interpreter: the watching thread waits in a read.
    sys.stderr.flush()
    os._exit(_run(sys.argv[1], sys.argv[2:]) & 0xFF)
