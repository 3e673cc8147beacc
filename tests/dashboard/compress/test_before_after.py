"""The figures of a compressed model beside its parent's."""

import pandas as pd
import pytest

from dashboard.compress import before_after


@pytest.mark.parametrize(("asked", "right", "shown"), [(8, 0.5, 1), (24, 0.5, 0), (24, 0.0, 0), (8, 0.0, 0)])
def test_only_answers_to_as_many_questions_are_compared(
    monkeypatch: pytest.MonkeyPatch, asked: int, right: float, shown: int
) -> None:
    told: list[float] = []
    monkeypatch.setattr(before_after.prediction, "against", lambda _column, _label, _text, ratio: told.append(ratio))
    rows = [("quality", before_after.BEFORE, right, 8), ("quality", before_after.AFTER, 0.25, asked)]
    before_after._draw_figures(pd.DataFrame(rows, columns=["side", "variant", "value", "n"]))
    assert told == [0.5] * shown
