"""Shared hosts: loaded once, counted by their users, freed by the last."""

import contextlib
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

from fastglm.errors import FastGLMError, HostError
from fastglm.hosting.host import Host
from fastglm.hosting.protocol import HostKey
from fastglm.progress.progress import OnProgress, Progress


@dataclass
class _Seat:
    """A host in a pool, and its users."""

    host: Host
    users: set[str] = field(default_factory=set)
    progress: Progress | None = None  # latest progress of its loading
    loaded: Future[Host] = field(default_factory=Future)

    def load(self, restricted: bool) -> None:
        def on_progress(progress: Progress) -> None:
            self.progress = progress

        try:
            self.host.load(restricted, on_progress)
        except FastGLMError as error:
            self.loaded.set_exception(error)
        except BaseException as error:  # any error: no user waits for ever
            failed = f"Loading {self.host.key} failed unexpectedly ({type(error).__name__}: {error})."
            self.loaded.set_exception(HostError(failed))
        else:
            self.loaded.set_result(self.host)

    def wait(self, progress: OnProgress | None) -> Host:
        """The host, once it is loaded. Raises the error of loading."""
        seen = None
        while True:
            with contextlib.suppress(TimeoutError):
                return self.loaded.result(timeout=0.1)
            latest = self.progress
            if progress and latest and latest is not seen:
                progress(latest)
            seen = latest


class Pool:
    """Hosts shared by their users, who are known by name; the last user of a host frees it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seats: dict[HostKey, _Seat] = {}

    def get(
        self,
        key: HostKey,
        user: str,
        *,
        restricted: bool = False,
        progress: OnProgress | None = None,
    ) -> Host:
        """The host of a variant: the first user has it loaded, the others wait for it; a dead host is replaced.

        `progress` is called in this thread, a few times a second; an exception from it does not stop the loading, and
        the next `get` finds it further on. Raises the errors of `Host.start`, and CancelledError if all users were
        released meanwhile.
        """
        dead = None
        with self._lock:
            seat = self._seats.get(key)
            if seat is None or not seat.host.alive:
                dead, seat = seat, _Seat(Host(key), seat.users if seat else set())
                self._seats[key] = seat
                threading.Thread(target=seat.load, args=(restricted,), name=f"loading {key}", daemon=True).start()
            seat.users.add(user)
        if dead:
            dead.host.close()
        try:
            return seat.wait(progress)
        except FastGLMError:
            with self._lock:
                if self._seats.get(key) is seat:
                    del self._seats[key]
            raise

    def release(self, key: HostKey, user: str) -> None:
        """Release a host from a user; does nothing if the user never had it."""
        with self._lock:
            seat = self._seats.get(key)
            if seat is None:
                return
            seat.users.discard(user)
            if seat.users:
                return
            del self._seats[key]
        seat.host.close()

    def release_all(self, user: str) -> None:
        """Release all hosts from a user."""
        for key in self.users():
            self.release(key, user)

    def users(self) -> dict[HostKey, set[str]]:
        """The users of each host."""
        with self._lock:
            return {key: set(seat.users) for key, seat in self._seats.items()}

    def close(self) -> None:
        """End all hosts, whoever uses them."""
        with self._lock:
            seats = list(self._seats.values())
            self._seats.clear()
        for seat in seats:
            seat.host.close()
