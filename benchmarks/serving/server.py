"""A server in a process of its own for the time of a measurement: `fastglm serve` with a variant, or a peer's."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import httpx

from benchmarks.serving.client import Endpoint
from fastglm.errors import HostError
from fastglm.hosting.lease import LENT
from fastglm.hosting.spawn import own_group
from fastglm.progress.progress import OnProgress, Progress

SERVE: tuple[str, ...] = (sys.executable, "-m", "fastglm", "serve")
GUARD: tuple[str, ...] = (sys.executable, "-m", "benchmarks.serving.guard")
_PAUSE = 0.2  # seconds between two looks at a loading server


@contextmanager
def served(
    model: str, variant: str, device: str, progress: OnProgress, threads: int | None = None
) -> Iterator[Endpoint]:
    """Serve a variant on this machine in the block; the caller's lease on the device is lent to the server.

    Raises:
        HostError: the server ended before it was ready; the message has its last line.
    """

    def command(port: int) -> list[str]:
        return [*SERVE, "--model", model, "--variant", variant, "--device", device, "--port", str(port)]

    with running("fastglm serve", command, progress, {LENT: device}, threads) as url:
        yield Endpoint(f"{url}/v1", device=device)


@contextmanager
def running(
    name: str,
    command: Callable[[int], Sequence[str]],
    progress: OnProgress,
    environment: dict[str, str],
    threads: int | None,
) -> Iterator[str]:
    """Run a server in the block, and give its address. It ends with this process, even if this process is killed.

    Args:
        command: the server's command for a port.
        environment: variables beside those of this process.
        threads: that the server's libraries use unless its command tells them.

    Raises:
        HostError: the server ended before it was ready; the message has its last line.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {name: value for name, value in os.environ.items() if name != "FASTGLM_API_KEY"} | environment
    if threads:
        variables["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryFile() as log:
        # A process group of its own, so that Ctrl-C reaches it only when the measurement has ended.
        process = subprocess.Popen(
            [*GUARD, *command(port)], stdin=subprocess.PIPE, stdout=log, stderr=log, env=variables, **own_group()
        )
        assert process.stdin
        try:
            _wait(name, process, url, log, progress)
            yield url
        finally:
            process.stdin.close()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(name: str, process: "subprocess.Popen[bytes]", url: str, log: IO[bytes], progress: OnProgress) -> None:
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
    raise HostError(f"{name} ended before it was ready ({lines[-1].strip() if lines else 'without a word'})")
