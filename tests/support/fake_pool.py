"""A pool of hosts without a model: it loads at once and answers with the test's text."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from fastglm.errors import FastGLMError
from fastglm.generation.piece import Piece
from fastglm.hosting.protocol import HostKey
from fastglm.messages import Message, ToolCall
from fastglm.progress.progress import Progress
from fastglm.system.memory import Memory


class FakeAnswer:
    """Gives one character per token; `gate` lets a test hold it back, `dies` ends it with an error after that many
    tokens.
    """

    def __init__(
        self,
        text: str,
        gate: threading.Event | None,
        pace: float,
        dies: int | None,
        state: str,
        call: ToolCall | None = None,
    ) -> None:
        self.state, self.ahead, self.waiting_for = state, 2, "a benchmark"
        self.memory: Memory | None = None
        self._text, self._gate, self._pace, self._dies = text, gate, pace, dies
        self._call = call
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    def __iter__(self) -> Iterator[Piece]:
        while self._gate is not None and not self._gate.wait(0.01) and not self._cancelled.is_set():
            pass
        self.state = "running"
        for i in range(len(self._text)):
            if self._cancelled.wait(self._pace):
                break
            if i == self._dies:
                raise FastGLMError("the process that ran it ended (signal 9); ask again to start it anew")
            stop = "eos" if i == len(self._text) - 1 else None
            piece = Piece(self._text[: i + 1], 5 + i, i + 1, 7, 0.1 + 0.02 * i, 0.1, stop=stop, cache_memory=1000)
            yield replace(piece, call=self._call) if stop else piece
        self.state = "cancelled" if self._cancelled.is_set() else "done"
        self.memory = Memory(weights=5_000_000, cache=1000, current=250_000_000, peak=260_000_000)


class FakeHost:
    """One loaded variant."""

    def __init__(self, key: HostKey, pool: "FakePool") -> None:
        self.key, self.pool = key, pool
        self.info = SimpleNamespace(device="cpu")

    def ask(self, prompt: str, history: Sequence[Message] = (), *, lease: bool = True, **settings: Any) -> FakeAnswer:
        pool = self.pool
        pool.asked.append((self.key, prompt, history, settings))
        text = pool.texts.get(self.key.variant, pool.text)
        return FakeAnswer(text, pool.gate, pool.pace, pool.dies, pool.first_state, pool.call)


class FakePool:
    """Counts users as the real pool does."""

    def __init__(self, text: str = "你好 there", pace: float = 0.0, load_time: float = 0.0) -> None:
        self.text, self.pace, self.load_time = text, pace, load_time
        self.texts: dict[str, str] = {}
        self.gate: threading.Event | None = None
        self.dies: int | None = None
        self.first_state = "running"
        self.call: ToolCall | None = None
        self.refuses: FastGLMError | None = None
        self.asked: list[tuple[HostKey, str, Any, dict[str, Any]]] = []
        self.held: dict[str, set[HostKey]] = {}

    def get(self, key: HostKey, user: str, *, restricted: bool, progress: Any) -> FakeHost:
        assert restricted, "the app opens no path that a visitor makes up"
        if self.refuses is not None:
            raise self.refuses
        self.held.setdefault(user, set()).add(key)
        for step in range(11):
            progress(Progress("load", step, 10, "MB"))
            time.sleep(self.load_time / 11)
        return FakeHost(key, self)

    def users(self) -> dict[HostKey, set[str]]:
        keys = set().union(*self.held.values()) if self.held else set()
        return {key: {user for user, held in self.held.items() if key in held} for key in keys}

    def release_all(self, user: str) -> None:
        self.held.pop(user, None)
