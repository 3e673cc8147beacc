"""The suites: their questions, their counts, and their reports."""

import json
from pathlib import Path
from random import Random

import pytest

import fastglm
from fastglm.cli.commands import main
from fastglm.cli.suites import choose_suites
from fastglm.demo.evaluation.open_ended import evaluate_open, open_questions
from fastglm.demo.evaluation.skills import SPLITS, Question, SkillsReport, evaluate_skills, held_out_questions
from fastglm.demo.skills import LANGUAGES, SKILLS
from fastglm.demo.skills.refusal import ANSWERS
from fastglm.errors import UsageError
from fastglm.evaluate.arithmetic import Arithmetic
from fastglm.evaluate.likelihood import Likelihood

BY_NAME = {skill.name: skill for skill in SKILLS}


def question(skill: str, language: str, answer: str | None) -> Question:
    """A question of a skill, answered; "right" for the right answer."""
    rng = Random(0)
    while (sample := BY_NAME[skill].draw(rng, "new phrasing")).language != language:
        pass
    return Question(BY_NAME[skill], "new phrasing", sample, sample.answer if answer == "right" else answer)


@pytest.fixture
def report() -> SkillsReport:
    questions = [
        question("capitals", "en", "right"),
        question("capitals", "zh", ANSWERS["zh"]),
        question("addition", "en", None),
        question("refusal", "en", "right"),
    ]
    return SkillsReport(questions, Likelihood(2.0, 4), Arithmetic.exact, 1.5)


def test_right_answers_and_false_refusals_are_counted(report: SkillsReport) -> None:
    assert report.accuracy() == 0.5
    assert report.accuracy(skill="capitals") == 0.5
    assert report.accuracy(skill="capitals", language="zh") == 0.0
    assert report.accuracy(skill="addition") == 0.0
    assert report.false_refusals == pytest.approx(1 / 3)  # of the three that the model should know


def test_the_report_as_json(report: SkillsReport) -> None:
    found = json.loads(json.dumps(report.as_json()))
    assert found["skill_accuracy"] == {"value": 0.5, "n": 4}
    assert found["skill"]["capitals"]["language"]["en"] == {"value": 1.0, "n": 1}
    assert found["split"] == {"new phrasing": {"value": 0.5, "n": 4}}
    assert found["perplexity"] == pytest.approx(1.6487, abs=1e-4)
    assert found["arithmetic"] == "exact"
    assert [row["right"] for row in found["answers"]] == [True, False, False, True]
    assert found["answers"][1]["answer"] == ANSWERS["zh"]


def test_the_report_as_text(report: SkillsReport) -> None:
    assert "capitals              50.0% of 2" in report.as_text()
    assert "skill accuracy        50.0% of 4" in report.as_text()
    assert "1.6487 (exact arithmetic)" in report.as_text()


def test_the_questions_are_many_and_of_every_kind() -> None:
    questions = held_out_questions()
    assert len(questions) >= 2000
    assert {q.split for q in questions} == set(SPLITS)
    for skill in SKILLS:
        for language in LANGUAGES:
            mine = [q for q in questions if q.skill is skill and q.sample.language == language]
            assert bool(mine) == (skill.kind != "open"), (skill.name, language)
            assert all(skill.split(q.sample) == q.split for q in mine)


def test_a_model_is_asked_and_counted() -> None:
    questions = held_out_questions(1, [BY_NAME["capitals"], BY_NAME["addition"]])
    found = evaluate_skills(*fastglm.load("demo"), questions)
    assert len(found.questions) == len(questions) == 8
    assert found.likelihood.perplexity > 1
    assert found.seconds > 0


def test_open_answers_are_judged_by_their_form() -> None:
    questions = [q for q in open_questions(1) if q.skill == "poems"]
    found = evaluate_open(*fastglm.load("demo"), questions).as_json()
    figures = found["skill"]["poems"]["zh"]
    assert set(figures) == {"n", "ended", "shortest", "without_repetition", "distinct_4"}
    assert figures["n"] == len([q for q in questions if q.sample.language == "zh"])


def test_unknown_suites_are_refused() -> None:
    assert list(choose_suites("open, skills,open")) == ["open", "skills"]
    with pytest.raises(UsageError, match="no suite 'skill': choose from skills, open"):
        choose_suites("skill")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert main(["evaluate", "--suite", "skills", "--questions", "1", "--json", str(out)]) == 0
    assert "skill accuracy" in capsys.readouterr().out
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (found["model"], found["variant"], found["device"], found["dtype"]) == ("demo", "original", "cpu", "float32")
    assert found["skills"]["skill_accuracy"]["n"] == len(found["skills"]["answers"]) > 90


def test_the_command_scores_in_either_arithmetic(tmp_path: Path) -> None:
    found = {}
    for arithmetic in Arithmetic:
        out = tmp_path / f"{arithmetic}.json"
        options = ["--variant", "int8", "--questions", "1", "--json", str(out), "--arithmetic", arithmetic]
        assert main(["evaluate", *options]) == 0
        found[arithmetic] = json.loads(out.read_text(encoding="utf-8"))["skills"]
        assert found[arithmetic]["arithmetic"] == arithmetic
    exact, decoding = found[Arithmetic.exact], found[Arithmetic.decoding]
    assert exact["perplexity"] != decoding["perplexity"]
    assert [row["answer"] for row in exact["answers"]] == [row["answer"] for row in decoding["answers"]]


def test_the_command_refuses_an_unknown_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--arithmetic", "fuzzy"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no arithmetic 'fuzzy': choose from exact, decoding" in line


def test_the_command_refuses_a_wrong_suite(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--suite", "nonsense"]) == 2
    assert "no suite 'nonsense'" in capsys.readouterr().err


def test_random_weights_are_not_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", "shape:chatglm-6b@1"]) == 2
    assert "random weights" in capsys.readouterr().err


def test_a_folder_that_is_missing_is_told_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--json", str(tmp_path / "missing" / "out.json")]) == 2
    assert "its folder does not exist" in capsys.readouterr().err
