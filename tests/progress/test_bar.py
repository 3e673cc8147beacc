"""Progress for people: bars in a terminal, few lines in a file, and no guessed time left."""

import io
import sys
from typing import Any

import pytest

from benchmarks.run.progress import BarReporter, JsonReporter
from fastglm.progress import progress
from fastglm.progress.bar import LINE_EVERY, Bars
from fastglm.progress.progress import Progress, TimeLeft


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, under the test's control."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


class Written:
    """Standard error as a file."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def getvalue(self) -> str:
        return self._capsys.readouterr().err


@pytest.fixture
def file(capsys: pytest.CaptureFixture[str]) -> Written:
    return Written(capsys)


def test_a_file_has_a_line_every_ten_seconds_at_most(file: Written, clock: list[float]) -> None:
    with Bars() as bars:
        for step in range(6000):
            clock[0] += 0.01
            bars(Progress("training", step, 6000, "steps", f"loss {step}"))
    written = file.getvalue()
    assert "\r" not in written
    lines = written.splitlines()
    assert 5 <= len(lines) <= 60 / LINE_EVERY
    assert lines[0].startswith("training: 17%, ")
    assert " of 6,000 steps · 00:" in lines[0]
    assert " left · loss " in lines[0]


def test_short_stages_do_not_write_a_line_each(file: Written, clock: list[float]) -> None:
    with Bars() as bars:
        for stage in range(100):
            for step in range(10):
                clock[0] += 0.05
                bars(Progress(f"stage {stage}", step, 10))
    assert 1 <= len(file.getvalue().splitlines()) <= 50 / LINE_EVERY


def test_short_work_prints_nothing(file: Written, clock: list[float]) -> None:
    with Bars() as bars:
        for step in range(9):
            clock[0] += 1
            bars(Progress("load", step, 9, "B"))
    assert file.getvalue() == ""


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (Progress("load", 5e6, 10e6, "B"), "load: 50%, 5 of 10 MB · estimating the time left"),
        (Progress("compile", 0, 0), "compile …"),
        (Progress("score", 0, 0, note="the model"), "score … · the model"),
    ],
)
def test_a_line_says_how_far_it_is(now: Progress, line: str, file: Written, clock: list[float]) -> None:
    with Bars() as bars:
        bars(now)
        clock[0] += LINE_EVERY
        bars(now)
    assert file.getvalue() == line + "\n"


def test_a_run_in_a_pipe_writes_few_lines(file: Written, clock: list[float]) -> None:
    reporter = BarReporter()
    reporter.plan(1000)
    for _ in range(1000):
        clock[0] += 0.03
        reporter.at("latency", 0.5)
        reporter.step()
    reporter.close()
    assert 1 <= len(file.getvalue().splitlines()) <= 30 / LINE_EVERY


def test_a_terminal_has_a_bar_that_says_when_it_estimates(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    seen = []
    with Bars() as bars:
        for step in range(5):
            bars(Progress("training", step, 100))
            assert bars._bar._bar is not None
            seen.append(str(bars._bar._bar))
            clock[0] += 2
    assert ["estimating" in text for text in seen] == [True, True, False, False, False]
    assert "<03:16" in seen[2]


def told(clock: list[float], way: list[tuple[float, float]], total: float = 100) -> list[float | None]:
    """The estimated time left after each time and amount."""
    left, found = TimeLeft(), []
    start = clock[0]
    for seconds, done in way:
        clock[0] = start + seconds
        found.append(left.after(done, total))
    return found


def test_a_first_estimate_that_is_far_off_is_not_told(clock: list[float]) -> None:
    # 62 hours, then 36 seconds: the first steps took long, because of warming up.
    assert told(clock, [(0, 0), (22.5, 0.01), (23, 40), (24, 41)]) == [None, None, None, None]
    found = told(clock, [(0, 0), (22.5, 0.01), (24, 40), (25, 42), (26, 44)])
    assert found[:3] == [None, None, None]
    assert found[3:] == [pytest.approx(34.5, abs=0.1), pytest.approx(33.1, abs=0.1)]


@pytest.mark.parametrize(
    ("way", "known"),
    [
        ([(0, 0), (1, 1), (2, 2)], [False, False, True]),
        ([(0, 0), (1, 1), (1.01, 1.01), (1.02, 1.02)], [False] * 4),  # immediately after another: the same note
        ([(0, 50), (1, 51), (2, 52)], [False, False, True]),  # resumed work
        ([(0, 0), (1, 1), (2, 2), (3, 30), (4, 40), (5, 50)], [False, False, True, False, True, True]),
        ([(0, 0), (5, 0), (10, 0)], [False] * 3),  # nothing is done yet
        ([(0, 0), (1, 1), (2, 2), (3, 1), (4, 2), (5, 3)], [False, False, True, False, False, True]),  # started anew
    ],
)
def test_two_estimates_in_a_row_are_to_agree(clock: list[float], way: list[Any], known: list[bool]) -> None:
    assert [left is not None for left in told(clock, way)] == known


def test_at_the_end_nothing_is_left_and_without_a_total_nothing_is_known(clock: list[float]) -> None:
    assert told(clock, [(0, 100)]) == [0.0]
    assert told(clock, [(0, 0), (1, 1), (2, 2)], total=0) == [None, None, None]


def test_programs_are_told_no_guess_either(clock: list[float]) -> None:
    stream = io.StringIO()
    reporter = JsonReporter(stream)
    reporter.plan(10)
    for _ in range(3):
        clock[0] += 2
        reporter.step()
    assert ['"eta": null' in line for line in stream.getvalue().splitlines()] == [True, False, False]
