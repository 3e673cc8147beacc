"""The host of a peer, `python -m benchmarks.peers.process NAME FOLDER THREADS`; it speaks the protocol of
`fastglm.hosting.worker`.
"""

import faulthandler
import sys
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.execution.request import read_light
from benchmarks.peers.peer import Engine, OwnProcess
from benchmarks.peers.registry import all_peers
from benchmarks.peers.sizes import Sizes
from fastglm.errors import MemoryShortError
from fastglm.generation.model_info import LoadedInfo
from fastglm.generation.piece import Piece
from fastglm.hosting.in_turn import InTurn
from fastglm.hosting.worker import serve, standard_streams
from fastglm.system.devices import free_memory
from fastglm.system.files import in_words

_HEADROOM = 1.1  # bytes beside the weights


class Loaded:
    """An engine with the facts that `fastglm.load` gives about a model."""

    def __init__(self, engine: Engine, info: LoadedInfo) -> None:
        self.engine, self.fastglm = engine, info


def load(peer: OwnProcess, folder: Path, threads: int, model: str, *_: Any, **__: Any) -> tuple[Loaded, None]:
    """Load a peer in place of `fastglm.load`. Raises `MemoryShortError` before memory runs out."""
    import torch

    began = time.perf_counter()
    sizes = Sizes.of(read_light(model)[1])
    size = sum(file.stat().st_size for file in folder.iterdir())
    needed, free = round(size * _HEADROOM), free_memory(torch.device("cpu"))
    if needed > free:
        raise MemoryShortError(f"{peer.name} needs {in_words(needed)}, {in_words(free)} are free", needed, free)
    engine = peer.load(folder, sizes, threads)
    info = LoadedInfo(
        model=model,
        variant=peer.name,
        engine="peer",
        device="cpu",
        dtype="float32",
        parameters=sizes.weights,
        weights_memory=size,
        load_time=time.perf_counter() - began,
        context_length=sizes.context,
        folder=str(folder),
        notes=list(engine.notes),
    )
    return Loaded(engine, info), None


def stream(
    model: Loaded, _tokenizer: None, prompt: list[int], _history: object, max_new_tokens: int, **_: Any
) -> Generator[Piece]:
    """Stream in place of `fastglm.stream`: the same pieces without text."""
    asked = time.perf_counter()
    ttft = 0.0
    for count, token in enumerate(model.engine.generate(prompt, max_new_tokens), 1):
        now = time.perf_counter() - asked
        ttft = ttft or now
        stop = "length" if count == max_new_tokens else None
        yield Piece("", token, count, len(prompt), now, ttft, stop=stop)  # type: ignore[arg-type]


def run(peer: OwnProcess, folder: Path, threads: int) -> None:
    """Answer until the parent ends."""
    requests, replies = standard_streams()
    faulthandler.enable()
    serve(requests, replies, partial(load, peer, folder, threads), partial(InTurn, stream))


if __name__ == "__main__":
    named = all_peers()[sys.argv[1]]
    assert isinstance(named, OwnProcess)
    run(named, Path(sys.argv[2]), int(sys.argv[3]))
