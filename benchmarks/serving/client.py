"""A client of an OpenAI endpoint that notes when each chunk of an answer arrives."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.serving.asked import Asked
from fastglm.errors import FastGLMError, UsageError
from fastglm.system.files import read_regular

SILENCE = 300.0  # seconds without a byte after which a request has failed
CONNECT = 10.0  # seconds to connect
ELSEWHERE = "network"  # the device of a server whose device is unknown
MOST_KEY = 4096  # bytes
MOST_SAID = 200  # characters of a server's message that are shown


class EndpointError(FastGLMError):
    """A server that cannot be measured: nobody there, a wrong key, or another protocol."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI server: its address up to the version (`http://localhost:8000/v1`), a model there, and a key."""

    url: str
    model: str | None = None  # None: the only one that it has
    key: str | None = field(default=None, repr=False)
    device: str = ELSEWHERE  # that it computes on

    @property
    def is_here(self) -> bool:
        """Tell whether the server computes on this machine, as far as known."""
        return self.device != ELSEWHERE

    @classmethod
    def read(cls, url: str, model: str | None = None, key: str | None = None) -> "Endpoint":
        """Read an address; one without a path gets `/v1`. Raises `UsageError`."""
        try:
            parsed = httpx.URL(url.strip())
        except httpx.InvalidURL as error:
            raise UsageError(
                f"--endpoint {url!r} is no address ({error}): give one like http://127.0.0.1:8000"
            ) from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError(f"--endpoint {url!r} is no address: give one like http://127.0.0.1:8000")
        if parsed.userinfo or parsed.query:
            raise UsageError("--endpoint is kept with the results: give a key by --key-file, not in the address")
        path = parsed.path.rstrip("/") or "/v1"
        found = str(parsed.copy_with(path=path, fragment=None))
        if len(found) > 100:
            raise UsageError("--endpoint has more than 100 characters: its results are kept under a shorter address")
        return cls(found, model, key)


def read_key(file: Path) -> str:
    """The key in a file. Raises `UsageError` if there is none."""
    try:
        key = read_regular(file, MOST_KEY).decode("ascii", "replace").strip()
    except OSError as error:
        raise UsageError(f"--key-file {file} cannot be read ({error.strerror or error})") from None
    if not key or not all("!" <= character <= "~" for character in key):
        raise UsageError(f"--key-file {file} holds no key: it must be one line of visible ASCII characters")
    return key


class Client:
    """Sends requests to one endpoint, any number at once, over connections of its own and through no proxy."""

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float] = time.monotonic) -> None:
        self.endpoint, self.clock = endpoint, clock
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        self._http = httpx.AsyncClient(
            base_url=endpoint.url,
            headers=headers,
            timeout=httpx.Timeout(SILENCE, connect=CONNECT),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=False,
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def models(self) -> list[str]:
        """The names of the endpoint's models. Raises `EndpointError` in one line if there is no such endpoint."""
        url = self.endpoint.url
        try:
            response = await self._http.get("/models")
        except httpx.HTTPError as error:
            raise self.refusal(None, _reason(error)) from None
        if response.status_code in (401, 403):
            raise self.refusal(response.status_code, "")
        try:
            names = [entry["id"] for entry in response.raise_for_status().json()["data"]]
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            names = []
        if not names or not all(isinstance(name, str) for name in names):
            raise EndpointError(
                f"{url} is no OpenAI endpoint: its /models answers HTTP {response.status_code} and no list of "
                "models (an address mostly ends in /v1)"
            )
        return names

    def refusal(self, status: int | None, reason: str) -> EndpointError:
        """The error of an endpoint that answers with a status in place of an answer, or not at all."""
        url, model = self.endpoint.url, self.endpoint.model
        if status is None:
            return EndpointError(f"no server answers at {url} ({reason}): start it, or correct --endpoint")
        if status in (401, 403):
            wants = "refuses the key of" if self.endpoint.key else "wants a key: give it by"
            return EndpointError(f"{url} {wants} --key-file (HTTP {status})")
        return EndpointError(f"{url} does not answer {model} ({reason})")

    async def ask(self, prompt: str, tokens: int, options: Mapping[str, Any], due: float | None = None) -> Asked:
        """Ask for a greedy answer of at most `tokens` tokens as a stream. A failure is part of the result.

        Args:
            options: further fields of the request.
            due: the moment at which it should have been sent, if that is not now.
        """
        stream = _Stream(due=self.clock() if due is None else due)
        body = {
            "model": self.endpoint.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            **options,
        }
        try:
            async with self._http.stream("POST", "/chat/completions", json=body) as response:
                stream.status = response.status_code
                if response.status_code != 200:
                    stream.error = f"HTTP {response.status_code}{_said(await response.aread())}"
                else:
                    rest = b""
                    async for chunk in response.aiter_bytes():
                        at = self.clock()
                        *lines, rest = (rest + chunk).split(b"\n")
                        for line in lines:
                            stream.read(line, at)
        except httpx.HTTPError as error:
            stream.error = stream.error or _reason(error)
        return stream.asked(self.clock())


@dataclass(slots=True)
class _Stream:
    """An answer while it arrives."""

    due: float
    pieces: list[float] = field(default_factory=list)
    usage: Mapping[str, Any] = field(default_factory=dict)
    is_whole: bool = False
    error: str | None = None
    status: int | None = None

    def read(self, line: bytes, at: float) -> None:
        """Read a line of server-sent events that arrived at a time."""
        if not line.startswith(b"data:") or self.error:
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            self.is_whole = True
            return
        try:
            chunk = json.loads(data)
            if error := chunk.get("error"):
                self.error = f"the stream says: {str(error)[:MOST_SAID]}"
                return
            self.usage = chunk.get("usage") or self.usage
            for choice in chunk.get("choices") or []:
                self.is_whole = self.is_whole or bool(choice.get("finish_reason"))
                if any(
                    (choice.get("delta") or {}).get(name) for name in ("content", "reasoning_content", "tool_calls")
                ):
                    self.pieces.append(at)
        except (ValueError, AttributeError, TypeError):
            self.error = f"a chunk that is not OpenAI's: {data[:MOST_SAID].decode(errors='replace')}"

    def asked(self, now: float) -> Asked:
        """The request as it ended."""
        if self.error is None and not self.is_whole:
            self.error = f"the stream broke off after {len(self.pieces)} chunks"
        if self.error is None and not self.pieces:
            self.error = "an answer without text"
        tokens, read = self.usage.get("completion_tokens"), self.usage.get("prompt_tokens")
        usage = tokens if isinstance(tokens, int) and tokens > 0 else None
        return Asked(
            self.due,
            tuple(self.pieces),
            now,
            usage or len(self.pieces),
            usage is None,
            read if isinstance(read, int) else None,
            self.error,
            self.status,
        )


def _reason(error: httpx.HTTPError) -> str:
    """The kind of a failure of the network, and its text if there is any."""
    return " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())[:MOST_SAID]


def _said(body: bytes) -> str:
    """The message in the body of an error."""
    try:
        error = json.loads(body)["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    except (ValueError, LookupError, TypeError):
        text = body.decode(errors="replace")
    return f": {' '.join(str(text).split())[:MOST_SAID]}" if text else ""
