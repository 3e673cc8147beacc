"""Energy of an answer, on machines that count it: RAPL of Intel and AMD processors, NVML of GPUs."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environment.machine import visible_gpu

POWERCAP = Path("/sys/class/powercap")
_ENDLESS = 2**63  # the wrap-around of counters that never wrap


@dataclass(frozen=True, slots=True)
class Meter:
    """Energy counters of a device. They include other programs and idle power."""

    kind: str
    ranges: Sequence[int]  # µJ at which each counter wraps around
    count: Callable[[], list[int]]  # reads µJ of each counter; raises OSError once that fails

    def read(self) -> list[int]:
        """Read the counters for `joules`; empty if they cannot be read."""
        try:
            return self.count()
        except OSError:
            return []

    def joules(self, before: Sequence[int], after: Sequence[int]) -> float | None:
        """Energy in joules between two readings; None if a counter did not move or could not be read."""
        if not before or not after:
            return None
        spent = sum((b - a) % size for a, b, size in zip(before, after, self.ranges, strict=True))
        return spent / 1e6 or None


def find_meter(device: str) -> Meter | None:
    """Find the meter of `cpu`, `cuda:N` or several cards with commas between. None if the device counts no energy, or
    only for other users.
    """
    if device.startswith("cuda"):
        return _nvml(device)
    return _rapl() if device == "cpu" else None


def _rapl() -> Meter | None:
    """The meter of Linux's powercap: the processor packages, and their memory if counted."""
    counters, ranges = [], []
    for zone in sorted(POWERCAP.glob("intel-rapl:*")):  # of AMD processors too
        with suppress(OSError, ValueError):
            name = (zone / "name").read_text(encoding="ascii").strip()
            if re.fullmatch(r"package-\d+|dram", name):
                size = int((zone / "max_energy_range_uj").read_text(encoding="ascii"))
                int((zone / "energy_uj").read_text(encoding="ascii"))  # readable by root alone on many systems
                counters.append(zone / "energy_uj")
                ranges.append(size + 1)
    if not counters:
        return None
    return Meter("RAPL", ranges, lambda: [int(counter.read_text(encoding="ascii")) for counter in counters])


def _nvml(device: str) -> Meter | None:
    """The meter of NVML: energy in mJ since the driver was loaded (Volta and later)."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        gpus = [visible_gpu(card) for card in device.split(",")]
        by_index: Any = pynvml.nvmlDeviceGetHandleByIndex
        handles = [by_index(int(gpu)) if gpu.isdecimal() else pynvml.nvmlDeviceGetHandleByUUID(gpu) for gpu in gpus]
        for handle in handles:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None

    def count() -> list[int]:
        try:
            return [1000 * pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles]
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error

    return Meter("NVML", [_ENDLESS] * len(handles), count)
