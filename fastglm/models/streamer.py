"""The function that streams an answer for `stream_chat`.

Streaming lies above models, which therefore cannot import it: `fastglm` hands the function down.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol


class Said(Protocol):
    """A step of a stream: the answer so far, its newest token, and the reason for its end on the last step."""

    @property
    def text(self) -> str: ...

    @property
    def token(self) -> int: ...

    @property
    def stop(self) -> str | None: ...


Stream = Callable[..., Iterator[Said]]  # like `fastglm.stream`

_handed: list[Stream] = []


def hand_down(stream: Stream) -> None:
    """Set the streaming function."""
    _handed[:] = [stream]


def stream(*arguments: Any, **settings: Any) -> Iterator[Said]:
    """Stream an answer, with the arguments of `fastglm.stream`."""
    return _handed[0](*arguments, **settings)
