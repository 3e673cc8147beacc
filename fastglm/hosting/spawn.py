"""Starting of host processes: on Linux forked from a server that has imported the libraries, elsewhere from scratch.

Importing PyTorch and transformers takes seconds, forking a process that has done so takes milliseconds. The server
(`python -m fastglm.hosting.spawn`) starts with the first host, has one thread, never touches a device, and ends with
its parent; requests are pickles on a pair of sockets that only these two hold. Forked hosts share its libraries in
memory and are otherwise separate processes.
"""

import atexit
import contextlib
import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any, BinaryIO, Protocol

WORKER = "fastglm.hosting.worker"
_LONGEST = 1 << 20  # bytes of a request: the environment and a folder


class Process(Protocol):
    """The part of `subprocess.Popen` that a host needs."""

    stdin: Any  # binary, with pipes by `launch`
    stdout: Any

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...

    def kill(self) -> None: ...

    def send_signal(self, sig: int, /) -> None: ...


Launch = Callable[[BinaryIO], Process]


def launched(log: BinaryIO, command: tuple[str, ...] = (sys.executable, "-m", WORKER)) -> Process:
    """Start a new process with pipes, and its errors in `log`. It leads its own process group: Ctrl-C does not reach
    it.
    """
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, **own_group())


def own_group() -> dict[str, Any]:
    """Arguments of `subprocess.Popen` for a process that leads its own group."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"process_group": 0}


def forked(log: BinaryIO, module: str = WORKER, arguments: tuple[str, ...] = ()) -> Process:
    """Fork a process from the server, in this one's environment and folder; starts a new one if that fails.

    It calls `main(*arguments)` of the module.
    """
    request = _ForkRequest(dict(os.environ), os.getcwd(), sys.path, module, arguments)
    with _lock:
        for _ in range(2):  # a killed server is started again
            with contextlib.suppress(OSError, EOFError):
                return _server(log).fork(request, log)
    return launched(log, (sys.executable, "-m", module, *arguments))


@dataclass(frozen=True, slots=True)
class _ForkRequest:
    """Fork, and become a host; the reply is the id of the process."""

    environment: dict[str, str]
    directory: str
    path: list[str]
    module: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _WaitRequest:
    """Wait for the end of a process; the reply is its exit status."""

    pid: int


class _Server:
    """The client's end of the connection."""

    def __init__(self, log: BinaryIO) -> None:
        self.owner = os.getpid()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fastglm.hosting.spawn", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        self._asking = threading.Lock()

    def fork(self, request: _ForkRequest, log: BinaryIO) -> "_Forked":
        stdin, to_process = os.pipe()
        from_process, stdout = os.pipe()
        files = os.fdopen(to_process, "wb"), os.fdopen(from_process, "rb")
        try:
            pid = self.ask(request, [stdin, stdout, log.fileno()])
        except BaseException:
            for file in files:
                file.close()
            raise
        finally:
            os.close(stdin)
            os.close(stdout)
        return _Forked(self, pid, *files)

    def ask(self, request: _ForkRequest | _WaitRequest, files: list[int]) -> int:
        """Send a request; returns the reply. Raises OSError or EOFError if the server is gone."""
        with self._asking:
            try:
                socket.send_fds(self._channel, [pickle.dumps(request)], files)
                return int(pickle.loads(self._channel.recv(_LONGEST)))
            except BaseException:
                self._channel.close()  # an unread reply would be taken for the next request's
                raise

    @property
    def alive(self) -> bool:
        """Tell whether this process can use the server."""
        return self.owner == os.getpid() and self._channel.fileno() >= 0 and self._process.poll() is None

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


class _Forked:
    """A child process of the server. Its id is not reused before `wait` has returned."""

    def __init__(self, server: _Server, pid: int, stdin: BufferedIOBase, stdout: BufferedIOBase) -> None:
        self.stdin, self.stdout = stdin, stdout
        self._server, self._pid = server, pid
        self._status: int | None = None

    def poll(self) -> int | None:
        """The exit status once `wait` has returned."""
        return self._status

    def wait(self) -> int:
        """The exit status, or minus the signal that ended it; SIGKILL's if the server is gone."""
        if self._status is None:
            try:
                self._status = self._server.ask(_WaitRequest(self._pid), [])
            except (OSError, EOFError):
                self._status = -signal.SIGKILL
        return self._status

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, sig: int, /) -> None:
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, sig)


_lock = threading.Lock()
_running: _Server | None = None


def _server(log: BinaryIO) -> _Server:
    """The server of this process, started if needed."""
    global _running
    if _running is None or not _running.alive:
        _running = _Server(log)
        atexit.register(_running.close)
    return _running


def serve(channel: socket.socket) -> None:
    """Fork hosts and wait for their ends until the client's end is closed."""
    import fastglm

    fastglm.load, fastglm.stream  # noqa: B018  # importing what they need takes the time

    while True:
        data, files, *_ = socket.recv_fds(channel, _LONGEST, 3)
        if not data:
            os._exit(0)
        match pickle.loads(data):
            case _ForkRequest() as request:
                if not (pid := os.fork()):
                    channel.close()
                    _become(files, request)
                    importlib.import_module(request.module).main(*request.arguments)
                    sys.exit()
                for file in files:
                    os.close(file)
                channel.send(pickle.dumps(pid))
            case _WaitRequest(pid):
                channel.send(pickle.dumps(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))


def _become(files: list[int], request: _ForkRequest) -> None:
    """Set a host's standard streams, process group, environment, folder and module path."""
    os.setpgid(0, 0)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.directory)
    sys.path[:] = request.path


if __name__ == "__main__":
    from fastglm.hosting import spawn  # the classes of requests must belong to this module, not to `__main__`

    spawn.serve(socket.socket(fileno=int(sys.argv[1])))
