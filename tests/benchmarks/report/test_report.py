from pathlib import Path

import pytest

from benchmarks import files
from benchmarks.environment import machine, run_facts
from benchmarks.environment.run_facts import machine_name
from benchmarks.measure import wording
from benchmarks.measure.measurement import Measurement
from benchmarks.report import report
from benchmarks.store.run import Run
from fastglm.errors import UsageError


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (2.5, "s", "2.5 s"),
        (0.0075, "s/token", "7.5 ms/token"),
        (6.2e9, "bytes", "6.2 GB"),
        (9_400_000, "bytes", "9.4 MB"),
        (1234.5, "tokens/s", "1234 tokens/s"),
    ],
)
def test_quantities_are_in_the_size_that_reads_best(value: float, unit: str, text: str) -> None:
    assert wording.quantity(value, unit) == text


def _row(variant: str, metric: str, value: float, unit: str, **changes: object) -> Measurement:
    row = {"params": {"prompt_tokens": 32, "answer_tokens": 64}, "n": 5} | changes
    return Measurement("r", "demo", variant, "cpu", metric, value=value, unit=unit, **row)  # type: ignore[arg-type]


def test_the_table_puts_variants_below_each_other_and_ratios_beside() -> None:
    of = {"prompt_tokens": 32, "answer_tokens": 64}
    rows = [
        _row("original", "ttft", 0.9, "s", low=0.8, high=1.1),
        _row("original", "decode_rate", 10, "tokens/s"),
        _row("int4", "ttft", 0.3, "s"),
        _row("int4", "ttft_ratio", 0.33, "×", params={**of, "baseline": "original"}, low=0.3, high=0.4),
        _row("fast", "failure", 1, "", params={"suite": "latency", "error": "out of memory", "kind": "X"}),
    ]
    lines = report.table(rows).splitlines()
    assert len(lines) == 6
    assert "800 – 1100 ms" in lines[2]  # the interval is in the unit of its value
    assert lines[2].split()[:6] == ["ttft", "32", "in,", "64", "out", "original"]
    assert lines[3].split()[0] == "int4"
    assert lines[3].endswith("0.33 × original, 0.3 – 0.4 ×")
    assert lines[5] == "fast: latency failed: out of memory"


def test_a_json_file_that_cannot_be_written_is_found_before(tmp_path: Path) -> None:
    files.check_json(tmp_path / "out.json")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError):
        files.check_json(tmp_path)
    with pytest.raises(UsageError):
        files.check_json(tmp_path / "none" / "out.json")


def test_a_busy_machine_is_told() -> None:
    assert machine.busy_warning({"cpu_busy": 0.1}) is None
    assert "take 90% of the processors" in str(machine.busy_warning({"cpu_busy": 0.9}))


def test_the_machine_is_described() -> None:
    facts = machine.machine("cpu")
    assert facts["device"]["kind"] == "cpu"
    assert facts["device"]["bandwidth"] > 0
    assert facts["cpu"]
    assert facts["cores"] >= 1
    assert facts["memory"] > 1e9
    assert 0 <= facts["cpu_busy"] <= 1
    assert {"python", "torch", "transformers"} <= machine.versions().keys()
    assert machine.code_version()
    assert machine.command().startswith("python ")


def test_bytes_of_settings_and_machine_are_told_in_the_size_that_reads_best() -> None:
    facts = {"device": {"name": "A GPU", "bandwidth": 4_800_000_000_000}, "memory": 8 * 10**9}
    run = Run("demo", ("int4",), ("latency",), {"weights": {"int4": 5_300_000}}, machine=facts)
    found = dict(
        run_facts.facts({**run.as_dict(), "started": run.started, "finished": None, "status": "done", "error": None})
    )
    assert found["settings"] == "weights (int4 5.3 MB)"
    assert found["machine"] == "device (name A GPU, bandwidth 4800 GB/s), memory 8 GB"


def test_a_machine_is_the_computer_and_its_device() -> None:
    assert machine_name({"node": "here", "cpu": "c", "device": {"name": "A GPU", "cores": 2}}) == "here · A GPU"
    assert machine_name({"node": "here", "cpu": "c"}) == "here · c"
    assert machine_name({"device": "nonsense"}) == "?"


def test_columns_stand_below_one_another_in_chinese_too() -> None:
    assert report.aligned([("name", "n"), ("变体", "12"), ("[red]", "3")]) == [
        "name    n",
        "──────────",
        "变体    12",
        "[red]   3",
    ]
