"""Results for people and programs: a table in the terminal, and the JSON file."""

import dataclasses
import json
import os
import secrets
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measurement import Measurement, Params
from benchmarks.runner import Result
from fastglm.errors import FastGLMError, UsageError

HEADER = ("metric", "of", "variant", "value", "95 % interval", "n", "ratio")


def table(measurements: Sequence[Measurement]) -> str:
    """One line a number, a metric's variants below each other, ratios to the baseline beside them."""
    ratios = {
        (row.variant, row.metric.removesuffix("_ratio"), _of(row.params)): row
        for row in measurements
        if row.metric.endswith("_ratio")
    }
    shown = [row for row in measurements if row.metric != "failure" and not row.metric.endswith("_ratio")]
    order = list(dict.fromkeys((row.metric, _of(row.params)) for row in shown))
    shown.sort(key=lambda row: order.index((row.metric, _of(row.params))))
    lines: list[Sequence[str]] = [HEADER]
    previous = ("", "")
    for row in shown:
        group = (row.metric, _of(row.params))
        titles = ("", "") if group == previous else group
        previous = group
        ratio = ratios.get((row.variant, *group))
        beside = f"{_short(ratio.value)} × {ratio.params['baseline']}, {_interval(ratio)}" if ratio else ""
        lines.append((*titles, row.variant, quantity(row.value, row.unit), _interval(row), str(row.n), beside))
    return "\n".join([*_aligned(lines), *(_failure(row) for row in measurements if row.metric == "failure")])


def quantity(value: float, unit: str) -> str:
    """A number with its unit, in the size that reads best."""
    factor, shown = _size(value, unit)
    return f"{_short(value * factor)} {shown}".rstrip()


def _size(value: float, unit: str) -> tuple[float, str]:
    if unit in ("s", "s/token") and value < 1:
        return 1e3, f"m{unit}"
    if unit == "bytes":
        return (1e-9, "GB") if value >= 1e9 else (1e-6, "MB")
    return 1, unit


def check_json(path: Path) -> None:
    """Raise `UsageError` where `path` cannot be written, before hours are spent on what it is to hold."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file for --json")
    try:
        probe = _beside(path)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}): name another file for --json") from error


def write_json(path: Path, result: Result) -> None:
    """Write `{"run", "measurements", "samples"}`; the file is there whole or not at all. Raises `FastGLMError`."""
    data = {
        "run": result.run.as_dict() | {"status": result.status},
        "measurements": [_plain(row) for row in result.measurements],
        "samples": [_plain(sample) for sample in result.samples],
    }
    whole = _beside(path)
    try:
        whole.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        os.replace(whole, path)
    except OSError as error:
        whole.unlink(missing_ok=True)
        raise FastGLMError(f"{path} could not be written ({error.strerror}): make room or name another file") from error


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _plain(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _of(params: Params) -> str:
    """Params in words: `32 in, 64 out, p95`."""
    words = {
        "prompt_tokens": "{} in",
        "answer_tokens": "{} out",
        "quantile": "p{:.0%}",
        "disk_cache": "disk cache {}",
        "during": "{}",
    }
    texts = [words[name].format(params[name]) for name in words if name in params]
    return ", ".join(texts).replace("%", "")


def _interval(row: Measurement) -> str:
    if row.low is None or row.high is None:
        return ""
    factor, unit = _size(row.value, row.unit)
    return f"{_short(row.low * factor)} – {_short(row.high * factor)} {unit}".rstrip()


def _short(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _failure(row: Measurement) -> str:
    return f"{row.variant}: {row.params['suite']} failed: {row.params['error']}"


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(_width(line[column]) for line in lines) for column in range(len(HEADER))]
    padded = [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return [padded[0], "-" * max(map(_width, padded)), *padded[1:]]


def _width(text: str) -> int:
    """Columns of a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
