"""Uploads of visitors are kept under a name of their content."""

import pytest

from dashboard.compress import uploads
from fastglm.errors import HomeError, UsageError
from fastglm.text_files import read_texts


def test_an_unreadable_upload_removes_no_other() -> None:
    kept = uploads.keep("mine.txt", "一\n二\n".encode(), read_texts)
    with pytest.raises(UsageError, match=r"^mine.jsonl, line 1 is not JSON"):
        uploads.keep("mine.jsonl", "一\n二\n".encode(), read_texts)
    assert [kept] == list(kept.parent.iterdir())


def test_a_disk_without_room_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads, "private", full)
    for keep in (lambda: uploads.keep("mine.txt", b"a", read_texts), lambda: uploads.keep_recipe("steps: []")):
        with pytest.raises(HomeError, match="No space left on device"):
            keep()
