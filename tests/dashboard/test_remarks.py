"""Remarks of the benchmarks in the visitor's language."""

import pytest

from benchmarks.measure.caveat import ENGLISH, Remark
from dashboard import remarks, texts

VALUES = {
    "status": "cancelled",
    "share": 0.7,
    "repeats": 3,
    "enough": 5,
    "what": "code",
    "one": "abc",
    "other": "def",
    "metric": "ttft",
    "variant": "int4",
    "variants": "int8, int4",
    "suite": "latency",
    "error": "out of memory",
    "made": "float32 on cpu",
    "wanted": 0.02,
    "mean": 0.2,
    "most": 0.5,
    "free": 3e9,
    "total": 24e9,
    "events": 4,
    "by": -0.08,
    "largest": 0.2,
}


@pytest.mark.parametrize("key", ENGLISH)
def test_pages_say_every_remark_as_files_do_and_in_chinese(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remark = Remark(key, VALUES, run="20250101-one")
    monkeypatch.setattr(texts, "language", lambda: "en")
    if key != "noise-memory_short":  # pages write bytes differently
        assert remarks.words(remark) == str(remark)
    monkeypatch.setattr(texts, "language", lambda: "zh")
    chinese = remarks.words(remark)
    assert chinese.startswith("20250101-one: ")
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)


def test_a_remark_without_words_is_a_mistake() -> None:
    with pytest.raises(LookupError, match="nonsense"):
        remarks.words(Remark("nonsense"))
