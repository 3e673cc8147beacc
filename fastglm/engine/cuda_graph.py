"""A decode step as a CUDA graph: one launch instead of hundreds (gpt-fast; CUDA programming guide, "CUDA Graphs")."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

log = logging.getLogger(__name__)

Result = TypeVar("Result")  # of tensors
# A step: from tokens, [rows, tokens], and the inputs that the cache gives.
Run = Callable[[Tensor, list[Tensor]], Result]
Capture = Callable[[Callable[[], Any], torch.device], tuple[Callable[[], None], Any]]


def cuda_graph(work: Callable[[], Result], device: torch.device) -> tuple[Callable[[], None], Result]:
    """Capture work on a card without running it; returns a function that runs it, and the place of its result."""
    graph = torch.cuda.CUDAGraph()
    # The default capture stream is one for all cards, on the card that first needed it.
    with torch.cuda.device(device), torch.cuda.graph(graph, stream=torch.cuda.Stream(device)):
        result = work()
    return graph.replay, result


class Captured(Generic[Result]):
    """Runs a step for a fixed number of tokens, captured again for each size of the cache.

    The first step of a size runs uncaptured, as a warm-up of everything that cannot start within a capture.
    """

    def __init__(self, run: Run[Result], capture: Capture = cuda_graph) -> None:
        self._run, self._capture = run, capture
        self._buffer: Tensor | None = None  # of the latest cache
        self._replay: Callable[[], None] | None = None
        self._fails = False

    def __call__(self, token: Tensor, inputs: list[Tensor]) -> Result:
        """Run the step; the next call overwrites the result."""
        if self._fails or inputs[-1] is not self._buffer:
            found = self._run(token, inputs)
            self._buffer, self._replay = inputs[-1], None  # not where it failed, which is no warm-up
            return found
        if self._replay is None:
            self._token = token.clone()
            try:
                self._replay, self._result = self._capture(lambda: self._run(self._token, inputs), token.device)
            except RuntimeError as error:
                self._fails = True
                _warn(str(error).partition("\n")[0])
                return self._run(token, inputs)
        self._token.copy_(token)
        self._replay()
        return self._result


@cache
def _warn(reason: str) -> None:
    """Warn once, not with every answer."""
    log.warning("The decode step cannot be captured as a CUDA graph, and runs slower: %s", reason)
