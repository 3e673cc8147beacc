"""A file of figures measured on one machine, written by `--json` of the claim and peer commands.

{"format": "fastglm-figures", "version": 1, "machine": {…}, "rows": [{"name": …, "figures": [{"value": …, …}], …}]}.
A row that is measured again replaces the old one; each row records time, code version and conditions. A figure has
`least` or `most` if a bound is claimed, and meets the claim if it lies within.
Runs of the results store have their own format: `benchmarks.exchange.formats`.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.environment.machine import code_version, command, threads, versions
from benchmarks.files import write_data
from benchmarks.measure.bounds import ClaimedFigure
from fastglm.errors import FastGLMError, UsageError

FORMAT, VERSION = "fastglm-figures", 1
SAME = ("cpu", "simd", "gpu")  # facts that two files of one machine share
DROPPED: tuple[object, ...] = (None, "", {})  # this is not written


class ResultError(FastGLMError):
    """A file of figures that cannot be read."""


@dataclass(frozen=True, slots=True)
class Row:
    """Figures that were measured together, with their conditions. Without figures, `note` gives the reason."""

    name: str
    figures: Sequence[ClaimedFigure]
    promised: str = ""
    note: str = ""
    date: str = ""  # ISO 8601, with the time of day if known
    command: str = ""
    code_version: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None  # logical processors that it could use
    cpu_busy: float | None = None  # share of the processors that other programs used before it

    def __post_init__(self) -> None:
        texts = (
            self.name,
            self.promised,
            self.note,
            self.date,
            self.command,
            self.code_version,
            *self.versions.values(),
        )
        if not self.name or not all(isinstance(text, str) for text in texts):
            raise ValueError("a row needs a name, and texts that say how it was measured")
        if self.date:
            datetime.fromisoformat(self.date)

    @classmethod
    def now(
        cls,
        name: str,
        figures: Sequence[ClaimedFigure],
        promised: str = "",
        cpu_busy: float | None = None,
        note: str = "",
    ) -> "Row":
        """A row of figures that this process has just measured."""
        date = datetime.now(UTC).isoformat(timespec="minutes")
        return cls(name, figures, promised, note, date, command(), code_version(), versions(), threads(), cpu_busy)


@dataclass(slots=True)
class ResultFile:
    """Rows by name, in the order they were first measured."""

    path: Path
    machine: dict[str, Any]
    rows: dict[str, Row] = field(default_factory=dict)
    model: str = ""  # the model of all rows, if it is one

    @classmethod
    def open(cls, path: Path, facts: Mapping[str, Any]) -> "ResultFile":
        """Open the figures of this machine, whose `facts` come from `benchmarks.environment.machine.machine`; empty if
        there is no file yet.

        Raises:
            ResultError: a broken file.
            UsageError: a file of another machine.
        """
        here = described(facts)
        if not path.exists():
            return cls(path, here)
        there = cls.of(path, read(path))
        if other := [name for name in SAME if _of(there.machine, name) != _of(here, name)]:
            found = ", ".join(f"{name} {_of(there.machine, name)}" for name in other)
            raise UsageError(f"{path} is of another machine ({found}): name another file for --json")
        return cls(path, here, there.rows)

    @classmethod
    def of(cls, path: Path, data: Any) -> "ResultFile":
        """Make a ResultFile from the data of `read`. Raises `ResultError` with the place of the fault."""
        if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != VERSION:
            raise ResultError(
                f"{path} is not a file of figures: it does not say the format {FORMAT}, version {VERSION}"
            )
        if not isinstance(data.get("machine"), dict) or not data.get("rows"):
            raise ResultError(f"{path} lacks its machine or its rows: measure it again, or bring it back")
        found = cls(path, data["machine"])
        for number, plain in enumerate(data["rows"], 1):
            try:
                row = Row(**{**plain, "figures": [ClaimedFigure(**figure) for figure in plain["figures"]]})
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ResultError(f"{path}, row {number} is broken: {' '.join(str(error).split())}") from error
            if row.name in found.rows:
                raise ResultError(f"{path}, row {number}: {row.name} is there twice")
            found.rows[row.name] = row
        return found

    def put(self, row: Row) -> None:
        """Write the file with `row`, in place of an older row of the same name. Raises `FastGLMError`."""
        self.rows[row.name] = row
        rows = [_plain(row) | {"figures": [_plain(figure) for figure in row.figures]} for row in self.rows.values()]
        write_data(self.path, {"format": FORMAT, "version": VERSION, "machine": self.machine, "rows": rows})


def read(path: Path) -> Any:
    """Read the JSON of a file. Raises `ResultError`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultError(f"{path} cannot be read ({error.strerror}): measure it, or bring it back") from error
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path} is broken ({error}): measure it again, or bring it back") from error


def described(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts about a machine that readers of figures need; its name is not among them."""
    card = facts.get("device") or {}
    known = {name: facts.get(name) for name in ("cpu", "cores", "memory", "os", "power")}
    known |= {"simd": card.get("simd")} if card.get("kind") == "cpu" else {"gpu": card}
    return {name: value for name, value in known.items() if value not in DROPPED}


def _of(machine: Mapping[str, Any], name: str) -> str:
    found = machine.get(name, "")
    return str(found.get("name", "") if isinstance(found, Mapping) else found)


def _plain(record: Row | ClaimedFigure) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(record).items() if value not in DROPPED}
