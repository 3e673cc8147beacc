"""The model behind a server: one host process, started anew after its end, and the lease on its device."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fastglm.errors import CancelledError
from fastglm.hosting.answer import Answer
from fastglm.hosting.host import Host
from fastglm.hosting.lease import serving_lease
from fastglm.hosting.protocol import HostKey
from fastglm.messages import Message
from fastglm.progress.progress import Progress
from fastglm.serve.errors import as_api_error
from fastglm.serve.facts import ModelFacts, read_facts
from fastglm.system.memory import Memory


class Answerer(Protocol):
    """The part of a host that a server needs."""

    @property
    def alive(self) -> bool: ...

    @property
    def slots(self) -> int: ...

    def ask(self, prompt: Any, history: Sequence[Message], *, lease: bool, **settings: Any) -> Answer: ...

    def memory(self) -> Memory | None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A host that has loaded its model."""

    host: Answerer
    facts: ModelFacts


class ServedModel:
    """Loads the variant of a server in threads of their own.

    The lease on the device, shared with other users, is held from the first loading until `close`; answers take none
    of their own, so that nobody who waits to have the device alone can hold up a running server.
    """

    def __init__(self, key: HostKey, who: str) -> None:
        """`who` is the name that other users of the device see."""
        self.key, self._who = key, who
        self.name = key.model.rstrip("/").rpartition("/")[2] or key.model
        self.state = "starting"  # one line for those who wait
        self.loaded: Loaded | None = None
        self._loading: asyncio.Task[Loaded] | None = None
        self._host: Answerer | None = None  # the latest one
        self._lease = contextlib.ExitStack()
        self._is_leased = self._is_closed = False

    @property
    def is_ready(self) -> bool:
        return self.loaded is not None and self.loaded.host.alive

    @property
    def facts(self) -> ModelFacts:
        """The facts of the model, once an answer has begun."""
        assert self.loaded
        return self.loaded.facts

    async def get(self) -> Loaded:
        """The loaded model; waits for its loading, and starts that if needed. Raises the errors of loading."""
        if self.loaded and self.loaded.host.alive:
            return self.loaded
        return await asyncio.shield(self.begin())

    def begin(self) -> asyncio.Task[Loaded]:
        """Begin to load the model, unless that is under way."""
        if self._loading is None or self._loading.done():
            self.state = "loading"
            self._loading = asyncio.create_task(asyncio.to_thread(self._load))
            self._loading.add_done_callback(self._note)
        return self._loading

    def _note(self, loading: "asyncio.Task[Loaded]") -> None:
        """Note the error of a loading, also where no request waits for it."""
        if not loading.cancelled() and isinstance(error := loading.exception(), Exception):
            self.state = as_api_error(error).detail

    def close(self) -> None:
        """End the host, or its loading, and give the device back."""
        self._is_closed = True
        if self._host:
            self._host.close()
        self._lease.close()

    def _load(self) -> Loaded:
        if self._host:
            self._host.close()  # it has ended, and a new one takes its place
        host = self._host = Host(self.key)
        self._check_open()
        try:
            host.load(progress=self._on_progress)
            if not self._is_leased:
                self._lease.enter_context(serving_lease(host.info.device, self._who, self._on_wait))
                self._is_leased = True
            self._check_open()
            found = Loaded(host, host.apply(read_facts))
        except BaseException:
            host.close()
            if self._is_closed:  # perhaps before the lease was there
                self._lease.close()
            raise
        self.state, self.loaded = "ready", found
        return found

    def _on_progress(self, progress: Progress) -> None:
        self.state = f"loading ({progress.stage} {progress.done} of {progress.total})" if progress.total else "loading"

    def _on_wait(self, holder: str) -> None:
        self._check_open()
        self.state = f"waiting for the device, which is in use: {holder}"

    def _check_open(self) -> None:
        """Raise CancelledError once the server ends."""
        if self._is_closed:
            if self._host:
                self._host.close()
            raise CancelledError("The server is stopping.")

    @property
    def slots(self) -> int:
        """The number of answers that hold keys and values in the host's process."""
        return self.loaded.host.slots if self.loaded else 0

    def memory(self) -> Memory | None:
        """The memory of the host's process now; None if there is none."""
        return self.loaded.host.memory() if self.loaded and self.loaded.host.alive else None
