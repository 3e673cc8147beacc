"""The variants that come with the demo models: made by their recipes, complete, small and useful."""

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
from fastglm.models.source import EMBEDDED, demo_folder
from fastglm.variants.variants import VARIANTS

SHIPPED = [(model, path.name) for model in EMBEDDED for path in sorted(demo_folder(model).parent.glob("variants/*"))]
# The largest loss of accuracy, on a thousand questions and more; and of parameters the largest share that is left.
LOST = {"pruned": 0.03, "distilled": 0.04, "turbo": 0.06, "int4": 0.01}
LEFT = {"pruned": 0.75, "distilled": 0.3, "turbo": 0.3, "int4": 1}


@cache
def questions(model: str) -> list[Question]:
    return held_out(3, model)


@cache
def accuracy(model: str, variant: str) -> float:
    loaded, tokenizer = fastglm.load(model, variant, "cpu")
    asked = encoded(tokenizer, [q.asked for q in questions(model)], loaded.context_length)
    answers = prompt_answers(loaded, tokenizer, [example.prompt for example in asked], 128)
    return sum(bool(q.right(answer)) for q, answer in zip(questions(model), answers, strict=True)) / len(answers)


def folder(model: str, variant: str) -> Path:
    return demo_folder(model).with_name("variants") / variant


@pytest.mark.parametrize(("model", "most"), [("demo", 24e6), ("demo-glm", 6e6)])
def test_all_shipped_variants_together_are_small(model: str, most: float) -> None:
    size = sum(path.stat().st_size for of, name in SHIPPED if of == model for path in folder(of, name).iterdir())
    assert 0 < size <= most


@pytest.mark.parametrize(("model", "variant"), SHIPPED)
def test_a_shipped_variant_is_the_result_of_its_recipe(model: str, variant: str) -> None:
    made = folder(model, variant)
    record = read_manifest(made)
    assert record is not None
    assert record["recipe"] == find_recipe(variant).as_dict()
    assert record["texts"]["given"] == model
    (parent,) = record["parents"]
    assert parent["model"] == model
    assert parent["files"].items() <= hash_files(demo_folder(model).iterdir()).items()
    assert record["files"] == hash_files(path for path in made.iterdir() if path.name != "fastglm.json")
    whole = predict_size(Checkpoint(demo_folder(model)).config).parameters
    assert predict_size(Checkpoint(made).config).parameters <= LEFT[variant] * whole
    if variant == "turbo":
        assert record["sizes"]["after"]["bytes"] <= 4 * whole / 16
    assert VARIANTS[variant].recipe in (variant, None)
    assert fastglm.load(model, variant, "cpu")[0].fastglm.folder == str(made)


@pytest.mark.parametrize(("model", "variant"), SHIPPED)
def test_a_shipped_variant_keeps_most_of_the_demos_skill(model: str, variant: str) -> None:
    """A third of the questions of the floor's figure, and so two points more room for chance."""
    assert len(questions(model)) > 300
    assert accuracy(model, variant) >= accuracy(model, "original") - LOST[variant] - 0.02
