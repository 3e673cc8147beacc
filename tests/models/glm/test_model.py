"""ChatGLM2 and its successors equal the recorded references, through transformers' Auto classes."""

import json

import pytest
import torch
from recorded import GOLDEN, expected, folder, tensors
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from fastglm.compress.size import predict_size
from fastglm.errors import CheckpointError, UsageError
from fastglm.models.glm.facts import GLMFacts
from fastglm.models.glm.model import GLMForConditionalGeneration
from fastglm.models.glm.rotary import Rotary
from fastglm.models.glm.shapes import SHAPES

# By folder: the recorded generation.
RECORDED = {
    "chatglm2": "chatglm2",
    "chatglm2-32k": "chatglm2",
    "chatglm2-int4": "chatglm2",
    "chatglm2-int8": "chatglm2",
    "chatglm3": "chatglm3",
    "chatglm3-32k": "chatglm3",
    "codegeex2": "codegeex2",
    "glm4": "glm4",
    "glm4-1m": "glm4",
}
CLOSE = {"atol": 1e-4, "rtol": 0}
SIZES = {
    "chatglm2": "chatglm2-6b",
    "chatglm2-32k": "chatglm2-6b-32k",
    "chatglm3": "chatglm3-6b",
    "chatglm3-32k": "chatglm3-6b-32k",
    "glm4": "glm-4-9b",
    "glm4-1m": "glm-4-9b-chat-1m",
}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@pytest.fixture(scope="module", params=RECORDED)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return AutoModel.from_pretrained(folder(name)).float().eval()


@torch.inference_mode()
def logits(model, ids, **settings):
    return model(torch.tensor([ids]), **settings).logits[0].float()


def is_likeliest(model, ids, new):
    """Tell whether each of the tokens `new` is the likeliest after those before it."""
    return logits(model, [*ids, *new])[len(ids) - 1 : -1].argmax(-1).tolist() == new


def greedy(model, ids, count, mask=None):
    """The likeliest tokens after each row, with no early stop."""
    new = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False, "max_length": None}
    return model.generate(ids, attention_mask=mask, **new)[:, ids.shape[1] :].tolist()


def test_logits_and_greedy_ids_are_the_recorded(model, name):
    for number, case in enumerate(expected(name)["generate"]):
        torch.testing.assert_close(logits(model, case["input_ids"]), tensors(name)[f"logits_{number}"], **CLOSE)
        assert is_likeliest(model, case["input_ids"], case["new_ids"])
    assert greedy(model, torch.tensor([case["input_ids"]]), 32) == [case["new_ids"]]


def test_a_long_prompt_has_the_recorded_logits(model, name):
    case = expected(name).get("long")
    if case:
        found = logits(model, case["input_ids"])[case["positions"]]
        torch.testing.assert_close(found, tensors(name)["long_logits"], **CLOSE)
        assert is_likeliest(model, case["input_ids"], case["new_ids"])


def test_a_batch_padded_on_the_left_is_the_recorded(model, name):
    case = expected(name)["batch"]
    ids = torch.tensor(case["input_ids"])
    mask = torch.tensor(case["attention_mask"]) if "attention_mask" in case else ids.ne(model.config.pad).long()
    assert model.plan(ids, mask).position_ids[:, 0].tolist() == case["position_ids"]
    with torch.inference_mode():
        found = model(ids, attention_mask=mask).logits[:, -1]
    torch.testing.assert_close(found, tensors(name)["batch_last_logits"], **CLOSE)
    assert greedy(model, ids, 16, mask) == case["new_ids"]


def test_a_saved_model_keeps_generation_numbers_and_published_names(model, name, tmp_path):
    assert model.config.generation == RECORDED[name]
    model.save_pretrained(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    published = json.loads((folder(name) / "config.json").read_text())
    kept = ("padded_vocab_size", "kv_channels", "num_layers", "seq_length", "multi_query_group_num", "rope_ratio")
    assert {key: fields[key] for key in kept if key in published} == {k: published[k] for k in kept if k in published}
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).float().eval()
    assert again.config.generation == RECORDED[name]
    assert again.config.assumed is None
    ids = expected(name)["generate"][0]["input_ids"]
    torch.testing.assert_close(logits(again, ids), logits(model, ids), atol=0, rtol=0)


@pytest.mark.parametrize("name", SIZES)
def test_angles_are_the_published_ones_in_each_dtype(name):
    recorded = load_file(GOLDEN / "half" / "rope.safetensors")
    positions = recorded["positions"]
    rotary = Rotary(GLMFacts.of_shape(SIZES[name], 1))
    for word, dtype in DTYPES.items():
        cos, sin = rotary(positions[None, None], 0, dtype)
        assert torch.equal(cos[0, :, 0, :64:2], recorded[f"{name}/{word}/cos"])
        assert torch.equal(sin[0, :, 0, 1:64:2], recorded[f"{name}/{word}/sin"])


@pytest.mark.parametrize("lengths", [("case0", "len600"), pytest.param(("len2304",), marks=pytest.mark.soak)], ids=str)
@pytest.mark.parametrize("word", ["fp16", "bf16"])
@pytest.mark.parametrize("name", ["chatglm2", "chatglm3", "glm4"])
def test_half_precision_is_the_recorded_one(name, word, lengths):
    recorded = load_file(GOLDEN / "half" / f"{name}.safetensors")
    cases = json.loads((GOLDEN / "half" / f"{name}.json").read_text())["cases"]
    model = AutoModel.from_pretrained(folder(name), seq_length=8192, dtype=DTYPES[word]).eval()
    for case in lengths:
        told = cases[case]
        found = logits(model, told["input_ids"])[told["positions"]]
        # Other libraries sum in another order: two such results differ by up to twice the rounding.
        noise = 2 * told[word]["same_with_exact_angles"]
        torch.testing.assert_close(found, recorded[f"{word}/{case}"].float(), atol=noise, rtol=0)


def test_codegeex2_in_bf16_has_the_recorded_norm_and_logits():
    model = AutoModelForCausalLM.from_pretrained(folder("codegeex2"), dtype=torch.bfloat16).eval()
    found, told = tensors("codegeex2"), expected("codegeex2")
    with torch.inference_mode():
        assert torch.equal(model.blocks[0].input_layernorm(found["bf16_norm_in"]), found["bf16_norm_out"])
    # One step between numbers of bf16 above 4, where the largest logits lie: a sum in another order may end on the next
    # one. Exact angles would move every case by 0.05 or more, the long one by 1.2.
    step = {"atol": 2**-5, "rtol": 0}
    for number, case in enumerate(told["generate"]):
        torch.testing.assert_close(logits(model, case["input_ids"]), found[f"bf16_logits_{number}"].float(), **step)
    long = logits(model, told["long"]["input_ids"])[told["long"]["positions"]]
    torch.testing.assert_close(long, found["bf16_long_logits"].float(), **step)


def test_tokens_in_parts_equal_tokens_at_once():
    model = AutoModel.from_pretrained(folder("chatglm3")).double().eval()
    ids = torch.tensor(expected("chatglm3")["batch"]["input_ids"])
    mask = ids.ne(0).long()
    with torch.inference_mode():
        whole = model(ids, attention_mask=mask).logits
        first = model(ids[:, :17], attention_mask=mask[:, :17], use_cache=True)
        # The cache remembers the padding.
        second = model(ids[:, 17:], past_key_values=first.past_key_values)
    torch.testing.assert_close(torch.cat((first.logits, second.logits), 1)[mask.bool()], whole[mask.bool()])


def test_positions_of_a_caller_are_taken_or_refused_in_a_line():
    model = AutoModel.from_pretrained(folder("chatglm3")).eval()
    ids = expected("chatglm3")["generate"][0]["input_ids"]
    counted = torch.arange(len(ids))[None]
    for positions in (counted, counted[None]):
        torch.testing.assert_close(logits(model, ids, position_ids=positions), logits(model, ids))
    assert not torch.allclose(logits(model, ids, position_ids=2 * counted), logits(model, ids))
    with pytest.raises(UsageError, match="Leave them out"):
        logits(model, ids, position_ids=counted.expand(2, -1))


def test_quantize_gives_the_published_layout():
    model = AutoModel.from_pretrained(folder("chatglm2-int4")).float()
    exact = AutoModel.from_pretrained(folder("chatglm3")).float()
    packed = exact.quantize(4)
    block, other = (each.blocks[0].self_attention.query_key_value for each in (packed, model))
    assert {name: (part.shape, part.dtype) for name, part in block.parts().items()} == {
        name: (part.shape, part.dtype) for name, part in other.parts().items()
    }
    assert packed.config.quantization_bit == 4


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rmsnorm": False}, "rmsnorm is false; only true"),
        ({"add_bias_linear": True}, "add_bias_linear is true; only false"),
        ({"interleaved_qkv": True}, "interleaved_qkv is true"),
        ({"rotary_percent": 0.25}, r"rotary_percent is 0\.25; only 0\.5"),
        ({"multi_query_group_num": 3}, "cannot share the keys of 3 groups"),
        ({"ffn_hidden_size": [8]}, "ffn_hidden_size lists 1 layers"),
        ({"kv_channels": 6}, "heads are 6 wide"),
        ({"generation": "chatglm9"}, "known are chatglm2, chatglm3, glm4, codegeex2"),
        ({"quantization_bit": 3}, "known are 4 and 8"),
        ({"eos_token_id": 1 << 20}, "the vocabulary has 65024 tokens"),
        ({"seq_length": "long"}, "seq_length must be a whole number"),
    ],
    ids=str,
)
def test_fields_that_mean_something_else_are_refused_in_a_line(fields, said):
    config = GLMForConditionalGeneration.config_class
    with pytest.raises(CheckpointError, match=said) as refused:
        config.from_dict({"multi_query_attention": True, "multi_query_group_num": 2, **fields}).check()
    assert "\n" not in str(refused.value)


def test_published_sizes_have_the_published_numbers_of_weights():
    found = {
        name: predict_size(GLMFacts.of_shape(name, fields["num_layers"])).parameters for name, fields in SHAPES.items()
    }
    assert found["chatglm3-6b"] == 6_243_584_000
    assert found["glm-4-9b-chat"] == 9_399_951_360
    assert found["glm-4-9b-chat-1m"] == 9_483_857_920
