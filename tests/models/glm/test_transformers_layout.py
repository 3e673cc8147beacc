"""Checkpoints in transformers' own layouts: results of its own classes, and everything that is made of them."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from spoil import change_json
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    Glm4Config,
    Glm4ForCausalLM,
    GlmConfig,
    GlmForCausalLM,
)

import fastglm
from fastglm.compress.quantize import quantise_folder
from fastglm.compress.size import predict_size
from fastglm.convert.conversion import convert
from fastglm.convert.kinds import Layout
from fastglm.errors import CheckpointError, UsageError
from fastglm.kernels.exact import exact_arithmetic
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.folder import facts_of, read_fields
from fastglm.models.glm.facts import GLMFacts
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.loading import load_checkpoint, weights_memory
from fastglm.text_files import Text

SIZES = {
    "vocab_size": 704, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128, "pad_token_id": 656,
    "eos_token_id": [656, 663],
}  # fmt: skip
WHOLE = {"rope_theta": 10000.0, "rope_type": "default", "partial_rotary_factor": 1.0}
STRETCHED = {"rope_theta": 50000.0, "rope_type": "linear", "factor": 4.0, "partial_rotary_factor": 0.5}
# By name: the classes of transformers, and the fields of the config that differ.
MODELS = {
    "glm": (GlmConfig, GlmForCausalLM, {}),
    "edge": (
        GlmConfig, GlmForCausalLM,
        {"tie_word_embeddings": True, "rope_parameters": WHOLE, "attention_bias": False, "rms_norm_eps": 1e-5},
    ),
    "stretched": (GlmConfig, GlmForCausalLM, {"rope_parameters": STRETCHED, "num_key_value_heads": 1}),
    "glm4": (Glm4Config, Glm4ForCausalLM, {"attention_bias": False}),
    "glm4-whole": (Glm4Config, Glm4ForCausalLM, {"rope_parameters": WHOLE, "num_key_value_heads": 4}),
}  # fmt: skip
TEXTS = ["你好", "Hello, how are you?", "1+2=?"]


@pytest.fixture(scope="module")
def made(fast_folder, tmp_path_factory):
    """Folders of random checkpoints, saved by transformers in many shards, by their names in `MODELS`."""
    place = tmp_path_factory.mktemp("layouts")
    for name, (config, model, fields) in MODELS.items():
        shutil.copytree(fast_folder, place / name)
        torch.manual_seed(0)
        random = model(config(**{**SIZES, **fields}))
        for parameter in random.parameters():
            torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.3)
        random.save_pretrained(place / name, max_shard_size="40KB")
    return place


@pytest.fixture(scope="module", params=MODELS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def theirs(made, name):
    return AutoModelForCausalLM.from_pretrained(made / name)


@pytest.fixture(scope="module")
def ours(made, name):
    return fastglm.load(made / name)


def batch(tokenizer):
    return tokenizer(TEXTS, padding=True, return_tensors="pt")


@torch.inference_mode()
def logits(model, ids, **settings):
    return model(ids, **settings).logits


def greedy(loaded, ids, count=12):
    pieces = fastglm.stream(*loaded, ids, max_new_tokens=count, do_sample=False, ignore_eos=True)
    return [piece.token for piece in pieces]


def test_logits_are_those_of_transformers_own_classes(made, name, theirs, ours):
    assert type(theirs) is MODELS[name][1]
    model, tokenizer = ours
    assert len(Checkpoint(made / name).shards) > 5  # parts of a matrix in different files among them
    published = AutoTokenizer.from_pretrained(made / name)
    for text in TEXTS:
        assert tokenizer.encode(text) == published.encode(text)
        ids = torch.tensor([tokenizer.encode(text)])
        torch.testing.assert_close(logits(model, ids), logits(theirs, ids), atol=1e-4, rtol=0)
    padded = batch(tokenizer)
    ids, mask = padded.input_ids, padded.attention_mask
    wanted = logits(theirs, ids, attention_mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0))
    found = logits(model, ids, attention_mask=mask)
    torch.testing.assert_close(found[:, -1], wanted[:, -1], atol=1e-4, rtol=0)


def test_answers_are_those_of_transformers_in_both_engines_and_layer_by_layer(made, name, theirs, ours):
    padded = batch(ours[1])

    def together(model):
        model.generation_config.eos_token_id = None
        found = model.generate(**padded, max_new_tokens=12, do_sample=False)
        return found[:, padded.input_ids.shape[1] :].tolist()

    wanted = together(theirs)
    assert together(ours[0]) == wanted
    fast = fastglm.load(made / name, "fast")
    for text, new in zip(TEXTS, wanted, strict=True):
        assert greedy(fast, ours[1].encode(text)) == new
    model = LayerwiseModel(Checkpoint(made / name), torch.device("cpu"))
    assert isinstance(model.block(0), type(ours[0].blocks[0]))


def test_auto_classes_of_transformers_keep_their_own(made):
    for name, (config, model, _) in MODELS.items():
        assert type(AutoConfig.from_pretrained(made / name)) is config
        assert type(AutoModelForCausalLM.from_pretrained(made / name)) is model
        assert not type(AutoModel.from_pretrained(made / name)).__module__.startswith("fastglm.")


def test_facts_need_no_weights_and_predict_the_memory(made, name, ours):
    facts = facts_of(read_fields(made / name))
    assert isinstance(facts, GLMFacts)
    assert predict_size(facts).bytes == weights_memory(ours[0])
    assert (facts.context, facts.generation, facts.tie_word_embeddings) == (128, "glm4", name == "edge")


def test_a_conversation_goes_by_the_folders_template_and_no_text_becomes_a_control_token(ours):
    model, tokenizer = ours
    ids, left_out = model.prompt_ids(tokenizer, "你好 <|assistant|>", [("1+2=?", "3")])
    commands = ["[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|user|>", "<|assistant|>"]
    controls = {*tokenizer.control_ids().values()}
    assert [id for id in ids if id in controls] == [tokenizer.get_command(each) for each in commands]
    assert left_out == 0
    answer, history = model.chat(tokenizer, "你好", do_sample=False, max_length=40)
    assert history[-1]["role"] == "assistant"
    *_, (last, _) = model.stream_chat(tokenizer, "你好", do_sample=False, max_length=40)
    assert last == answer


@pytest.mark.parametrize("variant", ["int8", "int4"])
def test_rounded_variants_answer_and_load_by_auto_classes(made, name, ours, variant):
    model, tokenizer = fastglm.load(made / name, variant)
    assert len(greedy((model, tokenizer), tokenizer.encode("你好"))) == 12
    ids = torch.tensor([tokenizer.encode("Hello, how are you?")])
    again = AutoModel.from_pretrained(model.fastglm.folder)
    with exact_arithmetic(model), exact_arithmetic(again):
        assert (logits(model, ids) - logits(ours[0], ids)).norm() < 0.9 * logits(ours[0], ids).norm()
        torch.testing.assert_close(logits(again, ids), logits(model, ids), atol=1e-4, rtol=0)
    assert fastglm.load(model.fastglm.folder)[1].conversation == tokenizer.conversation


def test_a_saved_model_loads_again_by_all_ways_and_converts_back(name, ours, tmp_path):
    for each in ours:
        each.save_pretrained(tmp_path / "saved")
    convert(tmp_path / "saved", Layout.glm, tmp_path / "back")
    ids = torch.tensor([ours[1].encode(TEXTS[1])])
    back = AutoModelForCausalLM.from_pretrained(tmp_path / "back")
    assert type(back) is MODELS[name][1]
    for again in (fastglm.load(tmp_path / "saved")[0], AutoModelForCausalLM.from_pretrained(tmp_path / "saved"), back):
        torch.testing.assert_close(logits(again, ids), logits(ours[0], ids), atol=1e-4, rtol=0)
    assert AutoTokenizer.from_pretrained(tmp_path / "back")(TEXTS[1]).input_ids == ids[0].tolist()
    with pytest.raises(UsageError, match=r"convert_hf_to_gguf\.py"):
        convert(tmp_path / "saved", Layout.gguf, tmp_path / "model.gguf")


def test_calibrated_weights_are_as_close_as_those_to_nearest_behind_norms_too(made, tmp_path):
    texts = [Text([], f"你好 {n} Hello, how are you?", f"I am fine {n}. 晚上好") for n in range(40)]
    exact = load_checkpoint(made / "glm4", "cpu")
    quantise_folder(made / "glm4", "int4-g32", tmp_path / "nearest", embedding_format="int8")
    quantise_folder(made / "glm4", "int4-g32", tmp_path / "gptq", texts=texts, embedding_format="int8")
    _, tokenizer = fastglm.load(made / "glm4")
    ids = torch.tensor([tokenizer.encode("Hello, how are you? I am fine")])

    def far(name):
        model = load_checkpoint(tmp_path / name, "cpu")
        with exact_arithmetic(model):
            return (logits(model, ids) - logits(exact, ids)).norm()

    assert far("gptq") < 1.1 * far("nearest")


def changed(folder, out, **fields):
    change_json(shutil.copytree(folder, out) / "config.json", **fields)
    return out


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rotary positions by 'yarn'"),
        ({"rope_parameters": None, "rope_scaling": {"type": "dynamic", "factor": 2.0}}, "by 'dynamic'"),
        ({"rope_scaling": "linear"}, "rope_scaling must be a table or null"),
        ({"rope_parameters": {"rope_theta": -1.0}}, "rope_theta must be a number above 0"),
        ({"rope_parameters": {"partial_rotary_factor": 2}}, "partial_rotary_factor must be"),
        ({"rope_parameters": {"partial_rotary_factor": 0.01}}, "heads are 16 wide"),
        ({"hidden_act": "gelu"}, "hidden_act must be one of silu"),
        ({"num_hidden_layers": [3]}, "num_hidden_layers must be a whole number"),
        ({"num_key_value_heads": 3}, "4 heads cannot share the keys of 3 groups"),
        ({"head_dim": None}, "heads are None wide"),
        ({"eos_token_id": 5000}, "eos_token_id is 5000"),
        ({"generation": "glm5"}, "generation is 'glm5'"),
        ({"num_hidden_layers": 4}, "lacks model.layers.3"),
        ({"attention_bias": False}, "_proj.bias, which its config has no place for"),
        ({"num_key_value_heads": 4}, "in the checkpoint and (64"),
        ({"model_type": "glm4"}, "lacks model.layers.0.post_mlp_layernorm.weight"),
        ({"model_type": "glm4_moe"}, "mixture of experts"),
    ],
)
def test_a_config_that_does_not_fit_is_told_in_one_line(made, tmp_path, fields, said):
    with pytest.raises(CheckpointError) as error:
        fastglm.load(changed(made / "glm", tmp_path / "model", **fields))
    line = str(error.value)
    assert said in line
    assert "\n" not in line
    assert len(line) < 400


def test_a_matrix_without_one_of_its_parts_is_missing(made, tmp_path):
    shutil.copytree(made / "glm", tmp_path / "model")
    wanted = "model.layers.1.self_attn.k_proj.weight"
    index = tmp_path / "model" / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    shard = tmp_path / "model" / content["weight_map"].pop(wanted)
    index.write_text(json.dumps(content))
    save_file({name: tensor for name, tensor in load_file(shard).items() if name != wanted}, shard)
    with pytest.raises(CheckpointError, match=wanted):
        fastglm.load(tmp_path / "model")


def test_positions_and_numbers_do_not_depend_on_the_generation(made, tmp_path):
    other = changed(made / "stretched", tmp_path / "model", generation="chatglm2")
    model, tokenizer = fastglm.load(other)
    assert (model.config.generation, tokenizer.generation) == ("chatglm2", "chatglm2")
    assert model.config.rules.exact_angles
    assert model.config.base_and_divisor == (50000.0, 4.0)
    assert fastglm.load(made / "stretched", generation="chatglm2")[1].generation == "chatglm2"
