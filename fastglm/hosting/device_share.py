"""The share of a host in its device: one lease, held while any of its answers runs."""

import threading
from collections import deque
from collections.abc import Callable

from fastglm.errors import CancelledError, FastGLMError, HostError
from fastglm.hosting.answer import Answer
from fastglm.hosting.lease import lease, next_alone

_LOOK = 0.1  # seconds between two looks for a process that waits to have the device alone


class DeviceShare:
    """Starts the answers of a host as soon as its device may be used.

    Answers share one lease. While another process waits to have the device alone, no further answer joins, because it
    would wait for ever: later answers begin with the next lease, which comes after it.
    """

    def __init__(self, device: str, who: str, begin: Callable[[Answer], None]) -> None:
        """Create the share; `who` is the name that others see; `begin` passes an answer to the process."""
        self._device, self._who, self._begin = device, who, begin
        self._news = threading.Condition()  # guards the following attributes
        self._waiting: deque[Answer] = deque()
        self._inside: set[Answer] = set()
        self._closed = False
        threading.Thread(target=self._work, name=f"lease for {who}", daemon=True).start()

    def enter(self, answer: Answer) -> None:
        """Let an answer begin as soon as it may."""
        with self._news:
            self._waiting.append(answer)
            self._news.notify_all()

    def leave(self, answer: Answer) -> bool:
        """Remove a finished or abandoned answer; returns whether it was still waiting."""
        with self._news:
            self._inside.discard(answer)
            waited = answer in self._waiting
            if waited:
                self._waiting.remove(answer)
            self._news.notify_all()
        return waited

    def close(self) -> None:
        """Give the device back, and let no further answer begin."""
        with self._news:
            self._closed = True
            self._inside.clear()
            self._news.notify_all()

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
            try:
                with lease(self._device, self._who, on_wait=self._wait):
                    self._admit()
                    while self._stays():
                        if self._waiting and (alone := next_alone(self._device)):
                            self._tell(alone)
                        else:
                            self._admit()
            except CancelledError:  # no answer waits any more
                continue
            except Exception as error:
                self._fail(error)

    def _wait(self, holder: str) -> None:
        """Tell the waiting answers who uses the device, in a wait of `lease`; raises CancelledError once none waits."""
        if self._closed or not self._tell(holder):
            raise CancelledError("Stopped.")

    def _tell(self, holder: str) -> bool:
        """Tell the waiting answers who uses the device; returns whether there are any."""
        with self._news:
            waiting = list(self._waiting)
        for answer in waiting:
            answer.wait_for(holder)
        return bool(waiting)

    def _admit(self) -> None:
        with self._news:
            answers = list(self._waiting)
            self._waiting.clear()
            self._inside.update(answers)
        for answer in answers:
            self._begin(answer)

    def _stays(self) -> bool:
        """Wait for news; returns whether the lease is still needed."""
        with self._news:
            if self._inside:
                self._news.wait(_LOOK if self._waiting else None)
            return bool(self._inside) and not self._closed

    def _fail(self, error: Exception) -> None:
        """End the answers that wait for a device that cannot be leased."""
        if not isinstance(error, FastGLMError):
            error = HostError(f"Leasing {self._device} failed unexpectedly ({type(error).__name__}: {error}).")
        with self._news:
            failed = list(self._waiting)
            self._waiting.clear()
        for answer in failed:
            answer.finish(error)
