"""Checks of every request before anything reads it: its host, its key, and the kind and size of its body."""

import asyncio
import hmac
import ipaddress
import time
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastglm.serve.errors import ApiError
from fastglm.serve.memory import give_back_memory
from fastglm.serve.shared_host import ASK, STOP

_LARGEST_BODY = 8 << 20  # bytes; a million tokens of text are half of it
_LARGE_BODY = 1 << 20  # bytes; as JSON in memory it takes many times as much
_ALL_BODIES = 64 << 20  # bytes of the bodies of all requests at a time
_SLOWEST_BODY = 30.0  # seconds between two parts of a body
_LONGEST_BODY = 300.0  # seconds for a whole one
_OPEN = ("/", "/health", "/docs", "/openapi.json")  # for GET without a key: nothing secret is there
_OF_APP = (ASK, STOP)  # with the app's secret alone
_LOCAL = ("localhost",)


class Guard:
    """Refuses requests that have no key, or address another host: a page that a name leads here cannot use the server
    (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, key: str | None, names: Collection[str] = (), token: str | None = None) -> None:
        """`names` are those of this server, besides localhost and all addresses in digits; `token` is the app's."""
        self._app = app
        self._tokens = [token] if token else []
        self._keys = [key, *self._tokens] if key else []
        self._names = {*_LOCAL, *(name.lower() for name in names)}
        self._held = 0  # bytes of bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except ApiError as error:
            await error.response()(scope, receive, send)
        else:
            body = _LimitedBody(self, receive)
            try:
                await self._app(scope, body.receive, send)
            finally:
                self.hold(-body.size)
                if body.size > _LARGE_BODY:
                    give_back_memory()

    def hold(self, size: int) -> None:
        """Count bytes of a body, or of its end. Raises ApiError for more than all requests may have together."""
        self._held += size
        if size > 0 and self._held > _ALL_BODIES:
            raise ApiError(503, "Too many large bodies are here: try again later.", headers={"Retry-After": "1"})

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if not self._is_own(headers.get("host", "")):
            raise ApiError(421, "This server has another name: see --server-name.", code="foreign_host")
        is_open = scope["method"] in ("GET", "HEAD") and (
            scope["path"] in _OPEN or scope["path"].startswith("/static/")
        )
        keys = self._tokens if scope["path"] in _OF_APP else self._keys
        if keys and not is_open and not _fits(headers.get("authorization", ""), keys):
            raise ApiError(
                401,
                "The key is missing or wrong: send it as 'Authorization: Bearer KEY'.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if scope["method"] != "POST":
            return
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "The body must be JSON: send it with 'Content-Type: application/json'.")
        if int(headers.get("content-length", "0")) > _LARGEST_BODY:
            raise _too_large()

    def _is_own(self, host: str) -> bool:
        """Tell whether a Host header names this server."""
        name = host.lower() if host.endswith("]") else host.lower().rpartition(":")[0] or host.lower()
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def _fits(authorization: str, keys: Collection[str]) -> bool:
    """Tell whether a header holds one of the keys, in a time that does not depend on how much of it is right."""
    kind, _, given = authorization.partition(" ")
    fits = [hmac.compare_digest(given.strip().encode(), key.encode()) for key in keys]
    return any(fits) and kind.lower() == "bearer"


class _LimitedBody:
    """Receives a body of limited size, whose parts come without long pauses."""

    def __init__(self, guard: Guard, receive: Receive) -> None:
        self.size = 0  # bytes so far
        self._guard, self._receive = guard, receive
        self._is_whole = False
        self._end = time.monotonic() + _LONGEST_BODY

    async def receive(self) -> Message:
        """The next message. Raises ApiError for a body that is too large or too slow."""
        limit = None if self._is_whole else min(_SLOWEST_BODY, self._end - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), limit)
        except TimeoutError as error:
            raise ApiError(408, "The body did not arrive in time.") from error
        part = len(message.get("body", b""))
        self.size += part
        self._guard.hold(part)
        if self.size > _LARGEST_BODY:
            raise _too_large()
        self._is_whole = self._is_whole or not message.get("more_body", False)
        return message


def _too_large() -> ApiError:
    return ApiError(413, f"The body is too large: at most {_LARGEST_BODY >> 20} MiB are read.")
