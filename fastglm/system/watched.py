"""Commands that end with the process that began them, and with all that they began: compilers, which start others.

`python watched.py FOLDER COMMAND …` runs a command in a process group of its own. When its standard input ends, as it
does however its parent ends, it ends the group and removes the folder that the command works in.
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

_GRACE = 2.0  # seconds from a request to end to the end by force


@contextlib.contextmanager
def watched(folder: Path, command: Sequence[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    """A command at work in `folder`, which also holds its temporary files; ended at the end of the block.

    Its errors are to be read from the process's `stderr`.
    """
    own_group: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
    with subprocess.Popen(
        # Without site-packages, which it does not need, it starts in some milliseconds.
        [sys.executable, "-I", "-S", __file__, str(folder), *map(str, command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
        **own_group,
    ) as process:
        yield process


def _run(folder: str, command: list[str]) -> int:
    """The command's exit status."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    ending = threading.Event()

    def end() -> None:
        os.read(0, 1)  # returns when the parent has closed its end, or is gone
        ending.set()
        _signal(process, signal.SIGTERM)  # compilers remove their temporary files
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        shutil.rmtree(folder, ignore_errors=True)
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))  # what is left of the group, this process too
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
    signal.signal(signal.SIGTERM, lambda *_: None)  # it is the last of its group to end
    # No clean-up: the watching thread waits in a read.
    sys.stderr.flush()
    os._exit(_run(sys.argv[1], sys.argv[2:]) & 0xFF)
