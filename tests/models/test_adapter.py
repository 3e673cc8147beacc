"""Adapters: recorded prefixes beside their bases, in any variant; a folder that does not fit gets one clear line."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learned import recorded, save
from recorded import folder
from spoil import BIN, LORA, POINTER, Evil, config, file, several, weights
from transformers import AutoModel

import fastglm
from fastglm.engine import GREEDY, BatchEngine, FastEngine, SpeculativeEngine
from fastglm.engine.speculative import Draft
from fastglm.errors import CheckpointError, FastGLMError, UsageError
from fastglm.evaluate.reference import Reference
from fastglm.evaluate.scoring import judge
from fastglm.history import of_rounds
from fastglm.models.checkpoint import read_config
from fastglm.models.loading import weights_memory
from fastglm.models.source import demo_folder

SETTINGS = {"do_sample": False, "eos_token_id": None}


@pytest.fixture(scope="module")
def of_demo(tmp_path_factory):
    """An adapter of the demo model, with random numbers."""
    folder = tmp_path_factory.mktemp("demo") / "prefix"
    config = json.loads((demo_folder() / "config.json").read_text()) | {"pre_seq_len": 4}
    width = 2 * config["num_layers"] * config["hidden_size"]
    torch.manual_seed(0)
    write(folder, config, {"transformer.prefix_encoder.embedding.weight": torch.randn(4, width)})
    return folder


def write(folder, config, state):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(state, folder / "pytorch_model.bin")


@torch.inference_mode()
def check_logits(model, record):
    for number, ids in enumerate(record.prompts):
        logits = model(torch.tensor([ids])).logits[0]
        torch.testing.assert_close(logits, record.tensors[f"logits_{number}"], atol=1e-4, rtol=0)


def test_the_original_answers_as_recorded(record, tmp_path):
    model, tokenizer = fastglm.load(str(record.base), adapter=record.adapter)
    assert model.fastglm.adapter == str(record.adapter)
    check_logits(model, record)
    ids = record.prompts[1]
    pieces = list(fastglm.stream(model, tokenizer, ids, max_new_tokens=32, do_sample=False, ignore_eos=True))
    assert pieces[-1].text == model.clean_response(tokenizer.decode(record.answers[1], skip_special_tokens=True))
    assert (
        model.generate(torch.tensor([ids]), max_new_tokens=32, **SETTINGS)[0, len(ids) :].tolist() == record.answers[1]
    )
    model.save_pretrained(tmp_path / "saved")
    check_logits(type(model).from_pretrained(tmp_path / "saved").eval(), record)


def test_the_fast_engine_answers_as_recorded(record):
    model, _ = fastglm.load(str(record.base), "fast", adapter=str(record.adapter))
    assert BatchEngine(model).answer(record.prompts, 32, GREEDY) == record.answers
    bare, _ = fastglm.load(str(record.base), "fast")
    assert weights_memory(model) - weights_memory(bare) == record.tensors["past_key_values"].nbytes
    assert BatchEngine(bare).answer(record.prompts, 32, GREEDY) != record.answers


@pytest.mark.parametrize("variant", ["int8", "int4"])
def test_a_packed_variant_takes_it_and_stays_as_it_is(plain, variant, own_home):
    before, _ = fastglm.load(str(plain.base), variant)
    (kept,) = (own_home / "variants").glob("*/*")
    files = {path: path.read_bytes() for path in kept.iterdir()}
    model, _ = fastglm.load(str(plain.base), variant, adapter=plain.adapter)
    assert {path: path.read_bytes() for path in kept.iterdir()} == files
    for own, wanted in zip(model.prefix().layers, plain.model.prefix().layers, strict=True):
        torch.testing.assert_close(own, wanted)
    prompts = plain.prompts
    assert BatchEngine(model).answer(prompts, 8, GREEDY) != BatchEngine(before).answer(prompts, 8, GREEDY)


@pytest.mark.parametrize("drafts_well", [True, False])
def test_drafts_of_a_model_without_it_are_checked(plain, drafts_well):
    model, _ = fastglm.load(str(plain.base), "fast", adapter=plain.adapter)
    draft, _ = fastglm.load(str(plain.base), "fast", adapter=plain.adapter if drafts_well else None)
    model.draft = Draft(draft, 0.2)
    assert list(SpeculativeEngine(model).generate(plain.prompts[1], 32, GREEDY, ())) == plain.answers[1]


def test_the_demo_has_variants_that_take_it_and_some_that_do_not(of_demo, own_home):
    fast, tokenizer = fastglm.load("demo", "fast", adapter=of_demo)
    speculative, _ = fastglm.load("demo", "speculative", adapter=of_demo)
    prompt, _ = fast.prompt_ids(tokenizer, "你好")
    wanted = list(FastEngine(fast).generate(prompt, 24, GREEDY, ()))
    assert list(SpeculativeEngine(speculative).generate(prompt, 24, GREEDY, ())) == wanted
    with pytest.raises(
        UsageError, match=r"demo as (pruned|turbo) cannot take the adapter .*: it was tuned for a model"
    ) as raised:
        fastglm.load("demo", "pruned", adapter=of_demo)
    assert "\n" not in str(raised.value)


def test_a_published_quantized_base_takes_it(plain, tmp_path):
    base = AutoModel.from_pretrained(plain.base).quantize(4)
    save(replace(plain, model=base), tmp_path / "int4")
    shutil.copytree(plain.adapter, tmp_path / "prefix")
    config(quantization_bit=4)(tmp_path / "prefix")  # as saved by a training on such a base
    model, _ = fastglm.load(str(tmp_path / "int4"), adapter=tmp_path / "prefix")
    for found, own in zip(model.prefix().layers, plain.model.prefix().layers, strict=True):
        torch.testing.assert_close(found, own)


def test_the_published_way_in_half_precision(record):
    model = recorded(record.name).model.quantize(8).half()
    model.transformer.prefix_encoder.float()
    with torch.inference_mode():
        for number, ids in enumerate(record.prompts):
            logits, wanted = model(torch.tensor([ids])).logits[0].float(), record.tensors[f"logits_{number}"]
            assert (logits - wanted).norm() < 0.05 * wanted.norm()


def test_scores_with_it_do_not_pass_for_the_originals(plain, monkeypatch):
    kept = []
    monkeypatch.setattr(Reference, "keep_answers", lambda _, texts: kept.append(texts))
    questions = [(of_rounds([], "你好"), "好"), (of_rounds([], "1+1"), "2")]
    tuned = judge(*fastglm.load(str(plain.base), adapter=plain.adapter), questions, 4)
    assert not kept
    bare = judge(*fastglm.load(str(plain.base)), questions, 4)
    assert len(kept) == 1
    assert min(sum(found.kl) for found in tuned.questions) > 0.1 > max(sum(found.kl) for found in bare.questions)


# Bad input: each spoils a copy of the adapter, or names another folder.


OTHER = folder("chatglm2-ptuning") / "prefix"
BAD = [
    (shutil.rmtree, "is not a folder"),
    (several(shutil.rmtree, Path.touch), "is not a folder"),
    (file("config.json", None), "has no config.json"),
    (several(file("config.json", None), file("adapter_config.json", LORA)), r"is a PEFT adapter \(LORA\) for a/b"),
    (config(pre_seq_len=None), "does not set pre_seq_len"),
    (several(shutil.rmtree, lambda place: shutil.copytree(OTHER, place)), "a model of another architecture"),
    (config(num_layers=3), "a model with 3 layers, and this one has 2"),
    (config(num_attention_heads=4), "with 4 heads of keys in a layer, and this one has 8"),
    (config(hidden_size=128), "with 128 numbers in a state, and this one has 64"),
    (config(head_dim=16), "with 16 numbers in a head, and this one has 8"),
    (config(pre_seq_len=9), r"embedding.weight is \(8, 256\) .* and \(9, 256\) by its config"),
    (config(prefix_projection=True), r"\(8, 256\) in the checkpoint and \(8, 64\)"),
    (config(pre_seq_len="8"), "pre_seq_len must be"),
    (file(BIN, None), "has no weights"),
    (file(BIN, POINTER), "Git-LFS pointer"),
    (weights(dict.clear), "lacks transformer.prefix_encoder.embedding.weight"),
    (
        weights(lambda state: state.update({"lm_head.weight": torch.zeros(768, 64)})),
        r"holds more than a learned prefix, lm_head.weight for one: name it as the model",
    ),
    (weights(lambda state: next(iter(state.values()))[0].fill_(float("nan"))), "NaN or infinite"),
    (weights(lambda state: {name: each.long() for name, each in state.items()}), "must be floating point"),
    (weights(lambda state: dict.fromkeys(state, Evil())), "holds more than weights"),
    (
        weights(lambda state: state.update({"transformer.prefix_encoder.trans.0.weight": torch.zeros(2, 2)})),
        r"trans.0.weight, and prefix_projection in its config.json says otherwise",
    ),
]


@pytest.mark.parametrize("variant", ["fast", "int8"])
@pytest.mark.parametrize(("spoil", "said"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_an_adapter_that_does_not_fit_gets_one_clear_line(plain, tmp_path, monkeypatch, spoil, said, variant):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(plain.adapter, tmp_path / "prefix")
    spoil(tmp_path / "prefix")
    with pytest.raises(FastGLMError, match=said) as raised:
        fastglm.load(str(plain.base), variant, adapter=tmp_path / "prefix")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "touched").exists()


def test_nothing_is_made_for_an_adapter_that_does_not_fit(plain, of_demo, own_home):
    with pytest.raises(UsageError, match="as int8 cannot take the adapter"):
        fastglm.load(str(plain.base), "int8", adapter=of_demo)
    assert not (own_home / "variants").exists()


def test_a_model_has_one_prefix(plain, tmp_path):
    save(plain, tmp_path / "saved")
    with pytest.raises(UsageError, match="has a learned prefix of its own"):
        fastglm.load(str(tmp_path / "saved"), adapter=plain.adapter)


@pytest.mark.parametrize("variant", ["original", "int4"])
def test_a_prefix_alone_is_no_model(plain, tmp_path, variant):
    shutil.copytree(plain.adapter, tmp_path / "prefix")
    for name in ("ice_text.model", "tokenizer_config.json"):
        shutil.copy(plain.base / name, tmp_path / "prefix")
    with pytest.raises(CheckpointError, match=r"holds a learned prefix alone .* as its adapter \(--adapter\)"):
        fastglm.load(str(tmp_path / "prefix"), variant)


def test_a_visitor_opens_only_allowed_adapters(plain, monkeypatch):
    monkeypatch.setenv("FASTGLM_MODEL_DIRS", str(plain.base))
    with pytest.raises(UsageError, match="may not be opened here"):
        fastglm.load(str(plain.base), adapter=plain.adapter, restricted=True)
    monkeypatch.setenv("FASTGLM_MODEL_DIRS", str(plain.base.parent))
    assert fastglm.load(str(plain.base), adapter=plain.adapter, restricted=True)[0].prefix().length == 8


def test_a_shape_takes_an_adapter_of_its_sizes(plain, monkeypatch):
    with pytest.raises(UsageError, match="with 2 layers, and this one has 1"):
        fastglm.load("shape:chatglm-6b@1", "int4", adapter=plain.adapter)
    monkeypatch.setattr("fastglm.variants.load.shape_config", lambda *_: read_config(plain.base))
    model, _ = fastglm.load("shape:chatglm-6b@2", "int4", adapter=plain.adapter)
    assert model.prefix().length == 8
