"""The interface of a peer: another program that runs a model of the same sizes and is measured like a variant."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from benchmarks.peers.sizes import Sizes
from fastglm.hosting.host import Host
from fastglm.hosting.spawn import launched
from fastglm.progress.progress import OnProgress


class Peer(Protocol):
    """Another program's way to run a model, with one weight format."""

    @property
    def name(self) -> str:
        """The name it is measured under."""

    def missing(self) -> str | None:
        """The reason why it cannot run here, in one line; None if it can."""

    def start(self, model: str, folder: Path, threads: int, progress: OnProgress) -> Host:
        """Start a host that answers with it. Raises `FastGLMError`."""


class Engine(Protocol):
    """A model that a peer has loaded. `notes`: versions, and the instruction sets it was built for."""

    notes: list[str]

    def generate(self, prompt: list[int], tokens: int) -> Iterator[int]:
        """Yield `tokens` greedy token ids after a prompt, each as soon as it is known."""


class WithFiles(ABC):
    """A peer with model files of its own."""

    name: str
    bits: float  # bits of a weight in its file

    @abstractmethod
    def missing(self) -> str | None:
        """See `Peer`."""

    @abstractmethod
    def write(self, sizes: Sizes, folder: Path) -> None:
        """Write a model of random weights into an empty folder."""


class OwnProcess(WithFiles):
    """A peer with an engine of its own; `benchmarks.peers.process` is its host."""

    def start(self, model: str, folder: Path, threads: int, progress: OnProgress) -> Host:
        """See `Peer`."""
        command = (sys.executable, "-m", "benchmarks.peers.process", self.name, str(folder), str(threads))
        launch = partial(launched, command=command)
        return Host.start(model, self.name, "cpu", progress=progress, threads=threads, launch=launch)

    @abstractmethod
    def load(self, folder: Path, sizes: Sizes, threads: int) -> Engine:
        """Load the files of `write`; called in the host."""


def lacking(*modules: str) -> str | None:
    """Names of its modules that are not installed."""
    absent = [module for module in modules if find_spec(module) is None]
    return f"{' and '.join(absent)} not installed: pip install 'fastglm[peers]'" if absent else None


def versions(*packages: str) -> list[str]:
    """Name and version of each module."""
    return [f"{package} {version(package)}" for package in packages]
