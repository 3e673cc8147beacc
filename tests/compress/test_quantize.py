"""Compression of folders: the files, the refusals, and no half-written remains."""

import json
import shutil

import pytest
import torch
from recorded import CASE_IDS, folder
from safetensors.torch import safe_open
from spoil import weights
from transformers import AutoModel

import fastglm
from fastglm.compress.quantize import quantise_folder
from fastglm.errors import UsageError


def greedy(path, variant="fast"):
    model, tokenizer = fastglm.load(str(path), variant)
    return [p.token for p in fastglm.stream(model, tokenizer, CASE_IDS, max_new_tokens=8, do_sample=False)]


@pytest.mark.parametrize("recipe", ["int8", "int4"])
def test_a_compressed_folder_is_read_back_by_both_loaders(tmp_path, recipe):
    out = fastglm.compress(str(folder("chatglm")), recipe, tmp_path / "small")
    assert greedy(out) == greedy(folder("chatglm"), recipe)
    model = AutoModel.from_pretrained(out).eval()
    assert type(model.transformer.layers[0].mlp.dense_h_to_4h).__name__ == "QuantizedLinear"
    loaded, _ = fastglm.load(str(out), "fast")
    with torch.inference_mode():
        ids = torch.tensor([CASE_IDS])
        exact, fast = model(ids).logits, loaded(ids).logits
    # Activations in bf16 against fp32, on random weights that amplify every rounding.
    assert (exact - fast).norm() < 0.05 * exact.norm()


def test_int8_stays_close_to_the_original():
    # The published int8 layout of these random weights, which leaves the head unchanged, is off by 0.03 to 0.08.
    original, _ = fastglm.load(str(folder("chatglm")), "original")
    int8, _ = fastglm.load(str(folder("chatglm")), "int8")
    with torch.inference_mode():
        a, b = original(torch.tensor([CASE_IDS])).logits, int8(torch.tensor([CASE_IDS])).logits
    assert (a - b).norm() < 0.15 * a.norm()


def test_the_folder_holds_packed_numbers_and_is_smaller(tmp_path):
    out = fastglm.compress(str(folder("chatglm")), "int8", tmp_path / "small")
    index = json.loads((out / "model.safetensors.index.json").read_text())
    name = "transformer.layers.0.mlp.dense_h_to_4h.weight"
    with safe_open(out / index["weight_map"][name], "pt") as file:
        assert file.get_tensor(name).dtype == torch.int8
    whole = (folder("chatglm") / "pytorch_model.bin").stat().st_size
    assert sum(file.stat().st_size for file in out.glob("*.safetensors")) < 0.35 * whole


def test_progress_reaches_its_total(tmp_path):
    seen = []
    quantise_folder(folder("chatglm"), "int8", tmp_path / "small", seen.append)
    assert 0.95 < seen[-1].fraction <= 1
    assert [p.done for p in seen] == sorted(p.done for p in seen)


def test_a_variant_is_made_once_and_kept(own_home):
    greedy(folder("chatglm"), "int4")
    (kept,) = own_home.glob("variants/*/int4-g128/config.json")
    before = kept.stat().st_mtime_ns
    greedy(folder("chatglm"), "int4")
    assert kept.stat().st_mtime_ns == before


def test_a_changed_checkpoint_is_compressed_anew(own_home, tmp_path):
    shutil.copytree(folder("chatglm"), tmp_path / "model")
    greedy(tmp_path / "model", "int8")
    weights(lambda state: state["lm_head.weight"].mul_(2))(tmp_path / "model")
    greedy(tmp_path / "model", "int8")
    assert len(list(own_home.glob("variants/*/int8"))) == 2


def test_wrong_formats_and_models_are_refused(tmp_path):
    with pytest.raises(UsageError, match="Unknown recipe 'int5'"):
        fastglm.compress(str(folder("chatglm")), "int5", tmp_path / "out")
    with pytest.raises(UsageError, match="random weights"):
        fastglm.compress("shape:chatglm-6b", "int8", tmp_path / "out")
