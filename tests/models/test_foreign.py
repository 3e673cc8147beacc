"""Layouts beside the usual ones: the published one with quantized embedding, shards without an index, paths; and other
programs' files, which are named.
"""

import json
import shutil

import pytest
import torch
from recorded import CASE_IDS, folder
from safetensors.torch import save_file
from spoil import BIN, LORA, config, file, read_weights, several, weights, write_shards
from transformers import AutoModel

import fastglm
from fastglm.errors import CheckpointError, FastGLMError
from fastglm.hosting.host import Host
from fastglm.kernels.formats import Int4, Int8
from fastglm.models.chatglm.architecture import CHATGLM_6B
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.source import find_source, openable

EMBEDDING, HEAD = CHATGLM_6B.tensors.ends


@pytest.fixture
def model(tmp_path):
    shutil.copytree(folder("chatglm"), tmp_path / "model")
    return tmp_path / "model"


def logits(model):
    with torch.inference_mode():
        return model(torch.tensor([CASE_IDS])).logits[0, -1].float()


def answered(place, variant="fast"):
    found = fastglm.stream(*fastglm.load(place, variant), CASE_IDS, max_new_tokens=4, do_sample=False, ignore_eos=True)
    return [piece.token for piece in found]


@pytest.fixture(params=[4, 8])
def quantised_embedding(request, tmp_path):
    """The published layout of `int4-qe`: every matrix as int8 numbers with an fp16 scale per row, including embedding
    and head; and the same weights as plain numbers.
    """
    bits, form = request.param, {4: Int4(None), 8: Int8(torch.float16)}[request.param]
    packed, plain = tmp_path / "packed", tmp_path / "plain"
    for place in (packed, plain):
        shutil.copytree(folder(f"chatglm-int{bits}"), place)
    state, unpacked = read_weights(packed), {}
    for name in (EMBEDDING, HEAD):
        parts = form.pack(state.pop(name).float())
        state |= {name.removesuffix("weight") + part: tensor for part, tensor in parts.items()}
        unpacked[name] = form.unpack(parts, 64)
    torch.save(state, packed / BIN)
    weights(lambda state: state | unpacked)(plain)
    config(quantization_embeddings=True)(packed)
    return packed, plain


def test_a_quantised_embedding_is_read(quantised_embedding):
    packed, plain = quantised_embedding
    for load in (
        lambda place: fastglm.load(place)[0],
        lambda place: AutoModel.from_pretrained(place, dtype=torch.float32).eval(),
    ):
        found, wanted = logits(load(packed)), logits(load(plain))
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
    assert len(answered(packed)) == 4


def test_a_quantised_head_of_its_own_is_kept_and_an_equal_one_shared(quantised_embedding):
    packed, _ = quantised_embedding
    assert type(fastglm.load(packed)[0].lm_head).__name__ == "QuantizedLinear"
    parts = ("weight", "weight_scale")
    embedding = EMBEDDING.removesuffix("weight")
    weights(lambda state: state.update({f"lm_head.{part}": state[embedding + part].clone() for part in parts}))(packed)
    assert type(fastglm.load(packed)[0].lm_head).__name__ == "SharedHead"
    weights(lambda state: [state.pop(f"lm_head.{part}") for part in parts])(packed)
    for load in (fastglm.load, AutoModel.from_pretrained):
        with pytest.raises(CheckpointError, match=r"lacks lm_head\.weight"):
            load(packed)


def test_a_head_without_its_scale_is_named(quantised_embedding):
    packed, _ = quantised_embedding
    weights(lambda state: state.pop("lm_head.weight_scale"))(packed)
    with pytest.raises(CheckpointError, match=r"lacks lm_head\.weight_scale"):
        fastglm.load(packed)


@pytest.mark.parametrize(("kind", "width"), [("bin", 5), ("safetensors", 5), ("bin", 2)])
def test_shards_without_an_index_are_read_by_their_numbers(model, kind, width):
    wanted = answered(model)
    write_shards(model, kind, width=width)
    next(model.glob("*.index.json")).unlink()
    assert answered(model) == wanted
    next(model.glob(f"*2-of-*.{kind}")).unlink()
    with pytest.raises(CheckpointError, match=r"lacks .*2-of-0*3\."):
        fastglm.load(model)


def test_fifty_thousand_missing_shards_are_counted(model):
    (model / BIN).unlink()
    names = {f"x{number}": f"model-{number:05d}-of-50000.safetensors" for number in range(1, 50_001)}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(CheckpointError, match="and 49997 more") as raised:
        Checkpoint(model)
    assert len(str(raised.value)) < 500
    (model / "model.safetensors.index.json").unlink()
    save_file({"a": torch.ones(1)}, model / "model-00001-of-50000.safetensors")
    with pytest.raises(CheckpointError, match="and 49996 more"):
        Checkpoint(model)


def test_a_model_may_be_a_path_everywhere(model, tmp_path):
    assert fastglm.load(model)[0].fastglm.model == str(model)
    made = fastglm.compress(model, "int8", tmp_path / "out")
    assert answered(made, "original")
    with Host.start(model) as host:
        assert host.info.model == str(model)


def quantised_by(method):
    return config(quantization_config=method if method == [] else {"quant_method": method, "bits": 4})


def tensors_of(ending):
    return weights(lambda state: state | {f"transformer.layers.0.mlp.dense_h_to_4h{ending}": torch.ones(2)})


NO_CONFIG = file("config.json", None)
NO_BASE = '{"peft_type": 3, "base_model_name_or_path": null}'
GGUF = b"GGUF" + bytes(100)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (several(NO_CONFIG, file("adapter_config.json", LORA)), r"PEFT adapter \(LORA\) for a/b: load its base"),
        (several(NO_CONFIG, file("adapter_config.json", NO_BASE)), "PEFT adapter that does not name its base"),
        (several(NO_CONFIG, file("adapter_config.json", "[")), r"adapter_config\.json cannot be read as JSON"),
        (quantised_by("bitsandbytes"), "bitsandbytes has quantised: load it with AutoModel"),
        (quantised_by("gptq"), "gptq has quantised: name the checkpoint"),
        (quantised_by("awq"), "awq has quantised"),
        (quantised_by(7), "another program has quantised"),
        (quantised_by([]), "another program has quantised"),
        (file("quantize_config.json", "{}"), "gptq has quantised"),
        (tensors_of(".qweight"), "tensors of GPTQ or AWQ"),
        (tensors_of(".weight.absmax"), "tensors of bitsandbytes"),
        (tensors_of(".lora_A.weight"), "tensors of PEFT"),
        (
            several(NO_CONFIG, file(BIN, None), file("model-q4_0.gguf", GGUF)),
            r"model-q4_0\.gguf is a GGUF file",
        ),
        (several(NO_CONFIG, file(BIN, b"ggml" + bytes(100))), "is a GGML file"),
        (several(file(BIN, None), file("model.gguf", GGUF)), "is a GGUF file"),
    ],
)
def test_files_of_other_programs_are_named(model, tmp_path, change, said):
    change(model)
    ways = (lambda: fastglm.load(model), lambda: fastglm.compress(model, "int8", tmp_path / "out"))
    for way in ways:
        with pytest.raises(FastGLMError, match=said) as raised:
            way()
        assert "\n" not in str(raised.value)


def test_a_file_that_is_named_as_a_model_is_told(tmp_path):
    (tmp_path / "chatglm.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(CheckpointError, match=r"is a GGUF file, of llama\.cpp or chatglm\.cpp"):
        find_source(str(tmp_path / "chatglm.gguf"))


def test_folders_of_other_programs_are_listed_with_what_they_are(model, monkeypatch, tmp_path):
    several(NO_CONFIG, file("adapter_config.json", LORA))(model)
    monkeypatch.setenv("FASTGLM_MODEL_DIRS", str(tmp_path))
    assert "PEFT adapter" in openable().refused[str(model)]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"vision_config": {}, "_name_or_path": "THUDM/glm-4v-9b"},
            r"4v-9b \(chatglm\) sees pictures.*vLLM runs",
        ),
        ({"architectures": ["ChatGLMForConditionalGenerationWithImage"]}, "VisualGLM.*published code"),
        ({"auto_map": {"AutoModel": "modeling_chatglm.ChatGLMForConditionalGenerationWithImage"}}, "VisualGLM"),
        ({"model_type": None, "architectures": ["CogVLMForCausalLM"]}, "CogVLM or CogAgent.*LMDeploy runs CogVLM"),
        ({"model_type": "glm", "vision_config": {}}, "GLM-Edge-V.*llama.cpp runs it"),
        ({"model_type": "glm4_moe"}, "mixture of experts.*AutoModelForCausalLM"),
        ({"model_type": "glm_moe_dsa"}, "mixture of experts"),
        ({"model_type": "glm4v_moe"}, "sees pictures.*AutoModelForImageTextToText"),
        ({"model_type": "glm46v"}, "sees pictures"),
    ],
)
def test_relatives_with_pictures_or_experts_are_named_with_what_runs_them(model, fields, said):
    config(**fields)(model)
    with pytest.raises(CheckpointError, match=said) as refused:
        fastglm.load(model)
    assert "\n" not in str(refused.value)
    if "model_type" not in fields:
        with pytest.raises(CheckpointError, match=said):
            AutoModel.from_pretrained(model)
