"""GLM through `fastglm.load`: recorded answers by both engines, and everything that is made from a checkpoint."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from recorded import expected, folder, tensors
from transformers import AutoTokenizer

import fastglm
from fastglm.errors import UsageError

NAMES = ("chatglm2", "chatglm2-32k", "chatglm3", "chatglm3-32k", "codegeex2", "glm4", "glm4-1m")
PACKED = ("chatglm2-int4", "chatglm2-int8")


def answer(loaded, ids, count=32):
    """The likeliest tokens after a prompt, with no early stop."""
    pieces = fastglm.stream(*loaded, ids, max_new_tokens=count, do_sample=False, ignore_eos=True)
    return [piece.token for piece in pieces]


@pytest.mark.parametrize(
    ("name", "variant"), [(name, "fast") for name in NAMES] + [(name, "original") for name in PACKED + NAMES[2:3]]
)
def test_answers_are_the_recorded_ones(name, variant):
    loaded, told = fastglm.load(folder(name), variant), expected(name)
    for case in told["generate"]:
        assert answer(loaded, case["input_ids"]) == case["new_ids"]
    if "long" in told:
        assert answer(loaded, told["long"]["input_ids"]) == told["long"]["new_ids"]


@pytest.mark.parametrize("name", PACKED)
def test_published_quantized_layouts_are_exact(name):
    model, _ = fastglm.load(folder(name), "original")
    for number, case in enumerate(expected(name)["generate"]):
        with torch.inference_mode():
            found = model(torch.tensor([case["input_ids"]])).logits[0]
        torch.testing.assert_close(found, tensors(name)[f"logits_{number}"], atol=1e-4, rtol=0)


def test_a_generation_that_was_said_is_taken_and_saved(tmp_path):
    told = {"generation": "chatglm2"}
    model, tokenizer = fastglm.load(folder("chatglm3-32k"), **told)
    assert model.config.rules.ratio == "position"
    assert model.fastglm.notes == []
    assert tokenizer.generation == "chatglm2"
    assumed, other = fastglm.load(folder("chatglm3-32k"))
    assert other.generation == assumed.config.generation == "chatglm3"
    assert "by transformers_version" in assumed.fastglm.notes[0]
    for each in (model, tokenizer):
        each.save_pretrained(tmp_path)
    again, tokenizer = fastglm.load(tmp_path)
    assert again.config.generation == tokenizer.generation == "chatglm2"
    assert again.fastglm.notes == []


def test_an_architecture_with_one_generation_takes_none():
    for model, said in (("demo", "ChatGLM-6B has one generation"), ("shape:chatglm3-6b@1", "of its own")):
        with pytest.raises(UsageError, match=said):
            fastglm.load(model, generation="chatglm3")


@pytest.mark.parametrize("variant", ["int8", "int4"])
def test_a_variant_keeps_the_generation(variant, tmp_path):
    place = shutil.copytree(folder("chatglm2-32k"), tmp_path / "model")
    model, _ = fastglm.load(place, variant)
    made = json.loads((Path(model.fastglm.folder) / "config.json").read_text())
    assert made["generation"] == "chatglm2"
    assert AutoTokenizer.from_pretrained(model.fastglm.folder).generation == "chatglm2"
