"""The host of a slowed variant, `python -m benchmarks.claims.slowed_host SHARE`: it talks as `fastglm.hosting.worker`
does."""

import faulthandler
import sys
import time
from dataclasses import replace
from functools import partial
from typing import Any

import fastglm
from fastglm.generation.piece import Piece
from fastglm.generation.streams import News, Streams
from fastglm.hosting.worker import serve, standard_streams


class SlowedStreams(Streams):
    """Answers whose every step takes longer by exactly a share of it, by waiting."""

    def __init__(self, share: float, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        self._share = share

    def step(self) -> list[News]:
        """Step, wait, and add the wait to the times of the pieces; those of later pieces include it anyway."""
        began = time.perf_counter()
        news = super().step()
        took = time.perf_counter() - began
        while (now := time.perf_counter()) < began + took * (1 + self._share):
            pass
        waited = now - began - took
        return [(id, replace(new, time=new.time + waited) if isinstance(new, Piece) else new) for id, new in news]


def main(share: str) -> None:
    """Answer until the parent ends."""
    requests, replies = standard_streams()
    faulthandler.enable()
    serve(requests, replies, fastglm.load, partial(SlowedStreams, float(share)))


if __name__ == "__main__":
    main(sys.argv[1])
