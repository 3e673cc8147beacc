"""A server of a variant, `fastglm serve` in a process of its own, for the time of a measurement."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import httpx
import psutil

from benchmarks.environment.processes import stop
from benchmarks.serving.client import Endpoint
from fastglm.errors import HostError
from fastglm.hosting.lease import LENT
from fastglm.hosting.spawn import own_group
from fastglm.progress.progress import OnProgress, Progress

SERVE: tuple[str, ...] = (sys.executable, "-m", "fastglm", "serve")
_PAUSE = 0.2  # seconds between two looks at a loading server


@contextmanager
def served(model: str, variant: str, device: str, progress: OnProgress) -> Iterator[Endpoint]:
    """Serve a variant on this machine in the block; the caller's lease on the device is lent to the server.

    Raises:
        HostError: the server ended before it was ready; the message has its last line.
    """
    port = _free_port()
    options = ["--model", model, "--variant", variant, "--device", device, "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "FASTGLM_API_KEY"} | {LENT: device}
    with tempfile.TemporaryFile() as log:
        # A process group of its own, so that Ctrl-C reaches it only when the measurement has ended.
        process = subprocess.Popen([*SERVE, *options], stdout=log, stderr=log, env=environment, **own_group())
        try:
            _wait(process, f"http://127.0.0.1:{port}", log, progress)
            yield Endpoint(f"http://127.0.0.1:{port}/v1", device=device)
        finally:
            if process.poll() is None:
                stop(psutil.Process(process.pid))
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(process: "subprocess.Popen[bytes]", url: str, log: IO[bytes], progress: OnProgress) -> None:
    """Wait until a server has loaded its model."""
    with httpx.Client(trust_env=False) as client:
        while process.poll() is None:
            try:
                if client.get(f"{url}/health").status_code == 200:
                    return
            except httpx.HTTPError:  # it does not listen yet
                pass
            progress(Progress("starting the server", 0, 0))
            time.sleep(_PAUSE)
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    raise HostError(f"fastglm serve ended before it was ready ({lines[-1].strip() if lines else 'without a word'})")
