"""Configs and weights that loading refuses; compression refuses the same ones, and AutoModel the same configs."""

import json
import shutil

import pytest
import torch
from recorded import folder
from safetensors.torch import save_file
from spoil import BIN, FOREIGN, config, read_weights, weights, write_shards
from transformers import AutoConfig, AutoModel

import fastglm
from fastglm.errors import CheckpointError, FastGLMError
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.checkpoint import Checkpoint

WEIGHT, BIAS = "transformer.layers.1.mlp.dense_h_to_4h.weight", "transformer.layers.1.mlp.dense_h_to_4h.bias"


@pytest.fixture
def model(tmp_path):
    shutil.copytree(folder("chatglm"), tmp_path / "model")
    return tmp_path / "model"


def refused(model, said, compressed=True):
    """Check that loading and compression refuse with the same line."""
    lines = set()
    ways = [lambda: fastglm.load(model)]
    if compressed:
        ways.append(lambda: fastglm.compress(model, "int8", model.with_name("out")))
    for way in ways:
        with pytest.raises(FastGLMError, match=said) as raised:
            way()
        lines.add(str(raised.value))
    assert len(lines) == 1
    assert "\n" not in lines.pop()
    assert not model.with_name("out").exists()


NAN, INF = float("nan"), float("inf")
FIELDS = [
    ("num_layers", 10**9),
    ("num_layers", 0),
    ("num_layers", -1),
    ("num_layers", "3"),
    ("num_layers", 3.0),
    ("num_layers", True),
    ("num_layers", [3]),
    ("num_layers", None),
    ("num_layers", "many digits"),
    ("hidden_size", -64),
    ("hidden_size", {}),
    ("vocab_size", 10**12),
    ("vocab_size", False),
    ("num_attention_heads", 0),
    ("num_attention_heads", []),
    ("num_attention_heads", [8, "8", 8]),
    ("num_attention_heads", [8] * 2000),
    ("inner_hidden_size", -1),
    ("head_dim", 0),
    ("head_dim", "8"),
    ("layernorm_epsilon", NAN),
    ("layernorm_epsilon", INF),
    ("layernorm_epsilon", 0),
    ("layernorm_epsilon", -1e-5),
    ("layernorm_epsilon", "1e-5"),
    ("max_sequence_length", 10**9),
    ("max_sequence_length", 0),
    ("position_encoding_2d", 1),
    ("tie_word_embeddings", "no"),
    ("quantization_bit", "8"),
    ("quantization_embeddings", 2),
    ("weight_format", 8),
    ("weight_format", "int5"),
    ("pad_token_id", -1),
    ("gmask_token_id", [1]),
    ("eos_token_id", []),
    ("num_labels", 10**9),
    ("torch_dtype", "float17"),
    ("dtype", {"a": 1}),
    ("id2label", [1, 2]),
    ("cache_format", "int9"),
    ("sparsity", 24),
    ("layer_numbers", [0, 1, NAN]),
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("field", "value"), FIELDS, ids=lambda value: str(value)[:12])
def test_a_field_out_of_its_range_is_named(model, field, value):
    text = (model / "config.json").read_text().rstrip().removesuffix("}")
    value = "9" * 5000 if value == "many digits" else json.dumps(value)
    (model / "config.json").write_text(f'{text}, "{field}": {value}}}')
    with pytest.raises(CheckpointError) as raised:
        Checkpoint(model)
    assert "config.json" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(("field", "value"), [("num_layers", 10**9), ("layernorm_epsilon", NAN), ("hidden_size", "64")])
def test_every_way_to_read_a_config_says_the_same(model, field, value):
    config(**{field: value})(model)
    refused(model, f"{field} must be")
    for read in (AutoConfig.from_pretrained, AutoModel.from_pretrained):
        with pytest.raises(CheckpointError, match=f"config.json: {field} must be"):
            read(model)


def test_a_config_changed_by_hand_is_checked_when_a_model_is_built(model):
    config = ChatGLM6BConfig(num_layers=1)
    config.layernorm_epsilon = NAN
    with pytest.raises(CheckpointError, match="layernorm_epsilon must be a number"):
        AutoModel.from_config(config)


def test_ids_beyond_the_vocabulary_are_named(model):
    config(eos_token_id=768)(model)
    refused(model, "eos_token_id is 768, and the vocabulary has 768 tokens")


def with_weights(model, change, kind="bin"):
    weights(change)(model)
    if kind == "safetensors":
        save_file(read_weights(model), model / "model.safetensors")
        (model / BIN).unlink()


def put(name, make):
    def change(state):
        state[name] = make(state[name])

    return change


def spoil(number):
    def make(tensor):
        tensor = tensor.clone()
        tensor.flatten()[5] = number
        return tensor

    return make


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put(WEIGHT, spoil(NAN)), f"{WEIGHT} holds NaN or infinite"),
        (put(BIAS, spoil(INF)), f"{BIAS} holds NaN or infinite"),
        (put("lm_head.weight", spoil(-INF)), "lm_head.weight holds NaN or infinite"),
        (put(WEIGHT, lambda x: x > 0), f"{WEIGHT} is of bool in the checkpoint and must be floating point"),
        (put(WEIGHT, lambda x: x.long()), "is of int64 in the checkpoint and must be floating point"),
        (put(BIAS, lambda x: x.to(torch.int8)), "is of int8 in the checkpoint"),
        (put(WEIGHT, lambda x: x.to(torch.float8_e4m3fn)), "is of float8_e4m3fn in the checkpoint"),
        (put(BIAS, lambda x: x[0].clone()), r"is \(\) in the checkpoint and \(256,\) by its config"),
        (put(BIAS, lambda x: x[:0]), r"is \(0,\) in the checkpoint"),
        (put(WEIGHT, lambda x: x.T.contiguous()), r"is \(64, 256\) in the checkpoint and \(256, 64\)"),
        (lambda state: state.update({"x" * 1000: torch.ones(1)}), "has no place for"),
        (lambda state: [state.pop(name) for name in list(state)[5:15]], "lacks .* and 7 more"),
    ],
)
def test_weights_that_are_none_are_named(model, change, said, kind):
    with_weights(model, change, kind)
    refused(model, said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put(WEIGHT, lambda x: x[:1, :1].clone().expand_as(x)), "holds fewer numbers for"),
        (put(WEIGHT, lambda x: x.to_sparse()), "holds fewer numbers for|truncated or corrupt"),
        (put(WEIGHT, lambda x: x.tolist()), "is not a tensor"),
        (lambda state: state.update({5: torch.ones(1)}), "which is not a word"),
        (lambda state: state.update({"a": None}), "is not a tensor"),
    ],
)
def test_objects_of_torch_that_are_no_weights_are_refused(model, change, said):
    with_weights(model, change)
    refused(model, said)


@pytest.mark.parametrize("name", [BIN, "model.safetensors"])
@pytest.mark.parametrize("content", FOREIGN, ids=range(len(FOREIGN)))
def test_files_of_other_things_are_refused_in_a_line(model, name, content):
    (model / BIN).unlink()
    (model / name).write_bytes(content)
    refused(model, "truncated or corrupt|holds more than weights|no table of weights|is not a tensor")


def write_index(model, value):
    (model / "model.safetensors.index.json").write_text(json.dumps(value))


@pytest.mark.parametrize(
    "value", [{}, {"weight_map": {}}, {"weight_map": []}, {"weight_map": {"a": 1}}, {"weight_map": {"a": ""}}, [], 3]
)
def test_an_index_of_wrong_types(model, value):
    write_shards(model, count=2)
    write_index(model, value)
    refused(model, "names no weight files|holds no JSON object")


@pytest.mark.parametrize("name", ["../model/a.bin", "/etc/passwd", "..", "sub/model.bin", "config.json", "a\0.bin"])
def test_an_index_that_names_files_elsewhere(model, name):
    places = write_shards(model, count=2)
    write_index(model, {"weight_map": places | {"lm_head.weight": name}})
    refused(model, r"names no weight files|lacks a\?\.bin")


def test_an_index_that_names_the_wrong_shard(model):
    places = write_shards(model, count=2)
    first, second = sorted(set(places.values()))
    wrong = next(name for name, file in places.items() if file == first)
    write_index(model, {"weight_map": places | {wrong: second}})
    refused(model, f"says that {wrong} is in {second}, which does not hold it")


def test_a_tensor_in_two_shards(model):
    write_index(model, {"weight_map": write_shards(model, count=2)})
    save_file({"lm_head.weight": torch.ones(768, 64)}, model / "model-00003-of-00003.safetensors")
    index = json.loads((model / "model.safetensors.index.json").read_text())["weight_map"]
    write_index(model, {"weight_map": index | {"lm_head.bias": "model-00003-of-00003.safetensors"}})
    refused(model, "holds lm_head.weight twice")


@pytest.mark.parametrize(("name", "value"), [("tokenizer_config.json", []), ("special_tokens_map.json", 3)])
def test_tables_of_a_tokenizer_of_wrong_types(model, name, value):
    (model / name).write_text(json.dumps(value))
    refused(model, f"{name} holds no JSON object")


def test_numbers_that_overflow_on_the_way_are_not_written(model):
    with_weights(model, put(WEIGHT, lambda x: x.double().fill_(1e300)))
    with pytest.raises(FastGLMError, match="NaN or infinite"):
        fastglm.compress(model, "int8", model.with_name("out"))
    assert not model.with_name("out").exists()
