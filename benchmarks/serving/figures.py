"""Figures of a load from the recorded times of its requests."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import TypeVar

import numpy as np

from benchmarks.serving.asked import Asked
from benchmarks.serving.limits import Limits

Size = TypeVar("Size", int, float)  # of a level: clients, or requests a second
Figures = dict[str, list[float]]  # values by metric: of each request, or one of the whole window
ERRORS = 0.05  # largest share of failed requests that leaves a 95th percentile
LATE = 0.05  # largest lag of the client's own event loop, as a share of the time to the first token


def figures(asked: Iterable[Asked], start: float, end: float, limits: Limits) -> Figures:
    """Figures of a window from `start` to `end`.

    Times are those of the requests that began in the window, whenever they ended; rates count the answers that ended,
    and the tokens that arrived, in the window. Failed requests count as errors, and in no time and no rate.
    """
    everything = list(asked)
    begun = [each for each in everything if start <= each.due <= end]
    whole = [each for each in everything if each.error is None]
    answered = [each for each in begun if each.error is None]
    ended = [each for each in whole if start < each.ended <= end]
    seconds = end - start
    return {
        "throughput": [sum(each.tokens_between(start, end) for each in whole) / seconds],
        "request_rate": [len(ended) / seconds],
        "goodput": [sum(map(limits.kept, ended)) / seconds],
        "error_share": [(len(begun) - len(answered)) / len(begun)] if begun else [],
        "ttft": [each.ttft for each in answered],
        "time_per_token": [time for each in answered if (time := each.time_per_token) is not None],
        "answer_time": [each.answer_time for each in answered],
    }


def most_clients(levels: Mapping[int, Sequence[Figures]], limits: Limits) -> int:
    """The largest number of clients whose 95th percentiles keep the limits, as do those of all smaller numbers; 0 if
    there is none. More than 5 % of errors keep no limit.

    Args:
        levels: figures of every repeat, by number of clients.
    """
    return max(kept_levels(levels, limits), default=0)


def kept_levels(levels: Mapping[Size, Sequence[Figures]], limits: Limits) -> list[Size]:
    """The levels that keep the limits, smallest first, up to the first one that does not."""
    return list(takewhile(lambda size: keeps(levels[size], limits), sorted(levels)))


def keeps(repeats: Sequence[Figures], limits: Limits) -> bool:
    """Tell whether a level's 95th percentiles keep the limits, with at most 5 % of errors."""
    ttft, times, errors = (
        [value for each in repeats for value in each.get(name, [])]
        for name in ("ttft", "time_per_token", "error_share")
    )
    if not ttft or np.mean(errors) > ERRORS:
        return False
    return bool(np.quantile(ttft, 0.95) <= limits.ttft and np.quantile(times or [0.0], 0.95) <= limits.tpot)


def share_kept(repeat: Figures, limits: Limits) -> float | None:
    """The share of a window's answers within the limits. None without answers, and if the two times of an answer cannot
    be told from those of another one: some had a single token, and so no time per token.
    """
    ttft, times = repeat["ttft"], repeat.get("time_per_token", [])
    if not ttft or len(ttft) != len(times):
        return None
    kept = [first <= limits.ttft and each <= limits.tpot for first, each in zip(ttft, times, strict=True)]
    return sum(kept) / len(kept)


def lateness(lags: Sequence[float], ttft: Sequence[float]) -> float | None:
    """The 99th percentile of the event loop's lags over the median time to the first token, if it is above `LATE`: then
    the client itself was too slow to measure so.
    """
    if not lags or not ttft:
        return None
    share = float(np.quantile(lags, 0.99) / np.median(ttft))
    return share if share > LATE else None
