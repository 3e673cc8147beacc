"""The bar of a run moves and ends at its end."""

import io
import sys
import warnings

import pytest

from benchmarks.run.progress import BarReporter


def test_the_bar_ends_at_its_end_however_its_parts_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # tqdm warns of a bar beyond its end
        for layers in range(2, 40):
            reporter = BarReporter()
            reporter.plan(3)
            for _ in range(3):
                for done in range(1, layers):
                    reporter.at("original", done / layers)
                reporter.step()
            assert reporter._bar is not None
            assert reporter._bar._bar is not None
            assert reporter._bar._bar.n == 3
            reporter.close()
