"""Captions of metrics and remarks: one for every metric and every remark, in both languages."""

import ast
import re
from pathlib import Path

import pytest

from benchmarks.captions import meaning
from benchmarks.measure.caveat import Remark
from benchmarks.measure.measurement import METRICS

SOURCES = (Path(__file__).parents[2] / "benchmarks").glob("**/*.py")
VALUES = {
    **{"status": "cancelled", "share": 0.7, "repeats": 3, "enough": 5, "what": "code", "one": "abc", "other": "def"},
    **{"metric": "ttft", "variant": "int4", "variants": "int8, int4", "suite": "latency", "error": "out of memory"},
    **{"made": "float32 on cpu", "wanted": 0.02, "mean": 0.2, "most": 0.5, "free": 3e9, "total": 24e9, "events": 4},
    **{"by": -0.08, "largest": 0.2},
}
REASONS = ("other_load", "memory_short", "throttled", "clock_limited", "gpu_slowed", "drift", "spread", "warm_up")
REASONS += ("client_lag",)
NODES = [node for source in SOURCES for node in ast.walk(ast.parse(source.read_text("utf-8")))]
CALLS = [node for node in NODES if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Remark"]
KEYS = {call.args[0].value for call in CALLS if isinstance(call.args[0], ast.Constant)}
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_has_a_meaning_in_both_languages(metric: str) -> None:
    assert meaning(metric)
    assert not CHINESE.search(meaning(metric))
    assert CHINESE.search(meaning(metric, "zh"))


@pytest.mark.parametrize(
    "key", sorted({*KEYS, "exact", "decoding", "budget", "maximum", *(f"noise-{reason}" for reason in REASONS)})
)
def test_a_remark_has_a_sentence_in_both_languages(key: str) -> None:
    remark = Remark(key, VALUES, run="20250101-one")
    assert str(remark).startswith("20250101-one: ")
    assert not CHINESE.search(str(remark))
    assert CHINESE.search(remark.text("zh"))


def test_values_are_shown_in_words_and_quoted() -> None:
    assert (
        str(Remark("noise-drift", {"by": 0.0712}))
        == "noisy: the second half of the repeats differs by +7.1% from the first"
    )
    assert "only 3.0 GB of 24.0 GB of memory" in str(Remark("noise-memory_short", VALUES))
    assert Remark("differ", VALUES).text("zh", "<{}>".format) == "两次测量的<code>不同：<abc> → <def>"
    assert Remark("differ", VALUES).text("zh") == "两次测量的代码版本不同：abc → def"


@pytest.mark.parametrize(("key", "values"), [("nonsense", {}), ("few", {}), ("noise-moon", {"phase": 1})])
def test_a_remark_without_a_sentence_or_value_is_a_mistake(key: str, values: dict[str, int]) -> None:
    with pytest.raises(LookupError, match=f"remark-{key}"):
        str(Remark(key, values))


def test_a_metric_of_another_version_has_no_meaning() -> None:
    assert meaning("levity") == meaning("levity", "zh") == ""
