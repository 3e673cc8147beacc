"""The people that a server has time for, from levels of load that were measured.

A client of a closed loop asks again at once; a person first reads. A person asks a question every so many seconds, but
not before the last answer is read, and so waits for an answer during a share of the time only. With P people who ask at
moments of their own, the number of those who wait is binomial: P draws with this share. If N clients were measured
within the limits, P may grow as long as no more than N wait at 95 % of all moments. Loads that were not measured count
for nothing.

Arrivals at random (a rate) stand for people directly: P people who ask every T seconds are P / T requests a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.serving.figures import Figures, kept_levels
from benchmarks.serving.limits import Limits

SURE = 0.95  # share of all moments at which no more wait than were measured


@dataclass(frozen=True, slots=True)
class Pace:
    """A person who reads `reads` tokens a second and asks every `every` seconds, for answers of `answer` tokens."""

    reads: float
    every: float
    answer: int

    @property
    def cycle(self) -> float:
        """Seconds from one question to the next."""
        return max(self.every, self.answer / self.reads)

    def within(self, limits: Limits) -> Limits:
        """The limits with tokens as fast as they are read."""
        return Limits(limits.ttft, min(limits.tpot, 1 / self.reads))


@dataclass(frozen=True, slots=True)
class People:
    """A number of people, from a number of clients or a rate of arrivals; `is_largest`: no larger one was measured."""

    count: int
    clients: int | None = None
    rate: float | None = None
    is_largest: bool = False


def people(
    clients: Mapping[int, Sequence[Figures]], rates: Mapping[float, Sequence[Figures]], pace: Pace, limits: Limits
) -> People:
    """The most people within the limits, by the level that has room for most; 0 if no level keeps the limits.

    Args:
        clients: figures of every repeat, by number of clients.
        rates: likewise, by requests a second that arrive at random.
    """
    found, limits = [People(0)], pace.within(limits)
    for number in kept_levels(clients, limits):
        waits = [time for each in clients[number] for time in each.get("answer_time", [])]
        if waits:
            share = float(np.mean(waits)) / pace.cycle
            found.append(People(_most(number, share), clients=number, is_largest=number == max(clients)))
    for rate in kept_levels(rates, limits):
        found.append(People(int(rate * pace.cycle), rate=rate, is_largest=rate == max(rates)))
    return max(found, key=lambda each: each.count)


def _most(together: int, share: float) -> int:
    """The largest number of people of whom at most `together` wait at `SURE` of all moments."""
    from scipy.stats import binom  # imported late: takes half a second

    least, most = together, int(together / share) if share < 1 else together
    while least < most:
        middle = (least + most + 1) // 2
        if binom.cdf(together, middle, share) >= SURE:
            least = middle
        else:
            most = middle - 1
    return least
