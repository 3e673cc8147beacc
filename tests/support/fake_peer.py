"""A fake peer: its engine counts up, its model is a file of one line.

`python fake_peer.py FOLDER THREADS` is its host's process.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.peers.peer import OwnProcess
from benchmarks.peers.process import run
from benchmarks.peers.sizes import Sizes
from fastglm.hosting.host import Host
from fastglm.hosting.spawn import launched
from fastglm.progress.progress import OnProgress


class Counter:
    """An engine that breaks at a prompt beginning with 0."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def generate(self, prompt: list[int], tokens: int) -> Iterator[int]:
        assert prompt[0], "a prompt that it cannot take"
        yield from range(prompt[-1], prompt[-1] + tokens)


class FakePeer(OwnProcess):
    """The peer `counter`."""

    name, bits = "counter", 1.0

    def missing(self) -> str | None:
        return None

    def write(self, sizes: Sizes, folder: Path) -> None:
        (folder / "model").write_text(str(sizes.weights))

    def start(self, model: str, folder: Path, threads: int, progress: OnProgress) -> Host:
        command = (sys.executable, __file__, str(folder), str(threads))
        launch = partial(launched, command=command)
        return Host.start(model, self.name, "cpu", progress=progress, threads=threads, launch=launch)

    def load(self, folder: Path, sizes: Sizes, threads: int) -> Counter:
        return Counter([f"{(folder / 'model').read_text()} weights, {threads} threads"])


if __name__ == "__main__":
    run(FakePeer(), Path(sys.argv[1]), int(sys.argv[2]))
