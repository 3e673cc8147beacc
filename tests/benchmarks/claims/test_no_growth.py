"""The claims against growth are measured and judged as stated. No time is asserted."""

import pytest
from fake_runs import silent

from benchmarks.claims import no_growth
from benchmarks.measure import bounds
from benchmarks.measure.statistics import Estimate
from benchmarks.run.progress import JsonReporter
from fastglm.progress.progress import Progress


def test_both_contexts_are_measured_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str]] = []
    stream = no_growth.fastglm.stream

    def noted(model, tokenizer, prompt, **settings):  # type: ignore[no-untyped-def]
        asked.append((len(prompt) + settings["max_new_tokens"], model.fastglm.cache))
        return stream(model, tokenizer, prompt, **settings)

    monkeypatch.setattr(no_growth.fastglm, "stream", noted)
    for name, tokens in {"SHORT": 32, "ANSWER": 3}.items():
        monkeypatch.setattr(no_growth, name, tokens)
    ratio = no_growth.context_ratio(silent, "demo", "int4", 96, 1)
    assert (ratio.n, ratio.value > 0) == (1, True)
    assert asked == [(32, "int8"), (96, "int8")] * 2


def test_memory_is_read_after_a_tenth_of_the_chats_and_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    done = 0.0
    read: list[float] = []

    def note(news: Progress) -> None:
        nonlocal done
        done = news.done if news.stage == "chats" else 0.0

    class Meter(no_growth.MemoryMeter):
        def _measured(self) -> tuple[int, int, int]:
            read.append(done)
            return 10 * len(read), 0, 0

    monkeypatch.setattr(no_growth, "MemoryMeter", Meter)
    assert no_growth.memory_grown(note, "demo", 10) == 10
    assert read == [0, 9]  # numbers of chats in the progress


@pytest.mark.parametrize(("grown", "kept"), [(no_growth.ROOM, True), (no_growth.ROOM + 1, False)])
def test_promises_are_judged_by_their_bounds(monkeypatch: pytest.MonkeyPatch, grown: int, kept: bool) -> None:
    monkeypatch.setattr(no_growth, "apart", lambda *_: grown)
    assert bounds.kept(no_growth.memory_of_chats(JsonReporter())) is kept
    ratio = Estimate(1.25 if kept else 1.26, 3, 1.1, 1.4)
    monkeypatch.setattr(no_growth, "apart", lambda *_: ratio)
    assert bounds.kept(no_growth.step_in_long_context(JsonReporter())) is kept
    ratio = Estimate(1.35 if kept else 1.36, 3, 1.1, 1.4)
    assert bounds.kept(no_growth.step_in_longest_context(JsonReporter())) is kept
