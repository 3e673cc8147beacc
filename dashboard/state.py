"""Conversations: what was said, how it was measured, and the files they are kept in."""

import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from fastglm.home import folder

FORMAT = "fastglm-conversation"
VERSION = 1


class NotAConversation(ValueError):
    """The text is not a conversation that this app saved."""


@dataclass(frozen=True)
class Settings:
    """How answers are sampled; the defaults are those of the published `chat`."""

    top_p: float = 0.7
    temperature: float = 0.95
    max_length: int = 2048  # tokens, the prompt counted
    seed: int | None = None

    def for_stream(self) -> dict[str, Any]:
        """As arguments of `fastglm.stream`; at temperature 0 the likeliest token is always taken."""
        if self.temperature == 0:
            return {"do_sample": False, "max_length": self.max_length}
        return {"do_sample": True, **asdict(self)}


@dataclass(frozen=True)
class Figures:
    """What was measured of one answer. Times in seconds, memory in bytes, rate in tokens a second after the first."""

    tokens: int
    ttft: float
    decode_rate: float | None
    memory: int
    rounds_left_out: int = 0
    stop: str | None = None  # "eos", "length", or None for an answer that was stopped
    acceptance: float | None = None  # share of the drafted tokens that were kept; None where none is drafted


@dataclass
class Round:
    """A question and its answer; `error` says why there is none."""

    query: str
    response: str = ""
    model: str = "demo"
    variant: str = "original"
    figures: Figures | None = None
    error: str | None = None


@dataclass
class Conversation:
    """The rounds of a conversation, and what was last chosen for it."""

    rounds: list[Round] = field(default_factory=list)
    model: str = "demo"
    variant: str = "original"
    settings: Settings = field(default_factory=Settings)

    def history(self) -> list[tuple[str, str]]:
        """The answered rounds, as models take them."""
        return [(r.query, r.response) for r in self.rounds if r.response]

    def dumps(self) -> str:
        """The conversation as JSON, readable by `loads`."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, ensure_ascii=False, indent=1)


def loads(text: str | bytes) -> Conversation:
    """Read what `dumps` wrote; raises NotAConversation for anything else."""
    try:
        data = json.loads(text)
        if data["format"] != FORMAT or data["version"] != VERSION:
            raise NotAConversation(f"format {data['format']!r}, version {data['version']!r}")
        rounds = [_build(Round, {**r, "figures": _build(Figures, r.get("figures"))}) for r in data["rounds"]]
        settings = _build(Settings, data["settings"])
        if not 0 <= settings.temperature <= 5 or not 0 < settings.top_p <= 1 or not 1 <= settings.max_length <= 1 << 20:
            raise NotAConversation("settings out of range")
        read = Conversation(rounds, _text(data["model"]), _text(data["variant"]), settings)
        read.dumps().encode()  # refuses text that no file can hold
        return read
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NotAConversation(str(error)) from error


def _build(kind: type[Any], data: dict[str, Any] | None) -> Any:
    """An instance of a dataclass whose fields have the declared types; None stays None, unknown keys are refused."""
    if data is None:
        return None
    for name, declared in get_type_hints(kind).items():
        if name in data and not isinstance(data[name], int | float if declared is float else declared):
            raise NotAConversation(f"{name} is {data[name]!r}")
    return kind(**data)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise NotAConversation(f"{value!r} is no text")
    return value


class Shelf:
    """The conversations of all tabs, each in a file that is named after the hash of the tab's id.

    The name tells nothing about the id, so that somebody who sees the folder cannot take a conversation over.
    """

    def __init__(self) -> None:
        self._open: dict[str, Conversation] = {}
        self._lock = threading.Lock()

    def path(self, tab: str) -> Path:
        """The file of a tab's conversation."""
        return folder("conversations") / f"{hashlib.sha256(tab.encode()).hexdigest()}.json"

    def get(self, tab: str) -> Conversation:
        """The tab's conversation: the same object for every session of the tab."""
        with self._lock:
            if tab not in self._open:
                self._open[tab] = self._read(tab)
            return self._open[tab]

    def _read(self, tab: str) -> Conversation:
        path = self.path(tab)
        try:
            return loads(path.read_bytes())
        except FileNotFoundError:
            return Conversation()
        except NotAConversation:
            path.replace(path.with_suffix(".damaged"))  # set aside, never overwritten
            return Conversation()

    def put(self, tab: str, conversation: Conversation) -> None:
        """Let another conversation take the tab's place, and write it."""
        with self._lock:
            self._open[tab] = conversation
        self.save(tab)

    def save(self, tab: str) -> None:
        """Write the tab's conversation: a reader sees the old file or the new one, never a part."""
        path = self.path(tab)
        with self._lock:
            part = path.with_suffix(".part")
            part.write_text(self._open[tab].dumps(), encoding="utf-8")
            os.replace(part, path)

    def forget(self, tab: str) -> None:
        """Let go of a conversation in memory; its file stays for when the tab comes back."""
        with self._lock:
            self._open.pop(tab, None)
