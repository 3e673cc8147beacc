"""Connections to a server: faults of HTTP itself are answered in JSON too, and nobody keeps one without using it."""

import asyncio
import sys
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from fastglm.serve.errors import ApiError

_SLOWEST_HEAD = 20.0  # seconds from the begin of a connection, or its last answer, to all headers of the next request
_STUCK = 60.0  # seconds in which a client reads nothing before it is given up
_MOST = 2048  # connections
_REFUSED = 64  # further ones that are told so
_FILES = 1024  # open files that a process may have where the system does not tell


class Connection(H11Protocol):
    """One connection. Replaces uvicorn's errors in plain text, and ends where uvicorn would wait for ever."""

    _patience: asyncio.TimerHandle | None = None  # runs while no request is being answered
    _stuck: asyncio.TimerHandle | None = None  # runs while the client does not read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        more = len(self.connections) - most_connections()
        if more > _REFUSED:
            transport.abort()
        elif more > 0:
            self.app = _refuse
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._patience, self._stuck):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._patience and self._is_answering:
            self._patience.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # which begins with the next request, if it is there already
        if not self._is_answering:
            self._wait()

    def send_400_response(self, msg: str) -> None:
        self._end(ApiError(400, "The request is not valid HTTP."))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(_STUCK, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck:
            self._stuck.cancel()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        if self._patience:
            self._patience.cancel()
        self._patience = self.loop.call_later(_SLOWEST_HEAD, self._give_up)

    def _give_up(self) -> None:
        if self.transport.is_closing():  # but the client does not read the last answer
            self.transport.abort()
        else:
            self._end(ApiError(408, "The request did not arrive in time."))

    def _end(self, error: ApiError) -> None:
        """Answer with an error, unless an answer has begun, and close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = error.response()
            headers = [*response.raw_headers, (b"connection", b"close")]
            status = error.status_code
            for event in (
                h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status]),
                h11.Data(data=bytes(response.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def most_connections() -> int:
    """The number of connections at a time: half of the files that this process may open, because a model's process
    needs some too.
    """
    files: Any = _FILES
    if sys.platform != "win32":
        import resource

        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if files == resource.RLIM_INFINITY:
            return _MOST
    return min(_MOST, files // 2)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Retry-After": "1", "Connection": "close"}
    error = ApiError(503, "Too many connections are open: try again later.", headers=headers)
    await error.response()(scope, receive, send)
