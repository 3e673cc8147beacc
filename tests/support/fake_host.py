"""A host process whose model obeys the prompt; tests start it in place of `fastglm.hosting.worker`."""

import os
import signal
import sys
import time
from collections.abc import Generator
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

from fastglm.errors import CheckpointError, ContextError, MemoryShortError, UsageError
from fastglm.generation.piece import Piece
from fastglm.hosting.in_turn import InTurn
from fastglm.hosting.worker import serve, standard_streams
from fastglm.messages import Message, ToolCall
from fastglm.progress.progress import OnProgress, Progress

_A = [("a", None), ("a,", None), ("a，b", None)]
GROWING = {
    "rewrite": [*_A, ("", None), ("new", None), ("ne", None)],
    "clean": [*_A, ("a，b", None), ("a，b c,", "eos")],
}
SEARCH = ToolCall("search", '{"query": "x"}', '{"query": "x"}')

# Of torch, the worker asks for the number of threads alone; importing the real one takes seconds.
torch: Any = ModuleType("torch")
threads = SimpleNamespace(count=2)
torch.set_num_threads = lambda count: setattr(threads, "count", count)
torch.get_num_threads = lambda: threads.count
torch.cuda = SimpleNamespace(
    memory_allocated=lambda _: 0,
    max_memory_allocated=lambda _: 0,
    max_memory_reserved=lambda _: 0,
    synchronize=lambda _: None,
)
sys.modules["torch"] = torch


def load(
    model: str,
    variant: str,
    device: str,
    dtype: str,
    *,
    cache: str,
    restricted: bool,
    progress: OnProgress,
    adapter: str,
    generation: str,
) -> tuple[Any, Any]:
    print("a stray print must not reach the parent as a reply")
    match model:
        case "usage":
            raise UsageError("Unknown variant; known are a, b.")
        case "missing":
            raise CheckpointError("no folder named missing; check the path")
        case "big":
            raise MemoryShortError("big needs 9 GB and 1 GB are free", needed=9, free=1)
        case "bug":
            raise KeyError("transformer.word_embeddings.weight\nmore")
        case "out":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 5 bytes")
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exits":
            sys.stderr.write("last words\n")
            os._exit(3)
        case "slow":
            for second in range(1000):
                progress(Progress("slow", second, 1000, "s"))
                time.sleep(0.05)
    progress(Progress("weights", 1, 2, "shards"))
    progress(Progress("weights", 2, 2, "shards"))
    info = SimpleNamespace(
        model=model,
        variant=variant,
        engine="fast",
        device="cuda:0" if model == "card" else "cpu",
        dtype=f"{dtype} {'restricted' if restricted else 'free'}",
        parameters=7,
        weights_memory=28,
        load_time=0.5,
        context_length=2048,
        folder="/a/checkpoint",
        cache=cache,
        notes=["a note"],
        adapter=adapter,
    )
    return SimpleNamespace(fastglm=info), "tokenizer"


def refused(*_: Any) -> None:
    """Fail like every call of CUDA after a fault in a kernel."""
    raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore lines")


class Crowd:
    """The answers that run."""

    count = 0


def stream(*arguments: Any, **settings: Any) -> Generator[Piece]:
    """One answer, counted while it runs."""
    if arguments[2] == "large" and Crowd.count:
        raise MemoryShortError("no memory for another answer")
    Crowd.count += 1
    try:
        yield from answer(*arguments, **settings)
    finally:
        Crowd.count -= 1


def answer(
    model: Any,
    tokenizer: Any,
    prompt: str,
    history: list[Message] | None = None,
    pause: float = 0.0,
    count: int = 5,
    **settings: Any,
) -> Generator[Piece]:
    start = time.perf_counter()

    def piece(text: str, tokens: int, **more: Any) -> Piece:
        return Piece(text, 7, tokens, len(prompt), time.perf_counter() - start, 0.001, **more)

    match prompt:
        case "context":
            raise ContextError("too long; shorten it")
        case "bug":
            raise ZeroDivisionError("a bug")
        case "fault":
            torch.cuda.synchronize = refused
            refused()
        case "memory":
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        case "crash":
            yield piece("half", 1)
            os.kill(os.getpid(), signal.SIGKILL)
        case "prefill":  # long before the first token arrives
            end = time.perf_counter() + 60
            while time.perf_counter() < end:
                sum(range(1000))
        case "rewrite" | "clean":
            yield from (piece(text, n, stop=stop) for n, (text, stop) in enumerate(GROWING[prompt], 1))
            return
        case "slow" | "long":
            pause, count = 0.02, 100_000 if prompt == "slow" else 50
        case "controls":
            yield piece("\x1b[2Jone\r\ntwo\x07!", 1, stop="eos")
            return
        case "full":
            yield piece("and so on", 1, stop="length", context_full=True)
            return
        case "call":
            yield piece('search\n{"query": "x"}', 1, stop="eos", call=SEARCH)
            return
        case "wrong call":
            yield piece("search\nx", 1, stop="eos", call=ToolCall("search", "x", fault="not as JSON: '\x1b[2J'"))
            return
        case "settings":
            yield piece(repr(sorted(settings.items())), 1, stop="eos")
            return
        case "history":
            yield piece(repr(history), 1, rounds_left_out=3, cache_memory=99, stop="eos")
            return
    text = ""
    for tokens in range(1, count + 1):
        time.sleep(pause)
        text += f"{prompt}{tokens} "
        yield piece(text, tokens, stop="length" if tokens == count else None)


if __name__ == "__main__":
    serve(*standard_streams(), load, partial(InTurn, stream))
