"""The interface of a peer's server: another program that serves a model of the same sizes over OpenAI's interface."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchmarks.peers.peer import WithFiles
from benchmarks.peers.sizes import Sizes
from fastglm.progress.progress import OnProgress

if TYPE_CHECKING:
    from benchmarks.serving.client import Endpoint

MOST_TOKENS = (
    4096  # of a client's context: prompts and answers of a benchmark fit, and memory for a longer one is saved
)


class PeerServer(WithFiles):
    """A program that serves a folder's model. Its `/health` says when it has loaded the model."""

    environment: ClassVar[dict[str, str]] = {}  # variables that it needs

    @abstractmethod
    def command(self, folder: Path, port: int, clients: int, tokens: int, threads: int) -> Sequence[str]:
        """The command to serve so many clients at once, each with a context of so many tokens."""

    def model(self, folder: Path) -> str | None:
        """The model's name in requests; None: the only one that the server lists."""
        return None

    @contextmanager
    def serve(
        self, folder: Path, sizes: Sizes, clients: int, threads: int, progress: OnProgress
    ) -> "Iterator[Endpoint]":
        """Serve the files of `write` in the block. Raises `HostError`."""
        from benchmarks.serving.client import Endpoint  # imported late: needs httpx, only to measure a server
        from benchmarks.serving.server import running

        tokens = min(sizes.context, MOST_TOKENS)

        def command(port: int) -> Sequence[str]:
            return self.command(folder, port, clients, tokens, threads)

        with running(self.name, command, progress, self.environment, threads) as url:
            yield Endpoint(f"{url}/v1", self.model(folder), device="cpu")


def as_options(values: Mapping[str, object]) -> list[str]:
    """Long options of a command line."""
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]
