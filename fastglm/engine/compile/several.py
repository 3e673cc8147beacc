"""The step of several rows on a CPU: single operators at first, compiled in the background when it is first used."""

import logging
import threading
from collections.abc import Callable

import torch
from torch import Tensor

from ...errors import FastGLMError
from ..decode_step import DecodeStep
from .step import CompiledStep
from .worker import MOST_ROWS

log = logging.getLogger(__name__)


class SeveralRowsStep:
    """Runs steps of several rows. No step waits for the compiler: single operators run until it has finished, and for
    ever if it fails.
    """

    def __init__(self, plain: DecodeStep, build: Callable[[], CompiledStep]) -> None:
        """Create a step. build: compiles it, or loads it if it is stored; runs in a thread of its own."""
        self.decoder, self._made_of = plain.decoder, plain.decoder.identity
        self._step: DecodeStep | CompiledStep = plain
        self._plain, self._build = plain, build
        self._thread: threading.Thread | None = None

    @property
    def is_current(self) -> bool:
        """Tell whether the model has its weights where they were."""
        return self.decoder.identity == self._made_of

    def __call__(self, ids: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Run like `DecodeStep.forward`."""
        if ids.shape[0] > MOST_ROWS or ids.shape[1] > 1:
            return self._plain(ids, *inputs)
        self.begin()
        return self._step(ids, *inputs)

    def begin(self) -> threading.Thread:
        """Start to compile, unless started already; returns the thread that compiles."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._compile, name="compile", daemon=True)
            self._thread.start()
        return self._thread

    def _compile(self) -> None:
        try:
            with torch.inference_mode():
                self._step = self._build()
        except (FastGLMError, OSError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            log.warning("The step of several requests could not be compiled, and runs as single operators: %s", reason)
