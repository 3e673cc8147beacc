"""Judgement of a run: the machine's other work meanwhile, and the steadiness of the samples.

`Watch` reads the machine between turns, never during a timing. `judge` names reasons as data.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean, median
from typing import Any

import psutil

from benchmarks.environment.machine import query_gpu
from benchmarks.measure.caveat import Remark
from benchmarks.measure.measurement import Sample

SYSTEM = Path("/sys/devices/system/cpu")
WINDOW = 1.0  # seconds between two readings: the system counts processor time in hundredths
LOAD = 0.1  # largest share of all processors for other programs
MEMORY = 0.05  # smallest share of free memory
CLOCK = 0.98  # smallest share of the highest clock that the system allows
SLOWED = 0.1  # largest share of readings at which the GPU is slowed
DRIFT = 0.05  # largest relative difference between the first and the second half of the repeats
SPREAD = 0.1  # largest robust coefficient of variation of repeats
TIMED = frozenset({"latency", "throughput", "load", "serving"})  # suites whose figures are times
STEADY = frozenset({"decode_rate", "throughput"})  # metrics whose repeats should be alike
# Bits of nvidia-smi's clocks_event_reasons.active (NVML API reference, NvmlClocksEventReasons).
GPU_REASONS = {
    0x04: "power_cap",
    0x08: "hardware_slowdown",
    0x20: "software_thermal",
    0x40: "hardware_thermal",
    0x80: "power_brake",
}


class Watch:
    """Observes the machine during a run."""

    def __init__(self) -> None:
        self._loads: list[tuple[float, float]] = []  # seconds of all processors, and of other programs
        self._free = psutil.virtual_memory().available
        self._gpu: dict[str, int] = {}  # number of readings at which the GPU was slowed, by reason
        self._gpu_looks = 0
        self._throttled = throttle_events()
        self._before = _processor_times()

    def look(self, device: str = "cpu") -> None:
        """Read what the machine did since the last reading; less than a second after it, read nothing."""
        busy, ours, everything = now = _processor_times()
        busy, ours, everything = busy - self._before[0], ours - self._before[1], everything - self._before[2]
        if everything < WINDOW * (psutil.cpu_count() or 1):
            return
        self._before = now
        if ours >= 0:  # smaller than before on systems that forget ended processes
            self._loads.append((everything, min(max(busy - ours, 0.0), everything)))
        self._free = min(self._free, psutil.virtual_memory().available)
        if device.startswith("cuda") and (active := gpu_slowed(device)) is not None:
            self._gpu_looks += 1
            for reason in active:
                self._gpu[reason] = self._gpu.get(reason, 0) + 1

    def conditions(self) -> dict[str, Any]:
        """The observed conditions as plain data; unreadable ones are left out."""
        found: dict[str, Any] = {"memory_free_least": self._free}
        if self._loads:
            found["other_load"] = round(
                sum(other for _, other in self._loads) / sum(all_ for all_, _ in self._loads), 3
            )
            found["other_load_most"] = round(max(other / all_ for all_, other in self._loads), 3)
        events = throttle_events()
        if events is not None and self._throttled is not None:
            found["throttle_events"] = events - self._throttled
        if (clock := clock_limit()) is not None:
            found["clock_limit"] = round(clock, 3)
        if self._gpu_looks:
            found["gpu_slowed"] = {reason: round(times / self._gpu_looks, 3) for reason, times in self._gpu.items()}
        return found


def judge(conditions: Mapping[str, Any], samples: Sequence[Sample], unstable: Sequence[str] = ()) -> dict[str, Any]:
    """Find the reasons not to trust the times of a run, each with its numbers and its limit; empty if there are none.

    `unstable` are variants that still became faster when their warm-up had to end.
    """
    found: dict[str, Any] = {}
    if (load := conditions.get("other_load", 0.0)) > LOAD:
        found["other_load"] = {"mean": load, "most": conditions["other_load_most"], "limit": LOAD}
    total = psutil.virtual_memory().total
    if (free := conditions.get("memory_free_least", total)) < MEMORY * total:
        found["memory_short"] = {"free": free, "total": total, "limit": MEMORY}
    if events := conditions.get("throttle_events"):
        found["throttled"] = {"events": events}
    if (clock := conditions.get("clock_limit", 1.0)) < CLOCK:
        found["clock_limited"] = {"share": clock, "limit": CLOCK}
    if slowed := {reason: share for reason, share in conditions.get("gpu_slowed", {}).items() if share > SLOWED}:
        found["gpu_slowed"] = {**slowed, "limit": SLOWED}
    if (by := drift(samples)) is not None and abs(by) > DRIFT:
        found["drift"] = {"by": round(by, 3), "limit": DRIFT}
    if (wide := spread(samples)) is not None and wide > SPREAD:
        found["spread"] = {"largest": round(wide, 3), "limit": SPREAD}
    if unstable:
        found["warm_up"] = {"variants": list(unstable)}
    return found


def remarks(noise: Mapping[str, Any]) -> Iterator[Remark]:
    """One remark for every reason from `judge`. A file from elsewhere may name other reasons, which are left out."""
    for reason, numbers in noise.items():
        with suppress(LookupError, ValueError, TypeError):
            remark = Remark(f"noise-{reason}", dict(numbers))
            str(remark)
            yield remark


def drift(samples: Iterable[Sample]) -> float | None:
    """The relative difference of the second half of the repeats from the first, without the middle repeat; None if
    there are too few.

    All variants and lengths count together, each divided by its median, because the machine affects all of them.
    """
    of_repeat: dict[int, list[float]] = {}
    for values in _series(samples):
        middle = median(values.values())
        for repeat, value in values.items():
            of_repeat.setdefault(repeat, []).append(value / middle)
    means = [fmean(of_repeat[repeat]) for repeat in sorted(of_repeat)]
    half = len(means) // 2
    return median(means[-half:]) / median(means[:half]) - 1 if half >= 2 else None


def spread(samples: Iterable[Sample]) -> float | None:
    """The largest robust coefficient of variation of equal repeats: 1.4826 × the median distance from the median,
    divided by the median. None if there are too few repeats.
    """
    found = []
    for values in _series(samples):
        if len(values) >= 4:
            middle = median(values.values())
            found.append(1.4826 * median(abs(value - middle) for value in values.values()) / middle)
    return max(found, default=None)


def throttle_events(system: Path | None = None) -> int | None:
    """The number of times that heat throttled the processor since the machine started; None if Linux does not tell."""
    counts = [
        int(text)
        for kind in ("core", "package")
        for text in _read((system or SYSTEM).glob(f"cpu[0-9]*/thermal_throttle/{kind}_throttle_count"))
    ]
    return sum(counts) if counts else None


def clock_limit(system: Path | None = None) -> float | None:
    """The highest clock that the system allows, as a share of the processor's own limit; None if unknown."""
    policies = (system or SYSTEM) / "cpufreq"
    allowed, able = (_read(policies.glob(f"policy*/{name}")) for name in ("scaling_max_freq", "cpuinfo_max_freq"))
    return max(map(int, allowed)) / max(map(int, able)) if allowed and able else None


def gpu_slowed(device: str) -> list[str] | None:
    """The reasons that slow a GPU just now, or one of several cards with commas between; None if nvidia-smi does not
    tell.

    The clocks are read between turns, when the GPU may already be idle, so short slowdowns are missed.
    """
    for name in ("clocks_event_reasons.active", "clocks_throttle_reasons.active"):  # names of new and of old drivers
        with suppress(ValueError):
            masks = [int(query_gpu(name, card), 16) for card in device.split(",")]
            return [reason for bit, reason in GPU_REASONS.items() if any(mask & bit for mask in masks)]
    return None


def _series(samples: Iterable[Sample]) -> Iterable[dict[int, float]]:
    """Values by repeat, one series for each variant, metric and params."""
    found: dict[tuple[str, str, str], dict[int, float]] = {}
    for sample in samples:
        if sample.metric in STEADY and "rate" not in sample.params:  # arrivals scatter by themselves
            found.setdefault(sample.key, {})[sample.repeat] = sample.value
    return found.values()


def _processor_times() -> tuple[float, float, float]:
    """Seconds of work of all processors (including time stolen by other virtual machines), seconds of this process and
    its children, and all seconds.
    """
    times = psutil.cpu_times()
    counted = {
        name: value for name, value in times._asdict().items() if not name.startswith("guest")
    }  # in user time too
    everything = sum(counted.values())
    idle = counted["idle"] + counted.get("iowait", 0.0)
    process = psutil.Process()
    spent = process.cpu_times()
    ours = spent.user + spent.system + getattr(spent, "children_user", 0.0) + getattr(spent, "children_system", 0.0)
    for child in process.children(recursive=True):
        with suppress(psutil.Error):
            used = child.cpu_times()
            ours += used.user + used.system
    return everything - idle, ours, everything


def _read(files: Iterable[Path]) -> list[str]:
    texts = []
    for file in sorted(files):
        with suppress(OSError):
            texts.append(file.read_text(encoding="ascii").strip())
    return texts
