"""Hosts of the variants under comparison: one works, the others are stopped, or not loaded if memory is short."""

from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from fastglm.hosting.host import Host

Start = Callable[[str], Host]
Arrangement = Literal["interleaved", "blocks"]


class Lineup:
    """Hosts that take turns. `interleaved` keeps every host loaded and stops (SIGSTOP) all but the working one, so that
    no idle thread spins; `blocks` keeps one host at a time and loads again at every change.
    """

    def __init__(self, start: Start, arrangement: Arrangement = "interleaved") -> None:
        self.arrangement: Arrangement = arrangement
        self._start = start
        self._hosts: dict[str, Host] = {}
        self._at_work: str | None = None

    def turn(self, variant: str) -> tuple[Host, bool]:
        """Give a variant's host the machine. Returns the host, and whether it was just loaded and needs a warm-up.

        Raises the errors of loading (`FastGLMError`).
        """
        stays = self._at_work == variant
        if not stays:
            self._rest(self._at_work)
        self._at_work = None
        fresh = variant not in self._hosts
        if fresh:
            self._hosts[variant] = self._start(variant)
        elif not stays:
            self._hosts[variant].resume()
        self._at_work = variant
        return self._hosts[variant], fresh

    def block(self, most: int) -> int:
        """Answers per turn: one if turns are cheap, `most` if each turn loads the model again."""
        return 1 if self.arrangement == "interleaved" else most

    def one_at_a_time(self, variant: str) -> bool:
        """Make room for `variant` by changing to blocks. Returns False if it had the memory for itself already."""
        crowded = any(other != variant for other in self._hosts)
        if crowded:
            self.arrangement = "blocks"
            self.close()
        return crowded

    def drop(self, variant: str) -> None:
        """End the host of `variant`."""
        if self._at_work == variant:
            self._at_work = None
        if host := self._hosts.pop(variant, None):
            host.close()

    def close(self) -> None:
        """End all hosts."""
        for variant in list(self._hosts):
            self.drop(variant)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rest(self, variant: str | None) -> None:
        if variant is None:
            return
        if self.arrangement == "blocks":
            self.drop(variant)
        else:
            self._hosts[variant].pause()
