"""The quality page."""

import json
from pathlib import Path
from typing import Any

import pytest
from page_run import Open, healthy, press, words
from stored import recorded

from benchmarks.measure import graded_answer
from benchmarks.measure.graded_answer import Graded
from benchmarks.store.run import Run
from dashboard.jobs import jobs

PAGE = "pages/quality.py"


def measured(labels: dict[str, str] | None = None, lost: int = 8, settings: dict[str, Any] | None = None) -> Run:
    """A run in which int4 loses the first `lost` of 20 questions, and wins the last."""
    run = Run("demo", ("original", "int4"), ("quality",), {"device": "cpu"} | (settings or {}))
    with recorded(run) as record:
        for variant in run.variants:
            answers = []
            for number in range(20):
                right = (number < 19) if variant == "original" else number >= lost
                skill = {"skill": "colours" if number % 2 else "sums", "split": "new operands", "language": "en"}
                said = f"answer {number} {'right' if right else '<b>wrong</b>'}"
                asked = ([("earlier", "yes")] if number == 0 else [], f"question {number}", "e", said)
                is_right = None if labels else right
                answers.append(Graded(variant, number, labels or skill, *asked, is_right, 4, 1.0, 0.1, 3))
            record.grade(variant, answers, graded_answer.rows(answers, run.settings.get("scored", {}).get(variant)))
    return run


def test_lost_and_won_answers_are_shown_side_by_side(open_page: Open) -> None:
    measured()
    app = open_page(PAGE)
    text = words(app)
    assert "**int4** lost 8 and won 1 of 20 questions; 0 answers changed" in text
    assert "in 0.039 of all cases: the difference is real" in text
    assert "Questions that the demo model was not trained on" in text
    assert len(app.get("plotly_chart")) == 5  # accuracy, perplexity, divergence, agreement, skills
    table = app.dataframe[0].value
    assert table["change"].tolist() == ["lost"] * 8 + ["won"]
    assert table.iloc[0][["answer", "answer_after"]].tolist() == ["answer 0 right", "answer 0 <b>wrong</b>"]
    assert table["asked"].iloc[0] == "earlier → yes\nquestion 0"
    assert set(table["skill"]) == {"Colours", "sums"}


def test_the_page_says_in_which_arithmetic_scores_are_and_what_is_a_lower_bound(open_page: Open) -> None:
    measured()
    assert "KL is a lower bound" in words(open_page(PAGE))
    how = {"arithmetic": "exact", "precision": "float32 on cpu"}
    measured(settings={"arithmetic": "exact", "scored": {"original": how, "int4": how}})
    app = open_page(PAGE)
    assert "in exact arithmetic, which shows the weights' error alone (original, int4)" in words(app)
    assert "lower bound" not in words(app)
    assert len(app.get("plotly_chart")) == 5
    assert "exact arithmetic" in set(app.dataframe[-1].value["params"])


def test_figures_are_dots_beside_the_variants_names_on_the_range_of_their_values(open_page: Open) -> None:
    measured()
    figure = json.loads(open_page(PAGE).get("plotly_chart")[0].proto.spec)
    assert [trace["y"] for trace in figure["data"]] == [["original"], ["int4"]]
    low, high = figure["layout"]["xaxis"]["range"]
    assert 0 < low < 0.6 < 0.95 < high <= 1


def test_few_changes_are_no_difference(open_page: Open) -> None:
    measured(lost=3)
    assert "this shows no difference" in words(open_page(PAGE))


def test_skills_can_be_seen_in_one_language(open_page: Open) -> None:
    measured()
    app = open_page(PAGE)
    control = next(control for control in app.segmented_control if control.label == "Questions in")
    assert control.value == "Both languages"
    healthy(control.set_value("English").run())
    assert len(app.get("plotly_chart")) == 5


def test_a_users_own_questions_have_no_right_or_wrong(open_page: Open) -> None:
    measured({"texts": "own.jsonl"}, settings={"texts": "own.jsonl"})
    app = open_page(PAGE)
    text = words(app)
    assert "Questions of own.jsonl" in text
    assert "lost 0 and won 0 of 20 questions; 9 answers changed" in text
    assert "chance" not in text
    assert len(app.get("plotly_chart")) == 3


def test_measuring_is_started_with_what_was_chosen(open_page: Open, commands: list[list[str]]) -> None:
    app = open_page(PAGE)
    next(number for number in app.number_input if number.label == "Questions of each kind").set_value(3)
    press(app, "Measure")
    assert " ".join(commands[0]).endswith("--suite quality --questions 3 --progress json")
    app.file_uploader[0].upload("my ../own.jsonl", b'{"prompt": "a", "answer": "b"}', "application/jsonl")
    press(app, "Measure")
    file = Path(commands[1][commands[1].index("--texts") + 1])
    assert file.read_bytes() == b'{"prompt": "a", "answer": "b"}'
    assert file.parent.parent.name == "texts"


def test_a_broken_file_is_told_by_its_line(open_page: Open, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "start", lambda _: pytest.fail("it must not start"))
    app = open_page(PAGE)
    app.file_uploader[0].upload("own.jsonl", b'{"prompt": "a", "answer": "b"}\nno', "application/jsonl")
    press(app, "Measure")
    assert app.error[0].value.startswith("own.jsonl, line 2 is not JSON")
    assert not list((own_home / "texts").glob("*/*"))
