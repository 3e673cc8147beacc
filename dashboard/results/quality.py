"""Effects of compression on answers: accuracies for charts, and questions with changed answers."""

import pandas as pd
from scipy.stats import binomtest

from dashboard.results import results

LANGUAGES = {"English": "en", "中文": "zh"}  # columns that identify a question, equal in both tables
BESIDE = {"texts", "arithmetic"}  # params about the conditions of a figure, not about its part
CHANGES = ("lost", "won", "other")


def of(rows: pd.DataFrame, metric: str, *names: str) -> pd.DataFrame:
    """The rows of a metric with exactly the params `names`, each as a column; params in `BESIDE` do not count."""
    part = rows[rows["metric"] == metric]
    part = part[pd.Series([params.keys() - BESIDE == set(names) for params in part["params"]], part.index, dtype=bool)]
    return part.assign(**{name: results.param(part, name) for name in names})


def baseline(variants: list[str]) -> str:
    """The variant that others are compared with."""
    return "original" if "original" in variants else variants[0]


def changed(answers: pd.DataFrame, before: str, variant: str) -> pd.DataFrame:
    """The questions with different answers of `variant` and `before`, with both answers.

    `change` is "lost" or "won" if the answer became wrong or right, "other" if both are right, both are wrong, or no
    rule can tell.
    """
    columns = ["number", "labels", "history", "question", "expected"]
    first, second = (answers[answers["variant"] == name] for name in (before, variant))
    both = first.merge(second[["number", "answer", "right"]], on="number", suffixes=("", "_after"))
    ended, then = (
        both[name].fillna("\0").astype(str) for name in ("answer", "answer_after")
    )  # an answer without an end is a different answer
    both = both[ended != then]
    was, now = both["right"].eq(True), both["right_after"].eq(True)  # None is neither right nor wrong
    known = both["right"].notna()
    both = both.assign(change="other")
    both.loc[known & was & ~now, "change"] = "lost"
    both.loc[known & ~was & now, "change"] = "won"
    return both[[*columns, "change", "answer", "answer_after"]]


def chance(lost: int, won: int) -> float:
    """The probability that chance alone makes `lost` and `won` differ at least this much: McNemar's exact test,
    two-sided.

    McNemar, Psychometrika 1947, 12:153, with the binomial in place of its normal approximation.
    """
    return float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0
