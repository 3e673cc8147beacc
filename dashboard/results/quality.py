"""What compression did to the answers: accuracies for charts, and the questions whose answers changed."""

import pandas as pd
from scipy.stats import binomtest

from dashboard.results import results

LANGUAGES = {"English": "en", "中文": "zh"}  # of questions, by their names in both
BESIDE = {"texts", "arithmetic"}  # params that tell how a figure came about, and not of what part it is
CHANGES = ("lost", "won", "other")


def of(rows: pd.DataFrame, metric: str, *names: str) -> pd.DataFrame:
    """The rows of a metric that have just the params `names`, each as a column; others than those in `BESIDE`."""
    part = rows[rows["metric"] == metric]
    part = part[pd.Series([params.keys() - BESIDE == set(names) for params in part["params"]], part.index, dtype=bool)]
    return part.assign(**{name: results.param(part, name) for name in names})


def baseline(variants: list[str]) -> str:
    """What the others are compared with."""
    return "original" if "original" in variants else variants[0]


def changed(answers: pd.DataFrame, before: str, variant: str) -> pd.DataFrame:
    """The questions that `variant` answers otherwise than `before`, with both answers.

    `change` is "lost" or "won" where the answer became wrong or right, "other" where both are right, both are wrong,
    or nobody can tell.
    """
    columns = ["number", "labels", "history", "question", "expected"]
    first, second = (answers[answers["variant"] == name] for name in (before, variant))
    both = first.merge(second[["number", "answer", "right"]], on="number", suffixes=("", "_after"))
    ended, then = (
        both[name].fillna("\0").astype(str) for name in ("answer", "answer_after")
    )  # one without an end is one
    both = both[ended != then]
    was, now = both["right"].eq(True), both["right_after"].eq(True)  # None is neither right nor wrong
    known = both["right"].notna()
    both = both.assign(change="other")
    both.loc[known & was & ~now, "change"] = "lost"
    both.loc[known & ~was & now, "change"] = "won"
    return both[[*columns, "change", "answer", "answer_after"]]


def chance(lost: int, won: int) -> float:
    """How often chance alone would part `lost` and `won` at least so far: McNemar's exact test, two-sided.

    McNemar, Psychometrika 1947, 12:153, with the binomial in place of its normal approximation.
    """
    return float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0
