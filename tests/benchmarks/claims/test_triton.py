"""The claim about the kernels: judged by the timings, and never guessed without a card."""

from dataclasses import replace

import pytest
import torch

from benchmarks.claims import triton
from benchmarks.claims.triton import Timing
from benchmarks.measure.bounds import kept as all_kept
from benchmarks.measure.bounds import text
from benchmarks.run.progress import JsonReporter

BANDWIDTH = 10**12
GOOD = Timing("int4-g128", torch.float16, (8, 64), 1, "vector, 1 parts", 1e-6, 3e-6, 600_000, 1e-4, True)
INT8 = replace(GOOD, format="int8", bytes=800_000)


def test_without_a_card_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert triton.promise(JsonReporter()) == []


@pytest.mark.parametrize(
    ("also", "kept"),
    [
        (GOOD, True),
        (replace(GOOD, chosen=False, plain=5e-7), True),  # a way that is not chosen may be slow
        (replace(GOOD, chosen=False, error=3e-3), False),  # but not wrong
        (replace(GOOD, error=float("nan")), False),
        (replace(GOOD, dtype=torch.bfloat16, error=3e-3), True),
        (replace(GOOD, size=64, seconds=1e-3, plain=1.1e-3), True),
        (replace(GOOD, size=64, plain=9e-7), False),
        (replace(GOOD, bytes=300_000), False),  # both together at 45 % of the bandwidth
    ],
)
def test_wrong_or_slow_kernels_miss_the_promise(also: Timing, kept: bool) -> None:
    assert all_kept(triton.judge([GOOD, INT8, also], BANDWIDTH)) is kept


def test_the_measured_figures_are_told() -> None:
    figures = triton.judge([GOOD, INT8, replace(GOOD, error=1.0)], BANDWIDTH)
    assert text(figures) == "wrong 1, int8 80 %, int4-g128 60 %, at worst 3 × fp16"
    assert "60.0% of the bandwidth    3.00 × plain  error 1e-04  chosen" in GOOD.line(BANDWIDTH)
