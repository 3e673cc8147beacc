"""Facts about a run for its readers: conditions to repeat it under, and remarks that weaken it."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.environment.machine import BUSY
from benchmarks.measure import noise, stopping
from benchmarks.measure.caveat import Remark
from benchmarks.measure.wording import quantity

FEW = 5  # repeats; an interval from fewer says little
_UNITS = dict.fromkeys(("memory", "memory_free", "memory_free_least", "memory_total", "weights"), "bytes")
_UNITS |= {"bandwidth": "bytes/s"}

Run = Mapping[str, Any]  # a row of `Store.runs()`


def machine_name(facts: Mapping[str, Any]) -> str:
    """A machine's name for people: the computer and its device. The facts may come from a stranger's file."""
    device = facts.get("device")
    name = device.get("name") if isinstance(device, Mapping) else None
    return " · ".join(str(part) for part in (facts.get("node"), name or facts.get("cpu")) if part) or "?"


def facts(run: Run) -> list[tuple[str, str]]:
    """Name and text of every known condition of a run."""
    finished = f" – {run['finished']:%H:%M}" if run["finished"] == run["finished"] and run["finished"] else ""
    found = [
        ("run", run["id"]),
        ("model", run["model"]),
        ("when", f"{run['started']:%Y-%m-%d %H:%M}{finished} UTC"),
        ("status", run["status"] + (f": {run['error']}" if isinstance(run["error"], str) else "")),
        ("variants", ", ".join(run["variants"])),
        ("suites", ", ".join(run["suites"])),
        ("settings", _plain(run["settings"])),
        ("machine", _plain(run["machine"])),
        ("versions", _plain(run["versions"])),
        ("code", run["code_version"]),
        ("command", run["command"]),
    ]
    return [(name, str(text)) for name, text in found]


def remarks(run: Run) -> Iterator[Remark]:
    """Remarks that make the figures of a run less certain."""
    machine, settings = run["machine"], run["settings"]
    if run["status"] != "done":
        yield Remark("status", {"status": run["status"]})
    if machine.get("cpu_busy", 0.0) > BUSY:
        yield Remark("busy", {"share": machine["cpu_busy"]})
    if settings.get("arrangement", {}).get("latency") == "blocks":
        yield Remark("blocks")
    for variant, made in settings.get("streamed", {}).items():
        yield Remark("streamed", {"variant": variant, "made": made})
    if settings.get("endpoint"):
        yield Remark("endpoint")
    for variant, known in settings.get("served", {}).items():
        if not known.get("usage", True):
            yield Remark("chunks", {"variant": variant})
        if not known.get("full_length", True):
            yield Remark("early-ends", {"variant": variant})
    yield from scored(run)
    yield from noise.remarks(settings.get("noise", {}))
    yield from stopping.remarks(settings)
    if settings.get("repeats", FEW) < FEW:
        yield Remark("few", {"repeats": settings["repeats"], "enough": FEW})


def scored(run: Run) -> Iterator[Remark]:
    """A remark about the arithmetic that answers were scored in. Runs of earlier versions do not record it; their KL is
    a lower bound.
    """
    settings = run["settings"]
    if "quality" in run["suites"] and settings and "arithmetic" not in settings:
        yield Remark("lower-bound")
    found = settings.get("scored", {}).items()
    for arithmetic in ("exact", "decoding"):
        if variants := [name for name, how in found if how.get("arithmetic") == arithmetic]:
            yield Remark(arithmetic, {"variants": ", ".join(variants)})


def _plain(values: Mapping[str, Any], unit: str = "") -> str:
    """Nested settings as one line."""
    return ", ".join(_named(name, value, unit) for name, value in values.items() if value is not None and value != {})


def _named(name: str, value: Any, unit: str) -> str:
    title, unit = name.replace("_", " "), _UNITS.get(name, unit)
    if isinstance(value, Mapping):
        return f"{title} ({_plain(value, unit)})"
    if isinstance(value, list):
        return f"{title} {' '.join(map(str, value))}"
    return f"{title} {quantity(value, unit) if unit and isinstance(value, int) else value}"
