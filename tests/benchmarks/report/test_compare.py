"""`compare`: the method errs as rarely as documented, and the command reports better, worse or undecided."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from measured import measure
from wrong_usage import refuse

from benchmarks.cli.commands import main
from benchmarks.measure.statistics import Estimate
from benchmarks.report.compare import Line, compare, paired_ratio, unpaired_ratio
from benchmarks.store.store import Store
from fastglm.errors import UsageError

TRIALS = 2000  # a true 5 % shows as 3.5 to 6.5 % (three standard errors)
Method = Callable[[list[float], list[float]], Estimate]


@pytest.fixture
def store() -> Store:
    return Store()


def called(
    method: Method, n: int, noise: float, truth: float = 1.0, drift: float = 0.0, trials: int = TRIALS
) -> tuple[float, float]:
    """The shares of `trials` comparisons that call B larger, and smaller."""
    draw = np.random.default_rng(n)
    larger = smaller = 0
    for _ in range(trials):
        common = np.exp(drift * np.linspace(0, 1, n) ** 2)
        a, b = (scale * common * draw.lognormal(0, noise, n) for scale in (1.0, truth))
        estimate = method(a.tolist(), b.tolist())
        assert estimate.low is not None
        assert estimate.high is not None
        larger += estimate.low > 1
        smaller += estimate.high < 1
    return larger / trials, smaller / trials


@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize(("method", "drift"), [(paired_ratio, 0.5), (unpaired_ratio, 0.0)])
def test_equals_are_called_different_at_most_one_time_in_twenty(n: int, method: Method, drift: float) -> None:
    assert sum(called(method, n, 0.05, drift=drift)) <= 0.065


@pytest.mark.parametrize(("method", "drift"), [(paired_ratio, 0.5), (unpaired_ratio, 0.0)])
def test_five_percent_are_found_under_one_percent_of_noise(method: Method, drift: float) -> None:
    larger, smaller = called(method, 10, 0.01, truth=1.05, drift=drift, trials=400)
    assert larger >= 0.95
    assert smaller == 0


def test_without_any_spread_a_ratio_is_a_point_and_one_repeat_has_no_interval() -> None:
    for method in (paired_ratio, unpaired_ratio):
        point = method([2.0, 2.0], [4.0, 4.0])
        assert point.value == point.low == point.high == pytest.approx(2.0)
    assert paired_ratio([2.0], [4.0]) == Estimate(pytest.approx(2.0), 1)  # type: ignore[arg-type]
    assert unpaired_ratio([2.0, 2.0], [4.0]) == Estimate(pytest.approx(2.0), 1)  # type: ignore[arg-type]


def by_metric(lines: list[Line]) -> dict[str, Line]:
    return {line.metric + str(line.params.get("quantile", "")): line for line in lines}


def test_two_variants_of_a_run(store: Store) -> None:
    run = measure(store)
    found = by_metric(list(compare(store, f"{run.id}:original", f"{run.id}:int4").lines))
    assert found["ttft"].verdict == "better"  # smaller is better
    assert found["decode_rate"].verdict == "better"  # larger is
    assert found["decode_rate"].ratio.value == pytest.approx(4, rel=0.02)
    assert found["decode_latency0.95"].verdict == "better"
    assert found["decode_latency0.95"].ratio.n == 10  # repeats, not tokens
    assert found["ttft"].paired
    assert found["weights_memory"].verdict == "better"
    assert found["cache_memory"].verdict == "equal"
    assert found["peak_memory"].verdict == "undecided"  # one repeat
    back = by_metric(list(compare(store, f"{run.id}:int4", f"{run.id}:original").lines))
    assert back["ttft"].verdict == back["decode_rate"].verdict == back["weights_memory"].verdict == "worse"


def test_pairs_are_of_the_same_repeat(store: Store) -> None:
    run = measure(store)
    values: dict[str, dict[int, float]] = {}
    for row in store.samples([run.id], "ttft").to_dict("records"):
        values.setdefault(row["variant"], {})[row["repeat"]] = row["values"][0]
    both = range(10)
    expected = paired_ratio([values["original"][i] for i in both], [values["int4"][i] for i in both])
    line = by_metric(list(compare(store, f"{run.id}:original", f"{run.id}:int4").lines))["ttft"]
    assert line.ratio == expected


def test_two_runs_variant_by_variant(store: Store) -> None:
    before, after = measure(store, seed=1), measure(store, seed=2, slower=1.05, code_version="def")
    found = compare(store, before.id, after.id)
    assert {line.variants for line in found.lines} == {("original", "original"), ("int4", "int4")}
    assert not any(line.paired for line in found.lines)
    verdicts = {line.verdict for line in found.lines if line.metric in ("ttft", "decode_rate", "prefill_rate")}
    assert verdicts == {"worse"}
    assert "the runs differ in code: abc → def" in [*map(str, found.notes)]
    assert found.worse_by(0.02)
    assert not found.worse_by(0.08)


def test_one_named_variant_is_that_of_both_runs(store: Store) -> None:
    before, after = measure(store, seed=1), measure(store, seed=2)
    found = compare(store, before.id, f"{after.id}:int4")
    assert {line.variants for line in found.lines} == {("int4", "int4")}


def test_a_variant_that_fails_in_b_only_is_worse(store: Store) -> None:
    before, after = measure(store), measure(store, failing={"int4": "out of memory"})
    found = compare(store, before.id, after.id)
    assert [*map(str, found.failures)] == ["int4: latency failed in B only: out of memory"]
    assert found.worse_by(0.5)
    assert not compare(store, after.id, before.id).failures


def test_remarks_name_the_weaknesses_of_a_comparison(store: Store) -> None:
    settings = {"repeats": 3, "arrangement": {"latency": "blocks"}}
    run = measure(store, repeats=3, settings=settings, machine={"cpu_busy": 0.7})
    notes = "\n".join(map(str, compare(store, f"{run.id}:original", f"{run.id}:int4").notes))
    assert "70% of the processors" in notes
    assert "in blocks" in notes
    assert "3 repeats" in notes
    assert "one repeat says nothing" in notes


def test_the_command(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = measure(store, seed=1), measure(store, seed=2, slower=1.05)
    target = tmp_path / "out.json"
    assert main(["compare", before.id, after.id, "--json", str(target)]) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("decode_rate"))
    assert line.endswith("worse")
    assert "0.95" in line
    data = json.loads(target.read_text(encoding="utf-8"))
    assert (data["threshold"], data["worse"]) == (None, False)
    assert {"metric", "params", "variants", "a", "b", "ratio", "verdict"} <= data["lines"][0].keys()
    assert data["notes"][0].startswith("the interval of two runs leaves out differences")
    assert data["lines"][0]["ratio"].keys() == {"value", "n", "low", "high"}
    assert main(["compare", before.id, after.id, "--threshold", "0.02"]) == 1
    assert main(["compare", before.id, after.id, "--threshold", "0.1"]) == 0
    assert main(["compare", after.id, before.id, "--threshold", "0"]) == 0  # better is not worse
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "{b}"], "there is no run 'nothing'"),
        (["", "{b}"], "there is no run ''"),
        (["2", "{b}"], "runs begin with '2'"),
        (["{a}", "{a}"], "are the same: name two variants"),
        (["{a}:int4", "{a}"], "are the same: name two variants"),
        (["{a}:int9", "{b}"], "no variant int9: choose from original, int4"),
        (["{a}:original", "{c}:fast"], "no measurement in common"),
        (["{a}", "{c}"], "no measurement in common"),
        (["{a}", "{b}", "--threshold", "5"], "such as 0.05 for 5 %"),
        (["{a}", "{b}", "--threshold", "nan"], "such as 0.05 for 5 %"),
        (["{a}", "{b}", "--json", "/no/such/folder/x.json"], "cannot be written"),
        (["{a}", "{b}", "--store", "none"], "without a store"),
        (["{a}"], "B"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    ids = {"a": measure(store).id, "b": measure(store).id}
    ids["c"] = measure(store, ["fast"], lengths=[64], suites=["latency"]).id
    refuse(["compare", *(argument.format(**ids) for argument in arguments)], said, capsys)


def test_a_beginning_of_an_id_is_enough(store: Store) -> None:
    before, after = measure(store, id="20250101-one"), measure(store, id="20250102-two")
    assert compare(store, "20250101", "20250102").lines
    longer = measure(store, id=f"{before.id}-and-more")
    assert compare(store, before.id, longer.id).a.startswith(f"{before.id}  ")  # a whole id takes precedence
    with pytest.raises(UsageError, match=r"3 runs begin with '2025010' \(.*\): give more"):
        compare(store, "2025010", after.id)
