"""Requests to a host process and its replies. Each carries the id of its request, except `SlotsReply`; several may be
open at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from fastglm.errors import FastGLMError
from fastglm.generation.model_info import LoadedInfo
from fastglm.generation.piece import Piece
from fastglm.messages import Message, RawText
from fastglm.progress.progress import Progress
from fastglm.system.memory import Memory

_after_text = attrgetter(*(field.name for field in fields(Piece)[1:]))


@dataclass(frozen=True, slots=True)
class HostKey:
    """Identity of a variant for a host, in the arguments of `fastglm.load`."""

    model: str = "demo"
    variant: str = "original"
    device: str = "auto"
    dtype: str = "auto"
    cache: str = "auto"
    adapter: str | None = None
    generation: str = "auto"

    def __str__(self) -> str:
        return f"{self.model} as {self.variant}" + (f" with {self.adapter}" if self.adapter else "")


@dataclass(frozen=True, slots=True)
class HostInfo(LoadedInfo):
    """Facts of the variant that a host process has loaded, and of the process."""

    pid: int = 0
    threads: int = 1  # threads of PyTorch's operators in answers


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """Load a variant: the first request of a process."""

    id: int
    key: HostKey
    restricted: bool
    threads: int | None


@dataclass(frozen=True, slots=True)
class AskRequest:
    """Answer a prompt; `settings` are those of `fastglm.stream`."""

    id: int
    prompt: str | Message | RawText | list[int]
    history: list[Message]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """Call `function(model, tokenizer, *arguments, progress=…)` while no answer runs."""

    id: int
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class MemoryRequest:
    """Measure the memory of the process."""

    id: int


@dataclass(frozen=True, slots=True)
class ResetPeakRequest:
    """Start the peak of the memory anew."""

    id: int


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Stop answering the request with this id."""

    id: int


# Requests answered by one ResultReply or FailureReply.
Call = LoadRequest | ApplyRequest | MemoryRequest | ResetPeakRequest
Request = Call | AskRequest | CancelRequest


@dataclass(frozen=True, slots=True)
class QueuedReply:
    """Memory is too short for this answer beside the running ones: it waits until one ends."""

    id: int


@dataclass(frozen=True, slots=True)
class PieceReply:
    """A piece of an answer, sent without the first `keep` characters of its text, which the client has already."""

    id: int
    keep: int
    piece: Piece

    def grown(self, text: str) -> Piece:
        """The whole piece, for a client that had `text` before."""
        return Piece(text[: self.keep] + self.piece.text, *_after_text(self.piece))

    def __reduce__(self) -> tuple[Any, ...]:  # takes a fifth of the time of pickling both classes by their fields
        return _piece_reply, (self.id, self.keep, self.piece.text[self.keep :], *_after_text(self.piece))


def common_length(old: str, new: str) -> int:
    """The number of equal characters at the start of two texts."""
    if new.startswith(old):
        return len(old)
    return next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(new))


def _piece_reply(id: int, keep: int, *values: Any) -> PieceReply:
    return PieceReply(id, keep, Piece(*values))


@dataclass(frozen=True, slots=True)
class EndReply:
    """An answer is finished; `failure` is the error of an incomplete one. `memory` is the process's."""

    id: int
    failure: FastGLMError | None
    memory: Memory


@dataclass(frozen=True, slots=True)
class SlotsReply:
    """The number of answers that hold keys and values has changed."""

    count: int


@dataclass(frozen=True, slots=True)
class ProgressReply:
    """Progress of a call."""

    id: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class ResultReply:
    """The result of a call."""

    id: int
    result: Any


@dataclass(frozen=True, slots=True)
class FailureReply:
    """A call failed."""

    id: int
    failure: FastGLMError


CallReply = ProgressReply | ResultReply | FailureReply
Reply = QueuedReply | PieceReply | EndReply | SlotsReply | CallReply
