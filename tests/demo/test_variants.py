"""The variants that come with the demo model: made by their recipes, complete, small and useful."""

from functools import cache
from pathlib import Path

import pytest

import fastglm
from benchmarks.run.questions import Question, held_out
from fastglm.compress.manifest import hash_files, read_manifest
from fastglm.compress.recipe import find_recipe
from fastglm.compress.size import predict_size
from fastglm.evaluate.answers import prompt_answers
from fastglm.evaluate.scoring import encoded
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.source import demo_folder
from fastglm.variants.variants import VARIANTS

SHIPPED = sorted(path.name for path in demo_folder().with_name("variants").iterdir())
LOST = {"pruned": 0.03, "distilled": 0.04, "turbo": 0.06}  # largest loss of accuracy, on a thousand questions and more


@cache
def questions() -> list[Question]:
    return held_out(3)


@cache
def accuracy(variant: str) -> float:
    model, tokenizer = fastglm.load("demo", variant, "cpu")
    asked = encoded(tokenizer, [q.asked for q in questions()], model.context_length)
    answers = prompt_answers(model, tokenizer, [example.prompt for example in asked], 128)
    return sum(bool(q.right(answer)) for q, answer in zip(questions(), answers, strict=True)) / len(answers)


def folder(variant: str) -> Path:
    return demo_folder().with_name("variants") / variant


def test_all_shipped_variants_together_are_small() -> None:
    size = sum(path.stat().st_size for name in SHIPPED for path in folder(name).iterdir())
    assert 0 < size <= 24e6


@pytest.mark.parametrize("variant", SHIPPED)
def test_a_shipped_variant_is_the_result_of_its_recipe(variant: str) -> None:
    record = read_manifest(folder(variant))
    assert record is not None
    assert record["recipe"] == find_recipe(variant).as_dict()
    (parent,) = record["parents"]
    assert parent["model"] == "demo"
    assert parent["files"].items() <= hash_files(demo_folder().iterdir()).items()
    assert record["files"] == hash_files(path for path in folder(variant).iterdir() if path.name != "fastglm.json")
    whole = predict_size(Checkpoint(demo_folder()).config).parameters
    made = predict_size(Checkpoint(folder(variant)).config)
    assert made.parameters <= {"pruned": 0.75, "distilled": 0.3, "turbo": 0.3}[variant] * whole
    if variant == "turbo":
        assert record["sizes"]["after"]["bytes"] <= 4 * whole / 16
    assert VARIANTS[variant].recipe == variant


@pytest.mark.parametrize("variant", SHIPPED)
def test_a_shipped_variant_keeps_most_of_the_demos_skill(variant: str) -> None:
    """A third of the questions of the floor's figure, and so two points more room for chance."""
    assert len(questions()) > 300
    assert accuracy(variant) >= accuracy("original") - LOST[variant] - 0.02
