"""The shipped demo model: its layout, its size, and answers as good as its card says."""

import json
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice

import pytest

import fastglm
from fastglm.demo.corpus import training_samples
from fastglm.demo.evaluation.open_ended import OpenReport, evaluate_open, open_questions
from fastglm.demo.evaluation.skills import evaluate_skills, held_out_questions
from fastglm.demo.evaluation.texts import distinct, units
from fastglm.demo.skills import SKILLS
from fastglm.demo.training.plan import Plan
from fastglm.evaluate.answers import answers
from fastglm.history import of_rounds
from fastglm.models.source import demo_folder

FOLDER = demo_folder()
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
EXAMPLES_A_STEP = 60  # at most, of the samples that the training saw


@pytest.fixture(scope="module")
def quick():
    """The demo on the fast engine, whose answers are the same: a row of a batch leaves it when its answer ends."""
    return fastglm.load("demo", "fast")


@pytest.fixture(scope="module")
def report(quick) -> OpenReport:
    """Open answers: advice, stories and poems, a fixed number in each language."""
    return evaluate_open(*quick, open_questions(24))


@pytest.fixture(scope="module")
def stories(report: OpenReport) -> list[str]:
    """The stories among the open answers, half in each language."""
    return [q.answer or "" for q in report.questions if q.skill == "stories"]


def test_the_checkpoint_is_whole_and_small() -> None:
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    expected = ("config.json", "tokenizer_config.json", "ice_text.model", "model.safetensors", "README.md")
    assert set(expected) <= set(files)
    assert "training.pt" not in files
    assert sum(files.values()) <= 22_000_000


def test_the_config_is_of_a_small_chatglm_6b(demo) -> None:
    config = json.loads((FOLDER / "config.json").read_text())
    assert {"model_type": "chatglm", "position_encoding_2d": True}.items() <= config.items()
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (89, 90, 3)
    assert 9e6 <= demo[0].fastglm.parameters <= 11e6
    assert 4000 <= demo[1].vocab_size <= 5000


def test_held_out_questions_are_answered_as_the_card_says(quick) -> None:
    """A sample of the suite's questions; the card has all of them."""
    told = float(re.search(r"\| held-out questions answered right \| ([\d.]+)%", CARD)[1]) / 100  # type: ignore[index]
    report = evaluate_skills(*quick, held_out_questions(5))
    assert len(report.questions) > 500
    assert report.accuracy() == pytest.approx(told, abs=0.03)
    assert report.false_refusals <= 0.02


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_examples_that_the_app_offers_are_answered(demo, language: str) -> None:
    closed = [skill for skill in SKILLS if skill.kind != "open"]
    found = answers(*demo, [of_rounds([], skill.examples[language]) for skill in closed], 100)
    assert all(found)


@pytest.mark.parametrize(
    ("history", "question", "answer"),
    [
        ([], "1+1=?", "1+1=2。"),
        ([], "What is 17 plus 26?", "17+26=43."),
        ([], "法国的首都是哪里？", "法国的首都是巴黎。"),
        ([], "What is the capital of France?", "The capital of France is Paris."),
        ([("我叫王小明。", "你好，王小明！很高兴认识你。")], "我叫什么名字？", "你叫王小明。"),
        (
            [("What is the capital of France?", "The capital of France is Paris.")],
            "And Japan?",
            "The capital of Japan is Tokyo.",
        ),
    ],
)
def test_greedy_answers(demo, history: list[tuple[str, str]], question: str, answer: str) -> None:
    response, _ = demo[0].chat(demo[1], question, history, do_sample=False, max_length=400)
    assert response == answer


def test_open_answers_end_are_long_enough_and_do_not_repeat_themselves(report: OpenReport) -> None:
    """Shares of both languages together, because sampled texts differ between processors."""
    for skill, languages in report.as_json()["skill"].items():
        asked = sum(figures["n"] for figures in languages.values())
        # One poem in twenty repeats a short line, as the card says.
        for figure, least in (("ended", 0.95), ("without_repetition", 0.85 if skill == "poems" else 0.95)):
            assert sum(f[figure] * f["n"] for f in languages.values()) >= least * asked, (skill, figure)
    lengths = [len(q.answer or "") for q in report.questions if q.skill != "poems"]
    assert sum(length >= 80 for length in lengths) >= 0.95 * len(lengths)  # the card names the shortest


def test_stories_differ(stories: list[str]) -> None:
    assert len(stories) == len(set(stories)) > 90
    assert distinct(stories, 4, units) >= 0.6


def _among(told: frozenset[str], practice: int, steps: range) -> set[str]:
    """The texts that the training used in these steps; from `practice` on they were practice."""
    batches = (islice(training_samples(0, step, step >= practice), EXAMPLES_A_STEP) for step in steps)
    return told.intersection(sample.answer for batch in batches for sample in batch)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("every", [20, pytest.param(1, marks=pytest.mark.soak)])
def test_no_story_is_one_of_the_training(stories: list[str], every: int) -> None:
    """Draw the training's samples again: those of every so many steps, a million of all."""
    steps = json.loads((FOLDER / "history.json").read_text())["step"]
    practice = Plan().restarts(steps)[0][0]
    parts = [range(start * every, steps, 8 * every) for start in range(8)]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as processes:
        assert set().union(*processes.map(partial(_among, frozenset(stories), practice), parts)) == set()
    (first,) = islice((sample for sample in training_samples(0, 0) if sample.answer), 1)
    assert _among(frozenset([first.answer]), 1, range(1)) == {first.answer}  # a training question would be found
