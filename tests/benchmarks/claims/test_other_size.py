"""The claim about a model of half the width holds only if every order holds."""

import pytest

from benchmarks.claims import other_size
from benchmarks.claims.other_size import INT4, Found
from benchmarks.measure import bounds

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
def test_each_promised_order_is_judged(
    changed: dict[str, float], losses: list[float], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_size, "apart", lambda *_: Found(ORDERED | changed, losses))
    figures = other_size.promise(None)  # type: ignore[arg-type]
    assert bounds.kept(figures) is kept
    assert len(figures) == 5
