"""Changed answers, and whether chance explains them."""

import pandas as pd
import pytest

from dashboard.results import quality, trend


def answers() -> pd.DataFrame:
    given = {
        "original": [("a", True), ("b", True), ("c", False), ("d", True), (None, False), ("f", None)],
        "int4": [("a", True), ("x", False), ("y", True), ("D", True), ("z", False), ("g", None)],
    }
    return pd.DataFrame(
        {"variant": variant, "number": number, "labels": {}, "history": [], "question": "?", "expected": "!"}
        | {"answer": answer, "right": right}
        for variant, found in given.items()
        for number, (answer, right) in enumerate(found)
    ).astype({"answer": object, "right": object})


def test_a_changed_answer_is_lost_won_or_neither() -> None:
    table = quality.changed(answers(), "original", "int4").set_index("number")
    assert table["change"].to_dict() == {1: "lost", 2: "won", 3: "other", 4: "other", 5: "other"}
    assert (table["answer"][2], table["answer_after"][2]) == ("c", "y")


def test_nothing_changed() -> None:
    assert quality.changed(answers(), "original", "original").empty


@pytest.mark.parametrize(("lost", "won", "p"), [(0, 0, 1.0), (5, 0, 0.0625), (8, 1, 20 / 512), (7, 7, 1.0)])
def test_the_probability_that_chance_parts_lost_and_won(lost: int, won: int, p: float) -> None:
    assert quality.chance(lost, won) == pytest.approx(p)
    assert quality.chance(won, lost) == pytest.approx(p)


def test_rows_are_chosen_by_just_their_params() -> None:
    params = [{}, {"skill": "colours"}, {"skill": "colours", "language": "en"}, {"texts": "own.jsonl"}]
    rows = pd.DataFrame({"metric": "skill_accuracy", "params": params, "value": range(4)})
    assert quality.of(rows, "skill_accuracy")["value"].tolist() == [0, 3]
    by_skill = quality.of(rows, "skill_accuracy", "skill")
    assert (by_skill["value"].tolist(), by_skill["skill"].tolist()) == ([1], ["colours"])
    assert quality.of(rows, "perplexity").empty


def test_figures_of_tails_and_other_vocabularies_are_set_apart() -> None:
    how = {"arithmetic": "exact"}
    params = [how, {**how, "texts": "own.jsonl"}, {**how, "quantile": 0.99}, {**how, "vocabulary": 9000}]
    rows = pd.DataFrame({"metric": "kl_divergence", "params": params, "value": range(4)})
    assert quality.of(rows, "kl_divergence")["value"].tolist() == [0, 1]


def test_the_trend_keeps_lower_bounds_apart() -> None:
    kinds = [trend._kind("kl_divergence", params) for params in ({}, {"arithmetic": "exact"})]
    assert kinds == ["lower bound", "exact arithmetic"]
    assert trend._kind("perplexity", {}) == trend.ALL
