"""`fastglm serve`: one model behind HTTP, until it is stopped."""

import contextlib
import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI
from sse_starlette.sse import AppStatus

from fastglm.errors import UsageError
from fastglm.hosting.protocol import HostKey
from fastglm.serve.app import Settings, make_app
from fastglm.serve.connection import Connection
from fastglm.serve.record import Record, announced
from fastglm.serve.served_model import ServedModel
from fastglm.serve.sharing import Sharing
from fastglm.system.files import read_regular

KEY_VARIABLE = "FASTGLM_API_KEY"
_LONGEST_KEY = 4096  # bytes
_PATIENCE = 60  # seconds that answers may take after the order to stop
_FOR_ERRORS = 5  # of these, seconds to tell clients that their answers were stopped
_BACKLOG = 512  # connections that wait to be accepted


def read_key(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The key that requests need, from a file or the environment; None if neither names one.

    Raises:
        UsageError: the file cannot be read, or the key is empty or no line of visible ASCII characters.
    """
    if file is None:
        key, origin = environment.get(KEY_VARIABLE), KEY_VARIABLE
    else:
        origin = str(file)
        try:
            key = read_regular(file, _LONGEST_KEY).decode("ascii", "replace").strip()
        except OSError as error:
            raise UsageError(f"{file} cannot be read ({error.strerror}): name a file with the key.") from error
    if key is None:
        return None
    if not key or not all("!" <= character <= "~" for character in key):
        raise UsageError(f"{origin} holds no key: it must be one line of visible ASCII characters.")
    return key


def check_exposure(host: str, key: str | None, is_open: bool) -> None:
    """Raise UsageError for an address that others can reach, without a key."""
    if not key and not is_open and not _is_loopback(host):
        raise UsageError(
            f"Without a key everybody who reaches {host} could use this server: set {KEY_VARIABLE} or --key-file, or "
            "say --open."
        )


def serve(
    key: HostKey,
    host: str,
    port: int,
    settings: Settings,
    say: Callable[[str], object],
    served: Callable[[HostKey, str], ServedModel] = ServedModel,
) -> None:
    """Serve a model until the process or the app tells it to stop; answers that run then may take a minute more.

    served: makes the model of its key and of the name that other users of its device see.

    Raises:
        UsageError: the address cannot be used.
        FastGLMError: the model could not be loaded.
    """
    logging.basicConfig(format="%(message)s")
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # clients that went away are no news
    AppStatus.disable_automatic_graceful_drain()  # streams finish too
    with _listening(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{listener.getsockname()[1]}"
        model = served(key, f"a server of {key} at {url}")
        record = Record(url, key, model.name, has_key=bool(settings.key))
        failed: list[Exception] = []

        def on_loaded(error: Exception | None) -> None:
            if error:
                failed.append(error)
                server.should_exit = True
            else:
                with contextlib.suppress(OSError):  # a full disk
                    say(f"{key} is ready at {url} (stop: Ctrl-C).")

        def stop() -> None:
            server.should_exit = True

        server = Server(make_app(model, settings, on_loaded, Sharing(record.token, stop)))
        say(f"Loading {key}; the server listens at {url} already.")
        with announced(record):
            server.run([listener])
    if failed:
        raise failed[0]


class Server(uvicorn.Server):
    """The HTTP server of an app of `make_app`."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_PATIENCE,
        )
        super().__init__(config)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second Ctrl-C ends the server at once, and breaks off answers without a word."""
        if self.should_exit:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let running answers finish, those that take long with an error."""
        self._app.state.answering.stop_in(_PATIENCE - _FOR_ERRORS)
        await super().shutdown(sockets)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(f"{host}:{port} cannot be used ({error.strerror}): set another --host or --port.") from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
