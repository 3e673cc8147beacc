"""The claim about second turns is measured and judged as stated. No time is asserted."""

import pytest
from fake_runs import silent
from recorded import folder

from benchmarks.claims import second_turn
from benchmarks.measure import bounds
from benchmarks.measure.statistics import Estimate
from benchmarks.run.progress import JsonReporter
from fastglm.errors import FastGLMError


def test_a_second_turn_is_compared_with_a_cold_start() -> None:
    ratio = second_turn.second_over_cold(silent, str(folder("chatglm3")), "int4", 2, 80)
    assert (ratio.n, ratio.value > 0) == (2, True)


def test_a_model_that_reads_everything_cannot_be_compared() -> None:
    with pytest.raises(FastGLMError, match=r"^0 and 0 tokens were not read again in a second turn and a cold start"):
        second_turn.second_over_cold(silent, str(folder("chatglm")), "fast", 1, 80)


@pytest.mark.parametrize(("value", "kept"), [(0.25, True), (0.26, False)])
def test_the_promise_is_judged_by_its_bound(monkeypatch: pytest.MonkeyPatch, value: float, kept: bool) -> None:
    monkeypatch.setattr(second_turn, "apart", lambda *_: Estimate(value, 7, 0.1, 0.3))
    assert bounds.kept(second_turn.promise(JsonReporter())) is kept
