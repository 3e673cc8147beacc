"""A program that ends with the process that started it, `python -m benchmarks.serving.guard COMMAND…`.

The starter holds the guard's input open. That input ends when the starter does, even if the starter is killed.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence

import psutil

from benchmarks.environment.processes import stop
from fastglm.hosting.spawn import own_group


def main(command: Sequence[str]) -> int:
    """Run a command until it ends or the input does; return its exit status."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **own_group())

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        if process.poll() is None:
            stop(psutil.Process(process.pid))

    threading.Thread(target=watch, daemon=True).start()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
