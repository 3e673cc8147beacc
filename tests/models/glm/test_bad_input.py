"""Checkpoints of GLM whose parts do not belong together: one clear line from `fastglm.load` and from AutoModel, and no
model that computes something else.
"""

import shutil

import pytest
import torch
from recorded import folder
from spoil import config, weights
from transformers import AutoModel

import fastglm
from fastglm.cli.commands import main
from fastglm.errors import FastGLMError
from fastglm.models.adapter import find_adapter
from fastglm.models.checkpoint import read_config

LAYER = "transformer.encoder.layers.1."
GATES = f"{LAYER}mlp.dense_h_to_4h.weight"
NAN = float("nan")


def without(part):
    return weights(lambda state: {name: each for name, each in state.items() if part not in name})


def plus(name):
    return weights(lambda state: state | {name: torch.ones(2, 2, dtype=torch.int32)})


def of_chatglm_6b(place):
    shutil.copy(folder("chatglm") / "pytorch_model.bin", place)


NO_PLACE = r"layers\.2\.\S+, which its config has no place for"
OTHER = "config.json and the weights are not of the same model"
SHAPE = rf"is \(.*\) in the checkpoint and \(.*\) by its config: {OTHER}"
KIND = f"{OTHER}, or quantization_bit does not say how these are quantised"
PLAIN = "config.json says that the weights are quantised, and they are not; set quantization_bit to 0"
PACKED = "weight_scale, so that its weights are quantised, and config.json does not say so: set quantization_bit"
# The recorded checkpoint, what is changed in it, and the line of `fastglm.load`; that of AutoModel where it differs.
BAD = {
    "a layer beyond the config": ("chatglm3", config(num_layers=2), NO_PLACE, None),
    "a layer fewer than the config": (
        "chatglm3",
        config(num_layers=4),
        r"lacks transformer\.encoder\.layers\.3\.",
        None,
    ),
    "a layer missing": ("chatglm3", without(".layers.1."), r"lacks transformer\.encoder\.layers\.1\.", None),
    "a matrix missing": ("chatglm3", without(GATES), f"lacks {GATES}: a shard is missing", None),
    "no head": ("chatglm3", without("output_layer"), r"lacks transformer\.output_layer\.weight", None),
    "fewer groups": ("chatglm3", config(multi_query_group_num=1), SHAPE, None),
    "more groups": ("chatglm3", config(multi_query_group_num=4), SHAPE, None),
    "groups that do not divide": ("chatglm3", config(multi_query_group_num=3), "keys of 3 groups: the number", None),
    "no groups": ("chatglm3", config(multi_query_attention=False), SHAPE, None),
    "no biases": ("chatglm3", config(add_qkv_bias=False), "query_key_value.bias, which its", None),
    "other heads": ("chatglm3", config(kv_channels=8), SHAPE, None),
    "an odd head": ("chatglm3", config(kv_channels=15), "heads are 15 wide", None),
    "another width": ("chatglm3", config(ffn_hidden_size=100), SHAPE, None),
    "another vocabulary": ("chatglm3", config(padded_vocab_size=800), SHAPE, None),
    "no context": ("chatglm3", config(seq_length=0), "seq_length must be a whole number", None),
    "no number": ("chatglm3", config(rope_ratio=NAN), "rope_ratio must be a number above 0", None),
    "a list of generations": ("chatglm3", config(generation=["chatglm3"]), "generation", None),
    "weights of ChatGLM-6B": ("chatglm3", of_chatglm_6b, "which its config has no place for", "lacks transformer"),
    "GPTQ's tensors": ("chatglm3", plus(f"{LAYER}mlp.dense_h_to_4h.qweight"), "tensors of GPTQ or AWQ", None),
    "plain as int8": ("chatglm3", config(quantization_bit=8), KIND, PLAIN),
    "plain as int4": ("chatglm3", config(quantization_bit=4), KIND, SHAPE),
    "int8 as plain": ("chatglm2-int8", config("quantization_bit"), KIND, PACKED),
    "int4 as plain": ("chatglm2-int4", config("quantization_bit"), KIND, PACKED),
    "int8 as int4": ("chatglm2-int8", config(quantization_bit=4), SHAPE, None),
    "int4 as int8": ("chatglm2-int4", config(quantization_bit=8), SHAPE, None),
}


@pytest.mark.parametrize("name", BAD)
def test_parts_that_do_not_belong_together_are_told_in_a_line(tmp_path, name):
    base, change, said, of_auto_model = BAD[name]
    shutil.copytree(folder(base), tmp_path / "model")
    change(tmp_path / "model")
    for load, wanted in ((fastglm.load, said), (AutoModel.from_pretrained, of_auto_model or said)):
        with pytest.raises(FastGLMError, match=wanted) as refused:
            load(tmp_path / "model")
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 500


def test_other_shapes_that_a_caller_asks_for_are_taken(tmp_path):
    shutil.copytree(folder("chatglm3"), tmp_path / "model")
    config(padded_vocab_size=800)(tmp_path / "model")
    found, info = AutoModel.from_pretrained(tmp_path / "model", ignore_mismatched_sizes=True, output_loading_info=True)
    assert found.config.vocab_size == 800
    assert len(info["mismatched_keys"]) == 2


@pytest.mark.parametrize("command", [["evaluate"], ["compress", "--recipe", "int8"], ["convert", "--to", "glm"]])
def test_commands_say_it_in_a_line(tmp_path, capsys, command):
    shutil.copytree(folder("chatglm3"), tmp_path / "model")
    config(num_layers=2)(tmp_path / "model")
    out = [] if command == ["evaluate"] else ["--out", str(tmp_path / "out")]
    assert main([*command, "--model", str(tmp_path / "model"), *out]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "has no place for: check config.json" in line
    assert not (tmp_path / "out").exists()


# A learned prefix of another model; those of other sizes are in tests/models/test_adapter.py.


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_layers": 3}, "with 3 layers, and this one has 2"),
        ({"multi_query_group_num": 4}, "with 4 heads of keys in a layer, and this one has 2"),
        ({"hidden_size": 128}, "with 128 numbers in a state"),
        ({"kv_channels": 16}, "with 16 numbers in a head"),
        ({"_name_or_path": "THUDM/chatglm3-6b"}, "for a ChatGLM3 model"),
        ({"generation": "chatglm3"}, "for a ChatGLM3 model"),
        ({"_name_or_path": "../base"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_a_prefix_that_fits_another_model_is_told(tmp_path, fields, said):
    record = folder("chatglm2-ptuning")
    shutil.copytree(record / "prefix", tmp_path / "prefix")
    config(**fields)(tmp_path / "prefix")
    assert (said or "None") in str(find_adapter(tmp_path / "prefix").misfit(read_config(record / "base")))
