"""Limits that an answer should keep: time to the first token, and time per token."""

import re
from dataclasses import dataclass

from benchmarks.serving.asked import Asked
from fastglm.errors import UsageError

UNITS = {"ms": 1e-3, "s": 1.0}


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest time to the first token and the largest mean time per token, in seconds; infinite: no limit."""

    ttft: float = 1.0
    tpot: float = 0.1

    @classmethod
    def read(cls, text: str) -> "Limits":
        """Read a text such as `ttft=1s,tpot=100ms`; a limit that is left out does not hold. Raises `UsageError`."""
        found: dict[str, float] = {}
        for part in text.split(","):
            name, _, time = (piece.strip() for piece in part.partition("="))
            number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s)", time)
            if name not in ("ttft", "tpot") or name in found or not number or not float(number[1]):
                raise UsageError(f"--slo wants limits such as ttft=1s,tpot=100ms, each above 0 and once, not {text!r}")
            found[name] = float(number[1]) * UNITS[number[2]]
        return cls(**{"ttft": float("inf"), "tpot": float("inf"), **found})

    def __str__(self) -> str:
        given = {"ttft": self.ttft, "tpot": self.tpot}.items()
        return ",".join(f"{name}={_time(limit)}" for name, limit in given if limit < float("inf"))

    def kept(self, asked: Asked) -> bool:
        """Tell whether a whole answer kept the limits; the time per token of a single token is none."""
        return asked.error is None and asked.ttft <= self.ttft and (asked.time_per_token or 0.0) <= self.tpot


def _time(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1 else f"{1000 * seconds:g}ms"
