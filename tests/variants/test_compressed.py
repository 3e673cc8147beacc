"""Variants whose weights need training: the places where they are found, and the message if there are none."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import fastglm
from fastglm.compress.recipe import Recipe
from fastglm.compress.steps import PruneVocabulary, Quantise
from fastglm.errors import UsageError
from fastglm.models.source import find_source
from fastglm.system.devices import DeviceCard
from fastglm.text_files import Text
from fastglm.variants.compressed import find_made
from fastglm.variants.offers import offers

GOLDEN = Path(__file__).parents[1] / "golden" / "chatglm"
QUICK = Recipe("turbo", (Quantise("int4-g32"),))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path / "home"))
    return Path(shutil.copytree(GOLDEN, tmp_path / "model"))


def test_the_result_of_a_recipe_is_a_variant_of_its_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    out = model.parent / "home" / "models" / "mine"
    out.parent.mkdir(parents=True)
    fastglm.compress("model", QUICK, out)
    source = find_source(str(model))
    assert find_made(source, "turbo") == out
    assert find_made(source, "pruned") is None
    assert find_made(find_source(str(GOLDEN)), "turbo") is None  # another model
    loaded, _ = fastglm.load(str(model), "turbo", "cpu")
    assert loaded.fastglm.folder == str(out)
    assert loaded.fastglm.engine == "fast"
    os.utime(model / "pytorch_model.bin", (4e9, 4e9))  # the model is newer
    assert find_made(source, "turbo") is None


def test_a_variant_made_from_a_model_drafts_for_it(model: Path) -> None:
    with pytest.raises(UsageError, match=r"^speculative needs turbo to draft, which is not made yet: "):
        fastglm.load(str(model), "speculative", "cpu")
    models = model.parent / "home" / "models"
    models.mkdir(parents=True)
    fastglm.compress(str(model), replace(QUICK, name="distilled"), models / "first")
    assert fastglm.load(str(model), "speculative", "cpu")[0].draft.model.fastglm.variant == "distilled"
    fastglm.compress(str(model), QUICK, models / "second")
    loaded, tokenizer = fastglm.load(str(model), "speculative", "cpu")
    draft, target = loaded.draft.model, fastglm.load(str(model), "fast", "cpu")[0]
    assert draft.fastglm.variant == "turbo"
    assert loaded.fastglm.engine == "speculative"
    assert not [name for name, _ in loaded.named_modules() if "draft" in name]
    assert loaded.fastglm.weights_memory == target.fastglm.weights_memory + draft.fastglm.weights_memory
    assert loaded.draft.cost == draft.fastglm.weights_memory / target.fastglm.weights_memory
    last = list(fastglm.stream(loaded, tokenizer, "你好", max_new_tokens=8, do_sample=False))[-1]
    alone = list(fastglm.stream(target, tokenizer, "你好", max_new_tokens=8, do_sample=False))[-1]
    assert (last.text, alone.acceptance) == (alone.text, None)
    assert last.acceptance is not None


def test_a_draft_of_another_vocabulary_is_refused(model: Path) -> None:
    models = model.parent / "home" / "models"
    models.mkdir(parents=True)
    trims = Recipe("turbo", (PruneVocabulary(),))
    fastglm.compress(str(model), trims, models / "mine", texts=[Text([], f"你好{i}", "你好！") for i in range(40)])
    with pytest.raises(UsageError, match="cannot draft, as its vocabulary is not that of"):
        fastglm.load(str(model), "speculative", "cpu")


def test_a_record_that_is_none_is_passed_over(model: Path) -> None:
    for number, text in enumerate(("{", "[]", '{"recipe": null}', '{"recipe": {"name": "turbo"}, "parents": []}')):
        folder = model.parent / "home" / "models" / str(number)
        folder.mkdir(parents=True)
        (folder / "fastglm.json").write_text(text)
    assert find_made(find_source(str(model)), "turbo") is None


def test_the_command_that_makes_it_is_named(model: Path) -> None:
    with pytest.raises(UsageError) as raised:
        fastglm.load(str(model), "turbo", "cpu")
    out = model.parent / "home" / "models" / "model-turbo"
    command = f"fastglm compress --model {model} --recipe turbo --texts FILE --out {out}"
    assert str(raised.value) == f"turbo is not made yet: {command}"
    card = DeviceCard("cpu", "", 0, 0, 1, 1)
    found = {offer.name: offer for offer in offers(card, find_source(str(model)))}
    assert found["turbo"].reason == f"is not made yet: {command}"
    assert found["speculative"].reason == f"needs turbo to draft, which is not made yet: {command}"
    assert found["int4"].reason is None
    shapes = {offer.name: offer for offer in offers(card, find_source("shape:chatglm-6b@1"))}
    assert shapes["turbo"].reason is shapes["speculative"].reason is None
    quantised = {offer.name: offer for offer in offers(card, find_source(str(model)), quantised=True)}
    assert "quantised already" in str(quantised["turbo"].reason)


def test_a_shape_has_what_its_recipe_makes_of_the_config() -> None:
    loaded, _ = fastglm.load("shape:chatglm-6b@2", "turbo", "cpu")
    assert loaded.config.num_layers == 1
    assert loaded.config.weight_format == "int4-g128"
    assert loaded.config.inner_hidden_size == 6144
