"""What visitors give is kept under its content."""

import pytest

from dashboard import uploads
from fastglm.compress.calibration import read_texts
from fastglm.errors import UsageError


def test_what_cannot_be_read_takes_nothing_else_away() -> None:
    kept = uploads.keep("mine.txt", "一\n二\n".encode(), read_texts)
    with pytest.raises(UsageError, match=r"^mine.jsonl, line 1 is not JSON"):
        uploads.keep("mine.jsonl", "一\n二\n".encode(), read_texts)
    assert [kept] == list(kept.parent.iterdir())
