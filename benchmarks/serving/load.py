"""The load that a server is measured under: levels of clients or arrivals, prompts, and limits."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from benchmarks.serving.limits import Limits
from benchmarks.serving.mix import Mix
from fastglm.errors import UsageError

MOST_CLIENTS = 1024
RATES = (0.001, 10_000)  # requests a second


@dataclass(frozen=True, slots=True)
class Level:
    """A number of clients who ask one request after another, or a rate of arrivals per second."""

    kind: Literal["clients", "rate"]
    size: float

    @property
    def params(self) -> dict[str, float]:
        """The level as a param of its figures."""
        return {self.kind: int(self.size) if self.size == int(self.size) else self.size}

    def __str__(self) -> str:
        return f"clients {self.size:g}" if self.kind == "clients" else f"{self.size:g} requests/s"

    def arrivals(self, seed: str) -> Iterator[float]:
        """Seconds from one arrival of a Poisson process to the next."""
        draw = random.Random(seed)
        return (draw.expovariate(self.size) for _ in count())


@dataclass(frozen=True, slots=True)
class Load:
    """Numbers of clients, rates of arrivals, the mix of prompts, and the limits of goodput."""

    clients: tuple[int, ...] = (1, 2, 4, 8, 16)
    rates: tuple[float, ...] = ()
    mix: Mix = field(default_factory=Mix)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.levels:
            raise UsageError("there is no load to measure: give --clients or --rates")
        if any(not 1 <= number <= MOST_CLIENTS for number in self.clients) or _twice(self.clients):
            raise UsageError(f"--clients are different numbers, 1 to {MOST_CLIENTS}, such as 1,2,4,8,16")
        if any(not RATES[0] <= rate <= RATES[1] for rate in self.rates) or _twice(self.rates):
            raise UsageError(f"--rates are different numbers of requests a second, {RATES[0]} to {RATES[1]:,}")

    @classmethod
    def read(cls, clients: str, rates: str, prompts: str, slo: str) -> "Load":
        """Read a load from command-line texts; an empty one of clients or rates means none. Raises `UsageError`."""
        return cls(
            tuple(int(_number(part, "--clients", whole=True)) for part in _parts(clients)),
            tuple(_number(part, "--rates") for part in _parts(rates)),
            Mix.read(prompts),
            Limits.read(slo),
        )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Load":
        """Read a load from the settings of a run; one from before there were loads gets the default."""
        if "slo" not in settings:
            return cls()
        mix, limits = Mix.read(settings["prompts"]), Limits.read(settings["slo"])
        return cls(tuple(settings["clients"]), tuple(settings["rates"]), mix, limits)

    def as_dict(self) -> dict[str, object]:
        """Plain data for the settings of a run."""
        return {
            "clients": list(self.clients),
            "rates": list(self.rates),
            "prompts": str(self.mix),
            "slo": str(self.limits),
        }

    @property
    def levels(self) -> list[Level]:
        """All levels, in the order of their sizes."""
        return [Level("clients", number) for number in sorted(self.clients)] + [
            Level("rate", rate) for rate in sorted(self.rates)
        ]


def _parts(text: str) -> list[str]:
    return text.split(",") if text.strip() else []


def _twice(numbers: tuple[float, ...]) -> bool:
    return len(set(numbers)) < len(numbers)


def _number(text: str, option: str, whole: bool = False) -> float:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        kind = "whole numbers" if whole else "numbers"
        raise UsageError(f"{option} wants {kind} with commas between, not {text!r}") from None
