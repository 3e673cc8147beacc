"""Energy: counters that wrap around, unreadable counters, and GPUs."""

import itertools
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_hosts import FakeMachine
from fake_runs import rows, run_suites

from benchmarks.measure import energy
from benchmarks.measure.energy import find_meter


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages, one with memory; zones that are parts of a package or of the whole must not count."""
    names = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    for zone, name in names.items():
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(f"{name}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("999\n")
        (tmp_path / zone / "energy_uj").write_text("100\n")
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    return tmp_path


def test_packages_and_their_memory_are_counted_and_start_anew(powercap: Path) -> None:
    meter = find_meter("cpu")
    assert meter is not None
    before = meter.read()
    assert before == [100, 100, 100]
    assert meter.joules(before, before) is None
    for zone, count in (("intel-rapl:0", 400), ("intel-rapl:0:1", 150), ("intel-rapl:1", 50), ("intel-rapl:2", 900)):
        (powercap / zone / "energy_uj").write_text(str(count))
    assert meter.joules(before, meter.read()) == pytest.approx((300 + 50 + 950) / 1e6)
    (powercap / "intel-rapl:1" / "energy_uj").unlink()
    assert meter.read() == []
    assert meter.joules(before, meter.read()) is None


def test_unreadable_counters_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "none")
    assert find_meter("cpu") is None
    assert find_meter("mps") is None
    monkeypatch.setitem(sys.modules, "pynvml", None)  # not installed
    assert find_meter("cuda:0") is None
    assert not rows(run_suites(FakeMachine()), "int4", "energy")


def test_an_answer_has_its_energy_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = itertools.count(0, 12)
    meter = energy.Meter("RAPL", [10**9], lambda: [next(counts)])
    monkeypatch.setattr("benchmarks.run.session.find_meter", lambda device: meter)
    (row,) = rows(run_suites(FakeMachine()), "int4", "energy", prompt_tokens=8)
    assert (row.value, row.unit, row.n) == (pytest.approx(2e-6), "J/token", 4)  # 12 µJ between readings, 6 tokens
    assert row.params["meter"] == "RAPL"


class NVMLError(Exception):
    """The name of pynvml's error."""


@pytest.mark.parametrize("visible", ["", "3", "GPU-abc"])
def test_a_gpu_counts_in_millijoules(visible: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([1000, 2000, 2500])
    fake = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=str,
        nvmlDeviceGetHandleByUUID=str,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(counts) if handle == (visible or "0") else None,
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    meter = find_meter("cuda:0")
    assert meter is not None
    assert meter.joules(meter.read(), meter.read()) == 0.5


def test_a_gpu_without_an_energy_counter_has_no_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise NVMLError("not supported")

    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(NVMLError=NVMLError, nvmlInit=refuse))
    assert find_meter("cuda:0") is None
