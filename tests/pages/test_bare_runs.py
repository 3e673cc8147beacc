"""Runs with few facts, as foreign files may contain: every page shows them."""

import pytest
from page_run import Open, words
from stored import keep

from benchmarks.measure.measurement import Sample
from benchmarks.store.run import Run
from benchmarks.store.store import Store

ROWS = {
    "decode_rate": {"prompt_tokens": "many"},
    "decode_rate_ratio": {},
    "decode_latency": {"quantile": "half"},
    "ttft": {},
    "throughput": {"batch": 2.5},
    "weights_memory": {},
    "cache_memory": {"prompt_tokens": "many"},
    "peak_memory": {"during": "answer"},
    "skill_accuracy": {},
    "perplexity": {},
}


@pytest.fixture
def bare() -> list[str]:
    """Two runs without any facts; their ids."""
    runs = []
    for name, status in (("20250101-one", "cancelled"), ("20250102-two", "done")):
        run = Run("demo", ("int4",), ("latency", "memory", "quality"), {}, name, machine={}, versions={})
        keep(run, *(("int4", metric, params, 0.5) for metric, params in ROWS.items()), status=status)
        Store().add_samples(run.id, [Sample("int4", "ttft", {}, 0, (0.5,))])
        runs.append(run.id)
    return runs


@pytest.mark.parametrize("page", ["latency", "memory", "quality", "overview"])
def test_a_page_shows_a_run_without_facts(page: str, bare: list[str], open_page: Open) -> None:
    app = open_page(f"pages/{page}.py", machine="?")
    assert not app.error
    assert app.dataframe


def test_history_shows_and_compares_runs_without_facts(bare: list[str], open_page: Open) -> None:
    one = open_page("pages/history.py", runs=bare[:1], locale="zh-CN")
    assert "此次测量的状态为“已取消”" in words(one)
    both = words(open_page("pages/history.py", runs=bare, locale="zh-CN"))
    assert "只有一次重复看不出波动" in both
    assert "20250101-one: 此次测量的状态为“已取消”" in both
