"""This project's variants and peers in one run: the peers' models are written, measured in turn with the variants, and
removed.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from benchmarks.execution.request import RunRequest, read_light
from benchmarks.peers.peer import Peer, WithFiles
from benchmarks.peers.server import PeerServer
from benchmarks.peers.sizes import Sizes
from benchmarks.run.device import disturbance
from benchmarks.run.isolated import elsewhere
from benchmarks.run.progress import Reporter
from benchmarks.run.record import Result
from fastglm.errors import DiskShortError, FastGLMError, UsageError
from fastglm.hosting.host import Host
from fastglm.progress.progress import OnProgress
from fastglm.system.files import in_words

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from benchmarks.serving.client import Endpoint
    from benchmarks.store.store import Store

AnyPeer = Peer | PeerServer
P = TypeVar("P", Peer, PeerServer)
SLOTS = 8  # of a peer's server for open loops


@dataclass(frozen=True, slots=True)
class Comparison(RunRequest):
    """A request whose last variants are peers; `folders` hold their models, `skipped` gives the reasons for missing
    peers.
    """

    together: ClassVar[bool] = True

    peers: Mapping[str, AnyPeer] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    def start(self, variant: str, progress: OnProgress) -> Host:
        """Start a host of a variant or a peer."""
        if variant not in self.peers:
            return RunRequest.start(self, variant, progress)
        peer = self.peers[variant]
        assert self.threads
        assert not isinstance(peer, PeerServer)
        return peer.start(self.model, self.folders[variant], self.threads, progress)

    def serve(self, variant: str, progress: OnProgress) -> "AbstractContextManager[Endpoint]":
        """Serve a variant, or a peer for as many clients at once as are measured."""
        if variant not in self.peers:
            return RunRequest.serve(self, variant, progress)
        peer = self.peers[variant]
        assert self.threads
        assert isinstance(peer, PeerServer)
        sizes = Sizes.of(read_light(self.model)[1])
        clients = max(self.workload.load.clients, default=SLOTS)
        return peer.serve(self.folders[variant], sizes, clients, self.threads, progress)

    def settings(self) -> dict[str, object]:
        """Settings of the request, with the peers and the missing peers."""
        return {**RunRequest.settings(self), "peers": list(self.peers), "skipped": dict(self.skipped)}


def compare(order: RunRequest, peers: Mapping[str, AnyPeer], store: "Store | None", reporter: Reporter) -> Result:
    """Measure a request with these peers in turn. Raises `FastGLMError` if nothing can be measured."""
    disturbance(order.device)  # refused here, before the peers' models are written
    sizes = Sizes.of(read_light(order.model)[1])
    order.workload.check(sizes.context)
    with tempfile.TemporaryDirectory(prefix="fastglm-peers-") as name:
        folders, skipped = _write(peers, sizes, Path(name), reporter)
        for peer, reason in skipped.items():
            reporter.warning(f"{peer} is skipped: {reason}")
        comparison = Comparison(
            order.model,
            [*order.variants, *folders],
            order.suites,
            order.workload,
            order.device,
            threads=order.threads,
            peers={peer: peers[peer] for peer in folders},
            folders=folders,
            skipped=skipped,
        )
        return comparison.carry_out(store, reporter)


def _write(
    peers: Mapping[str, AnyPeer], sizes: Sizes, place: Path, reporter: Reporter
) -> tuple[dict[str, Path], dict[str, str]]:
    """The folders of the peers' models, and the reasons for missing models."""
    skipped = {name: reason for name, peer in peers.items() if (reason := peer.missing())}
    there = {name: peer for name, peer in peers.items() if name not in skipped}
    bits = sum(peer.bits for peer in there.values() if isinstance(peer, WithFiles))
    needed = bits / 8 * (sizes.weights + sizes.embedding)
    if needed > (free := shutil.disk_usage(place).free):
        raise DiskShortError(
            f"the peers' models take {in_words(needed)} and {place} has {in_words(free)} free: "
            "set TMPDIR to a disk with more, or name fewer --peers"
        )
    reporter.plan(1)
    folders = {}
    for name, peer in there.items():
        folder = folders[name] = place / name
        folder.mkdir()
        if not isinstance(peer, WithFiles):
            continue
        reporter.at(f"{name}: writing its model")
        try:
            elsewhere(write, lambda _: None, peer, sizes, folder)
        except FastGLMError as error:
            skipped[name] = f"its model could not be written: {error}"
            shutil.rmtree(folders.pop(name))
    return folders, skipped


def write(_progress: OnProgress, peer: WithFiles, sizes: Sizes, folder: Path) -> None:
    """Let a peer write its model. Its libraries' output is hidden from the user; their exceptions become one line."""
    try:
        with open(os.devnull, "w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
            peer.write(sizes, folder)
    except FastGLMError:
        raise
    except Exception as error:  # exceptions of other projects' libraries
        first_line = str(error).strip().partition("\n")[0]
        raise FastGLMError(f"{type(error).__name__}: {first_line}") from error


def select(text: str, peers: Mapping[str, P]) -> dict[str, P]:
    """Select peers by name, or all peers of a kind by the beginning (`openvino`). Raises `UsageError`."""
    found: dict[str, P] = {}
    for wanted in (part.strip() for part in text.split(",")):
        named = {name: peer for name, peer in peers.items() if name == wanted or name.startswith(f"{wanted}-")}
        if not named:
            raise UsageError(f"there is no peer {wanted!r}: choose from {', '.join(peers)}")
        found |= named
    return found
