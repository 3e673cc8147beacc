"""What a reader must know of a run besides its numbers: facts that let it be repeated, and what weakens it."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.machine import busy_warning
from benchmarks.report import quantity

FEW = 5  # repeats, below which an interval says little
_BYTES = ("memory", "memory_free", "memory_total")

Run = Mapping[str, Any]  # a row of `Store.runs()`


def machine_name(facts: Mapping[str, Any]) -> str:
    """A machine for people: the computer and its device. A file from elsewhere may say anything."""
    device = facts.get("device")
    name = device.get("name") if isinstance(device, Mapping) else None
    return " · ".join(str(part) for part in (facts.get("node"), name or facts.get("cpu")) if part) or "?"


def facts(run: Run) -> list[tuple[str, str]]:
    """Name and text of everything that is known of how the run came about."""
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


def remarks(run: Run) -> Iterator[str]:
    """What makes the figures of the run less sure."""
    if run["status"] != "done":
        yield f"the run is {run['status']}: it may hold less than was asked for"
    if "cpu_busy" in run["machine"] and (warning := busy_warning(run["machine"])):
        yield warning
    if run["settings"].get("arrangement", {}).get("latency") == "blocks":
        yield "the variants were measured in blocks, not in turn: a drift of the machine is not cancelled"
    if isinstance(streamed := run["settings"].get("streamed"), Mapping):
        for variant, made in streamed.items():
            yield f"there was no room for {variant}: its answers were computed layer by layer or elsewhere ({made})"
    repeats = run["settings"].get("repeats")
    if isinstance(repeats, int) and repeats < FEW:
        yield f"{repeats} repeats: intervals from fewer than {FEW} say little"


def _plain(values: Mapping[str, Any]) -> str:
    """Nested settings as one line."""
    return ", ".join(_named(name, value) for name, value in values.items() if value is not None and value != {})


def _named(name: str, value: Any) -> str:
    title = name.replace("_", " ")
    if isinstance(value, Mapping):
        return f"{title} ({_plain(value)})"
    if isinstance(value, list):
        return f"{title} {' '.join(map(str, value))}"
    return f"{title} {quantity(value, 'bytes') if name in _BYTES and isinstance(value, int) else value}"
