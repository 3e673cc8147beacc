"""A run in a file, checked field by field, so that nothing absurd gets into a store.

A file holds the rows of the store's tables: their columns are its fields (`benchmarks.store.schema`).
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    create_model,
)
from sqlalchemy import Column, Table

from benchmarks.environment import run_facts
from benchmarks.measure.measurement import METRICS, params_text
from benchmarks.store.run import Status
from benchmarks.store.schema import ANSWERS, MEASUREMENTS, RUNS, SAMPLES
from fastglm.errors import FastGLMError

FORMAT, VERSION = "fastglm-results", 2  # 2: with answers
NEVER_NEGATIVE = {metric.unit for metric in METRICS.values() if metric.unit} | {"J/token"}
INTEGER = 2**31 - 1  # the largest integer of PostgreSQL
LARGEST = 1e100  # the largest value that charts and units can show
OWN = ("id", "run")  # columns about the place of a row in the store, not about its content
YEARS = (2000, 2100)
MOST_ROWS = 200_000  # rows of each kind in a run
MOST_SHOWN = 100_000  # letters of a run's facts
MOST_NAMES = 100  # variants or suites of a run


class ExchangeError(FastGLMError):
    """A file of results that cannot be written or read."""


def _clean(text: str) -> str:
    if "\0" in text:
        raise ValueError("has a character 0, which no database keeps")
    return text


def _json(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("has a number that is not finite") from None
    _clean(text.replace("\\u0000", "\0"))
    return value


def _params(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for name, part in value.items():
        if not isinstance(part, str | int | float):
            raise ValueError(f"{name} is neither a number nor a text")
    if len(params_text(value)) > 500:  # type: ignore[arg-type]
        raise ValueError("is longer than 500 characters")
    return value


def _in_time(time: datetime) -> datetime:
    if not YEARS[0] <= time.year < YEARS[1]:
        raise ValueError(f"is not from {YEARS[0]} to {YEARS[1]}")
    return time.astimezone(UTC)


T = TypeVar("T")
Text = Annotated[str, AfterValidator(_clean)]
Name = Annotated[Text, Field(min_length=1, max_length=100)]
Data = Annotated[dict[str, JsonValue], AfterValidator(_json)]
Params = Annotated[Data, AfterValidator(_params)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Positive = Annotated[float, Field(allow_inf_nan=False, ge=0, le=LARGEST)]
Count = Annotated[int, Field(ge=0, le=INTEGER)]
Counts = Annotated[list[Count], FailFast()]
Count64 = Annotated[int, Field(ge=0, le=2**63 - 1)]
Time = Annotated[AwareDatetime, Field(strict=False), AfterValidator(_in_time)]
Rows = Annotated[list[T], FailFast(), Field(max_length=MOST_ROWS)]  # one error suffices
Names = Annotated[list[Name], FailFast(), Field(max_length=MOST_NAMES)]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Known(BaseModel):
    """The fields that this program reads from data that may hold others; missing fields are not relied on."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Device(_Known):
    name: Text = ""
    memory_total: Positive | None = None
    bandwidth: Positive | None = None
    cores: Count | None = None
    threads: Count | None = None


class _Machine(_Known):
    node: Text = ""
    cpu: Text = ""
    threads: Count | None = None
    cpu_busy: Annotated[float, Field(ge=0, le=1)] | None = None
    device: _Device = _Device()


class _Ended(_Known):
    by: Text
    repeats: Count


class _Scored(_Known):
    arithmetic: Text = ""
    precision: Text = ""
    vocabulary: Count | None = None


class _Settings(_Known):
    device: Text = ""
    arithmetic: Text = ""
    threads: Count | None = None
    prompt_tokens: Counts = []
    answer_tokens: Count | None = None
    repeats: Count | None = None
    questions: Count | None = None
    texts: Text | None = None
    arrangement: dict[str, str] = {}
    processes: dict[str, str] = {}
    streamed: dict[str, str] = {}
    weights: dict[str, Count64] = {}
    precision: Positive | None = None
    budget: Positive | None = None
    batches: Counts = []
    clients: Counts = []
    rates: Annotated[list[Positive], FailFast()] = []
    prompts: Text = ""
    slo: Text = ""
    endpoint: Text = ""
    served: dict[str, dict[str, JsonValue]] = {}
    noise: dict[str, dict[str, JsonValue]] = {}
    ended: dict[str, _Ended] = {}
    scored: dict[str, _Scored] = {}


def _known(kind: type[_Known]) -> Callable[[dict[str, JsonValue]], dict[str, JsonValue]]:
    """A validator of the fields of `kind`; the data stay unchanged."""

    def check(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        try:
            kind.model_validate(value)
        except ValidationError as error:
            raise ValueError(_first(error)) from None
        return value

    return check


# Fields whose values are limited by more than the type and length of their column; a name means the same everywhere.
FIELDS: dict[str, Any] = {
    "id": Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,39}$")],
    "started": Time,
    "finished": Time,
    "status": Status,
    "variants": Names,
    "suites": Names,
    "settings": Annotated[Data, AfterValidator(_known(_Settings))],
    "machine": Annotated[Data, AfterValidator(_known(_Machine))],
    "versions": Annotated[dict[str, str], AfterValidator(_json)],
    "variant": Name,
    "metric": Annotated[Text, Field(min_length=1, max_length=60)],
    "params": Params,
    "values": Annotated[list[Number], FailFast()],
    "labels": Annotated[dict[Name, Text], Field(max_length=20)],
    "history": Annotated[list[Annotated[list[Text], Field(min_length=2, max_length=2)]], FailFast()],
    "nats": Positive,
    "kl": Positive,
}
# Fields that a file may lack: files of version 1 have no answers, those of `run --json` neither samples nor all facts.
DEFAULTS: dict[str, Any] = {"error": None, "command": "", "variants": [], "settings": {}, "versions": {}, "pid": 0}
DEFAULTS |= {"samples": [], "answers": []}


def _record(table: Table, check: Callable[[Any], None], left_out: Collection[str], **more: Any) -> Any:
    """The type of a row of `table` in a file: its columns except those `left_out`, and `more`."""
    kinds = {column.name: _kind(column) for column in table.columns if column.name not in left_out} | more
    fields: Any = {name: (kind, DEFAULTS.get(name, ...)) for name, kind in kinds.items()}

    def checked(row: Any) -> Any:
        check(row)
        return row

    return Annotated[create_model(table.name, __base__=_Record, **fields), AfterValidator(checked)]


def _kind(column: Column[Any]) -> Any:
    """The values of a column that a file may hold."""
    length = getattr(column.type, "length", None)
    by_type = {
        int: Count,
        float: Number,
        bool: bool,
        str: Annotated[str, Field(max_length=length), AfterValidator(_clean)],
    }
    kind: Any = FIELDS.get(column.name) or by_type[column.type.python_type]
    return kind | None if column.nullable else kind


def _check_measurement(row: Any) -> None:
    numbers = [number for number in (row.low, row.value, row.high) if number is not None]
    if min(numbers) < 0 and (row.metric in METRICS or row.unit in NEVER_NEGATIVE):
        raise ValueError(f"{row.metric} is negative ({min(numbers):g} {row.unit})")
    if row.low is not None and row.high is not None and row.low > row.high:
        raise ValueError(f"low ({row.low:g}) is above high ({row.high:g})")


def _check_sample(row: Any) -> None:
    if row.metric in METRICS and min(row.values, default=0) < 0:
        raise ValueError(f"{row.metric} is negative ({min(row.values):g})")


def _check_run(run: Any) -> None:
    if run.finished is not None and run.finished < run.started:
        raise ValueError("it finished before it started")
    rows = Counter((row.variant, row.metric, params_text(row.params)) for row in run.measurements)
    repeats = Counter((row.variant, row.metric, params_text(row.params), row.repeat) for row in run.samples)
    answers = Counter((row.variant, "answer", row.number) for row in run.answers)
    for key, times in (rows | repeats | answers).items():
        if times > 1:
            raise ValueError(f"{' '.join(map(str, key))} is there {times} times")


RUN: TypeAdapter[Any] = TypeAdapter(
    _record(
        RUNS,
        _check_run,
        ["deleted"],
        measurements=Rows[_record(MEASUREMENTS, _check_measurement, OWN)],  # type: ignore[misc]
        samples=Rows[_record(SAMPLES, _check_sample, OWN)],  # type: ignore[misc]
        answers=Rows[_record(ANSWERS, lambda row: None, OWN)],  # type: ignore[misc]
    )
)


def checked(data: object) -> dict[str, Any]:
    """Validate `data` as a run with its rows. Raises `ExchangeError` with the field and its fault, in one line."""
    try:
        run: dict[str, Any] = RUN.validate_python(data).model_dump()
    except ValidationError as error:
        raise ExchangeError(_first(error)) from error
    _check_shown(run)
    return run


def _check_shown(run: Mapping[str, Any]) -> None:
    """Refuse facts that no page could draw."""
    try:
        shown = [*run_facts.facts(run), *map(str, run_facts.remarks(run)), run_facts.machine_name(run["machine"])]
    except Exception as error:
        raise ExchangeError(f"its settings or machine cannot be shown ({type(error).__name__}: {error})") from error
    if sum(len(text) for part in shown for text in part) > MOST_SHOWN:
        raise ExchangeError("its settings or machine are too long to be shown")


def _first(error: ValidationError) -> str:
    """Place and text of the first fault, in one line."""
    first: Any = error.errors(include_url=False)[0]
    where = " ".join(f"{part + 1}" if isinstance(part, int) else str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    given = first["input"]
    shown = f" (it is {str(given)[:40]})" if isinstance(given, str | int | float) else ""
    return " ".join(f"{where[:200]}: {said[:200]}{shown}".removeprefix(": ").split())
