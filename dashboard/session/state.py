"""Conversations: texts, measured figures, and the files that keep them."""

import hashlib
import io
import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, FailFast, Field, TypeAdapter, ValidationError

from benchmarks.exchange import bounded
from fastglm.errors import FastGLMError
from fastglm.messages import Message, ToolCall
from fastglm.system.files import read_regular, replacing
from fastglm.system.home import folder

FORMAT = "fastglm-conversation"
VERSION = 1
MOST_PARTS = 500_000  # parts of a visitor's file: numbers, texts, lists …
OWN_PARTS, OWN_BYTES = 10 * MOST_PARTS, 1 << 28  # parts of a file that this app wrote
MESSAGE = 200_000  # characters in a visitor's message: more fit into no context

T = TypeVar("T")
_STRICT = ConfigDict(extra="forbid")
Count = Annotated[int, Field(strict=True, ge=0, lt=2**53)]
Number = Annotated[float, Field(strict=True, ge=0, le=1e15, allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=1000)]


class NotAConversation(ValueError):
    """The text is not a conversation that this app saved."""


@dataclass(frozen=True)
class Settings:
    """Settings of sampling; the defaults are those of the published `chat`, the ranges those of the page."""

    __pydantic_config__ = _STRICT
    top_p: Annotated[float, Field(strict=True, ge=0.05, le=1)] = 0.7
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] = 0.95
    max_length: Annotated[int, Field(strict=True, ge=16, le=1 << 20)] = 8192  # tokens, prompt included, in the context
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] | None = None

    def for_stream(self) -> dict[str, Any]:
        """Arguments for `fastglm.stream`; temperature 0 means greedy decoding."""
        if self.temperature == 0:
            return {"do_sample": False, "max_length": self.max_length}
        return {"do_sample": True, **asdict(self)}


@dataclass(frozen=True)
class Figures:
    """Figures of one answer. Times in seconds, memory in bytes, rate in tokens per second after the first."""

    __pydantic_config__ = _STRICT
    tokens: Count
    ttft: Number
    decode_rate: Number | None
    memory: Count
    rounds_left_out: Count = 0
    stop: Name | None = None  # "eos", "length", or None for a stopped answer
    acceptance: Number | None = None  # accepted share of the drafted tokens; None without drafting
    context_full: bool = False  # prompt and answer have filled the model's context


@dataclass
class Round:
    """A question and its answer; `error` gives the reason for a missing answer."""

    __pydantic_config__ = _STRICT
    query: str
    response: str = ""
    model: Name = "demo"
    variant: Name = "original"
    figures: Figures | None = None
    error: str | None = None
    call: ToolCall | None = None  # if the response is one

    def messages(self) -> list[Message]:
        """The question and its answer for the model."""
        call = self.call
        said = Message("assistant", call.content, call.name) if call else Message("assistant", self.response)
        return [Message("user", self.query), said]


@dataclass
class Conversation:
    """The rounds of a conversation, and the latest choices for it."""

    __pydantic_config__ = _STRICT
    rounds: Annotated[list[Round], FailFast()] = field(default_factory=list)
    model: Name = "demo"
    variant: Name = "original"
    settings: Settings = field(default_factory=Settings)
    system: Annotated[str, Field(max_length=MESSAGE)] = ""  # told to the model before the conversation

    def history(self) -> list[Message]:
        """The system message, if there is one, and the messages of the answered rounds."""
        before = [Message("system", self.system)] if self.system else []
        return [*before, *(message for round in self.rounds if round.response for message in round.messages())]

    def dumps(self) -> str:
        """The conversation as JSON, readable by `loads`."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, ensure_ascii=False, indent=1)


_CONVERSATION = TypeAdapter(Conversation)


def loads(text: str | bytes, most: int = MOST_PARTS) -> Conversation:
    """Read the output of `dumps`. Raises NotAConversation for anything else, and for more than `most` parts."""
    try:
        data = bounded.read(io.BytesIO(text.encode() if isinstance(text, str) else text), most)
        if not isinstance(data, dict) or data.pop("format", None) != FORMAT or data.pop("version", None) != VERSION:
            raise NotAConversation(f"it is not of the format {FORMAT}, version {VERSION}")
        if missing := {"rounds", "model", "variant", "settings"} - data.keys():
            raise NotAConversation(f"it has no {', '.join(sorted(missing))}")
        return _CONVERSATION.validate_python(data)
    except (bounded.JSONError, ValidationError, UnicodeError) as error:
        raise NotAConversation(" ".join(str(error).split())[:500]) from error


class Shelf:
    """The conversations of all tabs, each in a file named after the hash of the tab's id.

    The name does not reveal the id, so a person who sees the folder cannot take a conversation over.
    """

    def __init__(self) -> None:
        self._open: dict[str, Conversation] = {}
        self._unsaved: dict[str, str] = {}
        self._lock = threading.Lock()

    def path(self, tab: str) -> Path:
        """The file of a tab's conversation. Raises FastGLMError if the home cannot be used."""
        return folder("conversations") / f"{hashlib.sha256(tab.encode()).hexdigest()}.json"

    def get(self, tab: str) -> Conversation:
        """The tab's conversation: the same object for every session of the tab."""
        with self._lock:
            if tab not in self._open:
                self._open[tab] = self._note(tab, self._read) or Conversation()
            return self._open[tab]

    def unsaved(self, tab: str) -> str | None:
        """The reason why the tab's conversation on the disk is not the present one; None if it is."""
        return self._unsaved.get(tab)

    def put(self, tab: str, conversation: Conversation) -> None:
        """Replace the tab's conversation, and write the new one."""
        with self._lock:
            self._open[tab] = conversation
        self.save(tab)

    def save(self, tab: str) -> None:
        """Write the tab's conversation: a reader sees the old file or the new one, never a part.

        A conversation that cannot be written stays in memory, and `unsaved` gives the reason.
        """
        with self._lock:
            self._note(tab, self._write)

    def forget(self, tab: str) -> None:
        """Remove a conversation from memory; its file stays until the tab comes back."""
        with self._lock:
            self._open.pop(tab, None)
            self._unsaved.pop(tab, None)

    def _note(self, tab: str, work: Callable[[str], T]) -> T | None:
        """Work on the tab's file, and note the reason for a failure."""
        try:
            done = work(tab)
        except OSError as error:
            self._unsaved[tab] = error.strerror or str(error)
        except FastGLMError as error:
            self._unsaved[tab] = str(error)
        else:
            self._unsaved.pop(tab, None)
            return done
        return None

    def _read(self, tab: str) -> Conversation | None:
        path = self.path(tab)
        try:
            return loads(read_regular(path, OWN_BYTES), OWN_PARTS)
        except FileNotFoundError:
            return None
        except (OSError, NotAConversation):
            path.replace(path.with_suffix(".damaged"))  # put aside, never overwritten
            return None

    def _write(self, tab: str) -> None:
        if tab not in self._open:  # its tab left meanwhile
            return
        path = self.path(tab)
        with replacing(path) as partial:
            partial.write_text(self._open[tab].dumps(), encoding="utf-8")
