"""The promise on a model of half the width is kept only where every order holds."""

import pytest

from benchmarks import figure, half_width
from benchmarks.half_width import INT4, Found

LOSSES = [0.1, 0.2, 0.4, 0.15]
ORDERED = {"int8": 0.001} | dict.fromkeys(INT4, 0.01) | {f"{name} to nearest": 0.02 for name in INT4}


@pytest.mark.parametrize(
    ("changed", "losses", "kept"),
    [
        ({}, LOSSES, True),
        ({"int8": 0.015}, LOSSES, False),
        ({"int4-g32": 0.021}, LOSSES, False),
        ({"int4-g64 to nearest": 0.009}, LOSSES, False),
        ({}, [*LOSSES[:-1], 0.41], False),
    ],
)
def test_every_order_counts(
    changed: dict[str, float], losses: list[float], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half_width, "apart", lambda *_: Found(ORDERED | changed, losses))
    figures = half_width.promise(None)  # type: ignore[arg-type]
    assert figure.kept(figures) is kept
    assert len(figures) == 5
