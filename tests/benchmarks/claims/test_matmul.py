"""Products with packed weights relative to fp32: their timing and their report; no time is asserted."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.claims import claims, matmul
from benchmarks.cli.commands import main
from benchmarks.measure.bounds import kept as all_kept
from benchmarks.measure.statistics import Estimate
from fastglm.progress.progress import Progress


def test_each_pair_of_runs_gives_a_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.cycle([0.0, 6.0, 0.0, 3.0, 0.0, 2.0])  # fp32, int8 and int4 in turn
    monkeypatch.setattr(matmul.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(matmul, "_product", lambda name, weight: lambda x: x @ weight.T)
    stages: list[Progress] = []
    found = matmul.speedups(stages.append, (64, 128), (1, 3))
    assert {key: e.value for key, e in found.items()} == {
        (name, n): ratio for n in (1, 3) for name, ratio in (("int8", 2.0), ("int4-g128", 3.0))
    }
    assert {e.n for e in found.values()} == {matmul.REPEATS}
    assert [stage.stage for stage in stages] == ["products of 1 rows", "products of 3 rows"]


def test_the_products_are_those_of_the_format() -> None:
    weight, x = torch.randn(96, 128), torch.randn(3, 128)
    for name in matmul.FORMATS:
        exact = x @ weight.T
        assert (matmul._product(name, weight)(x) - exact).norm() < 0.2 * exact.norm()


@pytest.mark.parametrize(("int8", "int4", "kept"), [(1.6, 1.0, True), (1.4, 1.2, False), (2.0, 0.9, False)])
def test_the_promise_is_about_the_slower_of_two_prompts(
    monkeypatch: pytest.MonkeyPatch, int8: float, int4: float, kept: bool
) -> None:
    found = {(name, n): Estimate(value + (n == 128), 7, value, value)
             for name, value in (("int8", int8), ("int4-g128", int4)) for n in (128, 512)}  # fmt: skip
    monkeypatch.setattr(claims, "apart", lambda *_, **__: found)
    figures = claims.many_rows(None)  # type: ignore[arg-type]
    assert all_kept(figures) is kept
    assert [figure.value for figure in figures] == [int8, int4]


def test_the_table_is_written_as_it_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(_speedups: Any, _reporter: Any, _shape: tuple[int, int]) -> dict[tuple[str, int], Estimate]:
        return {(name, n): Estimate(n / 2, 7, n / 3, n) for name in matmul.FORMATS for n in matmul.ROWS}

    facts = {"cpu": "A", "threads": 2, "cpu_busy": 0.0}
    monkeypatch.setattr(matmul, "apart", measured)
    monkeypatch.setattr(matmul, "machine", lambda _device: facts)
    monkeypatch.setattr(matmul, "busy", lambda: 0.0)
    assert main(["products", "--json", str(tmp_path / "products.json")]) == 0
    assert "256 × 1024 int4-g128     1 rows 0.5 × (0.3333 – 1), 4 rows 2 ×" in capsys.readouterr().out
    rows = json.loads((tmp_path / "products.json").read_text())["rows"]
    assert len(rows) == len(matmul.SHAPES) * len(matmul.FORMATS)
    assert [figure["what"] for figure in rows[0]["figures"]] == [f"{n} rows" for n in matmul.ROWS]
