"""Results for people and programs: a table in the terminal or in Markdown, and the JSON file."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.files import write_data
from benchmarks.measure.measurement import Measurement, Params
from benchmarks.measure.wording import kind, quantity, short, size, words
from benchmarks.report.literal import literal
from benchmarks.run.record import Result

HEADER = ("metric", "of", "variant", "value", "95 % interval", "n", "ratio")


def table(measurements: Sequence[Measurement]) -> str:
    """A table with one line per number, a metric's variants below each other, ratios to the baseline beside them."""
    lines: list[Sequence[str]] = [HEADER]
    previous: tuple[str, ...] = ()
    for row in rows(measurements):
        lines.append(("", "", *row[2:]) if row[:2] == previous else row)
        previous = row[:2]
    return "\n".join([*aligned(lines), *failures(measurements)])


def rows(measurements: Sequence[Measurement]) -> list[tuple[str, ...]]:
    """The cells under `HEADER`, a metric's variants below each other, ratios to the baseline beside them."""
    ratios = {
        (row.variant, row.metric.removesuffix("_ratio"), words(row.params)): row
        for row in measurements
        if row.metric.endswith("_ratio")
    }
    shown = [
        row
        for row in measurements
        if row.metric != "failure"
        and not row.metric.endswith("_ratio")
        and not {"skill", "language"} <= row.params.keys()  # a hundred rows per variant: for charts only
    ]
    order = list(dict.fromkeys((row.metric, kind(row.metric, row.params)) for row in shown))
    shown.sort(key=lambda row: order.index((row.metric, kind(row.metric, row.params))))
    found: list[tuple[str, ...]] = []
    for row in shown:
        group = (row.metric, kind(row.metric, row.params))
        ratio = ratios.get((row.variant, *group))
        beside = f"{short(ratio.value)} × {ratio.params.get('baseline', '?')}, {_interval(ratio)}" if ratio else ""
        found.append((*group, row.variant, quantity(row.value, row.unit), _interval(row), str(row.n), beside))
    return found


def markdown(title: str, facts: Sequence[tuple[str, str]], measurements: Sequence[Measurement]) -> str:
    """A page in GitHub's Markdown: the title, a list of facts, the table; all text is shown literally."""
    lines = [f"# {literal(title)}", "", *(f"- {literal(name)}: {literal(text)}" for name, text in facts), ""]
    lines += ["| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|"]
    lines += ["| " + " | ".join(map(literal, row)) + " |" for row in rows(measurements)]
    lines += ["", *(f"- {literal(text)}" for text in failures(measurements))]
    return "\n".join(lines).rstrip() + "\n"


def failures(measurements: Sequence[Measurement]) -> list[str]:
    """A sentence for every variant that could not be measured."""
    return [
        f"{row.variant}: {row.params.get('suite', '?')}{_part(row.params)} failed: {row.params.get('error', '?')}"
        for row in measurements
        if row.metric == "failure"
    ]


def write_json(path: Path, result: Result, **more: Any) -> None:
    """Write `{"run", "measurements", "samples", "answers"}` and `more`. Raises `FastGLMError`."""
    data = {
        "run": result.run.as_dict() | {"status": result.status},
        "measurements": [_plain(row) for row in result.measurements],
        "samples": [_plain(sample) for sample in result.samples],
        "answers": [_plain(answer) for answer in result.answers],
    }
    write_data(path, data | more)


def _plain(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _part(params: Params) -> str:
    """The failed part, if only a part failed."""
    if "batch" in params:
        return f" of batch {params['batch']} after {params['prompt_tokens']} tokens"
    return "".join(f" of {words({name: params[name]})}" for name in ("clients", "rate") if name in params)


def _interval(row: Measurement) -> str:
    if row.low is None or row.high is None:
        return ""
    factor, unit = size(row.value, row.unit)
    return f"{short(row.low * factor)} – {short(row.high * factor)} {unit}".rstrip()


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Cells as columns of a terminal, however narrow it is; the first line is the heading."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in lines[0]:
        table.add_column(Text(name))
    for line in lines[1:]:
        table.add_row(*map(Text, line))
    console = Console(width=10_000, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]
