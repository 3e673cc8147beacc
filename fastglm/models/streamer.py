"""The stream of an answer, as `stream_chat` calls it.

Streaming lies above models, so that they cannot import it: `fastglm` hands it down.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol


class Said(Protocol):
    """A step of a stream: the answer so far."""

    @property
    def text(self) -> str: ...


Stream = Callable[..., Iterator[Said]]  # as `fastglm.stream`

_handed: list[Stream] = []


def hand_down(stream: Stream) -> None:
    """Sets the function that streams."""
    _handed[:] = [stream]


def stream(*arguments: Any, **settings: Any) -> Iterator[Said]:
    """Streams an answer, with the arguments of `fastglm.stream`."""
    return _handed[0](*arguments, **settings)
