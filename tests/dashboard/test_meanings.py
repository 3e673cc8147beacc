"""Meanings of metrics in both languages."""

import pytest

from benchmarks.measure.measurement import METRICS
from dashboard import texts
from dashboard.meanings import meaning


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric != "failure"])
def test_pages_say_what_a_metric_means_as_reports_do_and_in_chinese(
    metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "language", lambda: "en")
    assert meaning(metric) == METRICS[metric].meaning
    monkeypatch.setattr(texts, "language", lambda: "zh")
    assert any("\u4e00" <= letter <= "\u9fff" for letter in meaning(metric))
