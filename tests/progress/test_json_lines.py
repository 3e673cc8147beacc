"""Progress as JSON lines: the progress itself, and the end of the work."""

import io
import json
from typing import Any

import pytest

from fastglm.errors import CancelledError, UsageError
from fastglm.progress import json_lines
from fastglm.progress.json_lines import JsonLines
from fastglm.progress.progress import Progress


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_news_of_a_stage_come_now_and_then_and_its_last_for_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(json_lines.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with JsonLines(stream) as told:
        for second, done in ((10.0, 40), (10.1, 41), (12.0, 50), (12.1, 60), (14.0, 60), (14.05, 100)):
            now[0] = second
            told(Progress("training", done, 100, "steps", f"loss {done}"))
        told(Progress("score", 0, 0))
    first, later, third, last, other, done = lines(stream)
    assert first == {"event": "progress", "stage": "training", "done": 40, "total": 100, "eta": None, "note": "loss 40"}
    assert (later["done"], later["eta"]) == (50, None)  # 10 s, although 6 s were left 2 s before
    assert (third["done"], third["eta"]) == (60, 8.0)  # 5 a second since the first one, as before
    assert (last["done"], last["eta"]) == (100, 0.0)
    assert (other["stage"], other["eta"]) == ("score", None)
    assert done == {"event": "done", "status": "done"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyboardInterrupt(), {"event": "done", "status": "cancelled"}),
        (CancelledError("Stopped."), {"event": "done", "status": "cancelled"}),
        (UsageError("it is wrong"), {"event": "error", "message": "it is wrong What is done is kept."}),
    ],
)
def test_the_end_of_the_work_is_reported(error: BaseException, said: dict[str, str]) -> None:
    error.add_note("What is done is kept.")
    stream = io.StringIO()
    with pytest.raises(type(error)), JsonLines(stream):
        raise error
    assert lines(stream) == [said]
