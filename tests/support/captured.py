"""The way of CUDA on a CPU: steps that are captured and replayed, and launched before earlier tokens are read."""

from typing import Any

import pytest
import torch

from fastglm.engine import kv_cache, runner, scheduler
from fastglm.engine.cuda_graph import Captured
from fastglm.engine.scheduler import TokenReader


class LateReader(TokenReader):
    """Copies like the reader for CUDA, because the next step overwrites its input."""

    def __init__(self, _is_cuda: bool) -> None:
        super().__init__(False)

    def start(self, token: torch.Tensor) -> None:
        super().start(token.clone())


def like_cuda(patch: pytest.MonkeyPatch) -> list[int]:
    """Let the engine work like on CUDA; returns the number of rows of each captured step, as they are captured.

    A replayed step must use the buffers of the latest cache, as a graph would.
    """
    sizes: list[int] = []
    caches: list[Any] = []

    def reading_all(*args: Any) -> Any:
        caches.append(kv_cache.make_cache(*args))
        caches[-1].reads_all = True
        return caches[-1]

    def capturing(run: Any) -> Captured[Any]:
        """Nothing is computed until the replay, and each replay writes into the same result."""
        results: list[torch.Tensor] = []

        def remembered(token: torch.Tensor, inputs: list[torch.Tensor]) -> Any:
            found = run(token, inputs)
            results[:] = found if isinstance(found, tuple) else [found]
            if len(results) == 2:  # a step, and no sampler
                assert {place(x) for x in inputs} == buffers(caches[-1]), "a step points to a buffer that is gone"
            return found

        def capture(work: Any, device: torch.device) -> tuple[Any, Any]:
            kept = tuple(torch.zeros_like(result) for result in results)
            sizes.extend([len(kept[0])] if len(kept) == 2 else [])

            def replay() -> None:
                work()
                for target, new in zip(kept, results, strict=True):
                    target.copy_(new)

            return replay, kept if len(kept) == 2 else kept[0]

        return Captured(remembered, capture)

    patch.setattr(runner, "make_cache", reading_all)
    for module in (runner, scheduler):
        patch.setattr(module, "Captured", capturing)
    patch.setattr(scheduler, "TokenReader", LateReader)
    patch.setattr(scheduler, "runs_ahead", lambda device: True)
    return sizes


def place(tensor: torch.Tensor) -> int:
    """The address of the memory that a tensor is a part of."""
    return tensor.untyped_storage().data_ptr()


def buffers(cache: Any) -> set[int]:
    """The addresses of everything in a cache."""
    return {place(x) for x in (*cache.held, cache.place, cache.position, cache.stride, cache.columns)}
