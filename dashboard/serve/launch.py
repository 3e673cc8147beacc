"""Starting and stopping of servers. A server outlives the app, which finds it again by its record."""

import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from dashboard import detached
from fastglm.hosting.protocol import HostKey
from fastglm.serve.record import Record, servers
from fastglm.serve.shared_host import SharedHost
from fastglm.system.files import DOWNLOAD_LIMIT, VISITORS_LIMIT, last_line
from fastglm.system.home import folder

KEY_VARIABLE = "FASTGLM_API_KEY"
_ERROR = "error: "  # the beginning of the line with which a command ends that failed


@dataclass(frozen=True, slots=True)
class Launch:
    """A process that was started to serve."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path


_lock = threading.Lock()
_latest: Launch | None = None
_stopping: set[str] = set()  # tokens of servers that were told to end


def start(key: HostKey, host: str, port: int, secret: str | None) -> None:
    """Start a server, whose clients need `secret` if there is one. Raises FastGLMError if that fails at once."""
    global _latest
    log = folder("logs") / f"serve-{port}.log"
    environment = {DOWNLOAD_LIMIT: str(VISITORS_LIMIT), **os.environ}
    environment.pop(KEY_VARIABLE, None)
    if secret:
        environment[KEY_VARIABLE] = secret  # a command line would show it to others
    arguments = ["-m", "fastglm", "serve", f"--model={key.model}", f"--variant={key.variant}"]
    with _lock:
        process = detached.start([*arguments, f"--host={host}", f"--port={port}"], log, environment)
        _latest = Launch(process, port, log)


def starting() -> int | None:
    """The port of the server that was started last, until it listens or fails."""
    latest = _latest
    if latest is None or latest.process.poll() is not None:
        return None
    return None if latest.port in {record.port for record in servers()} else latest.port


def failure() -> str | None:
    """The reason why the server that was started last has failed, in one line."""
    latest = _latest
    status = latest.process.poll() if latest else None
    if latest is None or not status:
        return None
    line = last_line(latest.log)
    return line.removeprefix(_ERROR) if line.startswith(_ERROR) else f"exit status {status}: {line}"


def stop(record: Record) -> None:
    """Tell a server to end. Raises HostError if it does not answer."""
    SharedHost(record).stop()
    _stopping.add(record.token)


def is_stopping(record: Record) -> bool:
    """Tell whether a server was told to end."""
    return record.token in _stopping
