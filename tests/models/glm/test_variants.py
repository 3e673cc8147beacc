"""Everything that is made from ChatGLM-6B works on a checkpoint with shared keys and a gate too."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pruning import check_narrowing
from recorded import expected, folder
from transformers import AutoModel

import fastglm
from fastglm.compress.calibration import calibration_examples
from fastglm.compress.prune.width import prune_width
from fastglm.compress.quantize import quantise_folder
from fastglm.compress.scores import score
from fastglm.compress.size import predict_size
from fastglm.evaluate.harness_model import VariantLM
from fastglm.evaluate.layerwise_answers import layerwise_answers
from fastglm.kernels.exact import exact_arithmetic
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.facts import LayerShape
from fastglm.models.glm.block import Block
from fastglm.models.glm.config import GLMConfig
from fastglm.models.glm.rotary import Rotary
from fastglm.models.glm.shapes import SHAPES
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.loading import load_checkpoint, weights_memory
from fastglm.models.source import find_source
from fastglm.text_files import Text

SOURCE = folder("chatglm3")
CASE = expected("chatglm3")["generate"][1]
TEXTS = [Text([], f"你好 {n} Hello, how are you?", f"I am fine {n}. 晚上好") for n in range(40)]
RECIPE = """
steps:
- prune-depth: {layers: 1}
- prune-width: {channels: 0.75, heads: 0.5}
- distil: {steps: 2, rows: 1, row: 128}
- quantise: {format: int4-g32}
"""


def answer(loaded, count=8):
    pieces = fastglm.stream(*loaded, CASE["input_ids"], max_new_tokens=count, do_sample=False, ignore_eos=True)
    return [piece.token for piece in pieces]


@torch.inference_mode()
def logits(model):
    return model(torch.tensor([CASE["input_ids"]])).logits[0]


@pytest.fixture(scope="module")
def exact():
    return load_checkpoint(SOURCE, "cpu")


@pytest.mark.parametrize(("variant", "error"), [("int8", 0.04), ("int4", 0.45)])
def test_a_rounded_variant_stays_close_and_has_the_predicted_size(exact, variant, error):
    model, _ = loaded = fastglm.load(SOURCE, variant)
    with exact_arithmetic(model):  # the rounding of activations depends on the kernels of the machine
        assert (logits(model) - logits(exact)).norm() < error * logits(exact).norm()
    packed = load_checkpoint(Path(model.fastglm.folder), "cpu")
    assert predict_size(packed.config).bytes == weights_memory(packed)
    assert weights_memory(packed) < 0.35 * weights_memory(exact)
    assert len(answer(loaded)) == 8


@pytest.mark.parametrize("variant", ["original", "fast"])
def test_an_int8_cache_gives_the_exact_answer(variant):
    assert answer(fastglm.load(SOURCE, variant, cache="int8")) == CASE["new_ids"][:8]


@torch.inference_mode()
def test_products_with_calibrated_weights_are_closer_than_with_those_to_nearest(exact, tmp_path):
    quantise_folder(SOURCE, "int4-g32", tmp_path / "nearest", embedding_format="int8")
    quantise_folder(SOURCE, "int4-g32", tmp_path / "gptq", texts=TEXTS, embedding_format="int8")
    names, seen = exact.names, {}
    for path in (*names.attention_in, names.attention_out, *names.mlp_in, names.mlp_out):
        linear = exact.blocks[0].get_submodule(path)
        linear.register_forward_pre_hook(lambda _, given, path=path: seen.setdefault(path, []).append(given[0][0]))
    for example in calibration_examples(Checkpoint(SOURCE), TEXTS):
        exact(torch.tensor([example.tokens]))
    for path in seen:
        exact.blocks[0].get_submodule(path)._forward_pre_hooks.clear()

    def lost(name, path):
        """The distance of a matrix's products, on the texts of the calibration, from those of the original."""
        packed = load_checkpoint(tmp_path / name, "cpu").blocks[0].get_submodule(path)
        weight = packed.format.unpack(packed.parts(), packed.columns)
        return ((weight - exact.blocks[0].get_submodule(path).weight) @ torch.cat(seen[path]).T).norm()

    shares = {path: float(lost("gptq", path) / lost("nearest", path)) for path in seen}
    assert max(shares.values()) < 0.95
    assert shares[names.attention_in[0]] < 0.6  # its inputs are those of the original, and nothing else is compensated


def test_heads_of_queries_are_pruned_with_the_keys_that_they_share(tmp_path):
    pruned = prune_width(SOURCE, tmp_path / "narrow", TEXTS, channels=0.5, heads=0.5)
    assert pruned.details == {"channels": [96] * 3, "heads": [2] * 3}
    model, _ = loaded = fastglm.load(tmp_path / "narrow")
    assert [model.config.kv_heads(layer) for layer in range(3)] == [1, 1, 1]
    assert answer(loaded) == answer(fastglm.load(tmp_path / "narrow", "fast"))
    assert AutoModel.from_pretrained(tmp_path / "narrow").config.generation == "chatglm3"


@torch.inference_mode()
def test_groups_and_channels_that_add_nothing_leave_no_trace():
    torch.manual_seed(0)
    config = GLMConfig(
        hidden_size=24, head_dim=8, num_attention_heads=4, multi_query_attention=True, multi_query_group_num=2,
        ffn_hidden_size=16, add_qkv_bias=True, num_layers=1,
    )  # fmt: skip
    shape = LayerShape(2, 1, 8)
    block, narrow = Block(config, 0), Block(config.with_layers([shape]), 0)
    block.self_attention.dense.weight[:, :16] = 0  # the first group, with its two heads of queries
    block.mlp.dense_4h_to_h.weight[:, ::2] = 0
    rotation = Rotary(config)(torch.arange(40)[None, None], 40, torch.float32)
    check_narrowing(config.architecture.tensors, block, narrow, shape, torch.randn(1, 40, 24), rotation, None, None)


@pytest.mark.soak
def test_a_whole_recipe_gives_a_checkpoint_that_answers(tmp_path):
    recipe = tmp_path / "whole.yaml"
    recipe.write_text(RECIPE)
    made = fastglm.compress(SOURCE, recipe, tmp_path / "made", texts=TEXTS)
    model, _ = loaded = fastglm.load(made, "fast")
    assert (model.config.layers, model.config.kv_heads(0)) == (2, 1)
    assert len(answer(loaded)) == 8


def test_layers_one_by_one_give_the_recorded_answer_and_the_same_score(exact):
    model = LayerwiseModel(Checkpoint(SOURCE), torch.device("cpu"))
    assert dict(layerwise_answers(model, [CASE["input_ids"]], 8, 1 << 20)) == {0: CASE["new_ids"][:8]}
    found = score(SOURCE, TEXTS, "cpu")
    assert found
    assert found["tokens"] > 100


def test_the_harness_scores_what_the_model_says():
    loaded = fastglm.load(SOURCE)
    judge = VariantLM(*loaded)
    [(nats, _)] = judge.loglikelihood([SimpleNamespace(args=("Hello", " you"))])
    said = loaded[1].encode_text("you")
    ids = [*loaded[1].get_prefix_tokens(), *loaded[1].encode_text("Hello"), *said]
    with torch.inference_mode():
        told = loaded[0](torch.tensor([ids])).logits[0].log_softmax(-1)[-len(said) - 1 : -1]
    assert nats == pytest.approx(told.gather(1, torch.tensor(said)[:, None]).sum().item(), abs=1e-4)


def test_peft_trains_an_adapter_and_layers_may_lie_on_a_disk(tmp_path):
    from peft import LoraConfig, get_peft_model

    ids = torch.tensor([CASE["input_ids"]])
    tuned = get_peft_model(AutoModel.from_pretrained(SOURCE), LoraConfig(target_modules=["query_key_value"], r=2))
    tuned(input_ids=ids, labels=ids).loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in tuned.parameters())
    parts = ("embedding", "encoder.layers.0", "encoder.layers.2", "encoder.final_layernorm", "output_layer")
    places = {**{f"transformer.{part}": "cpu" for part in parts}, "transformer.encoder.layers.1": "disk"}
    spread = AutoModel.from_pretrained(SOURCE, device_map=places, offload_folder=tmp_path)
    new = spread.generate(ids, max_new_tokens=8, do_sample=False, eos_token_id=None)[0, ids.shape[1] :]
    assert new.tolist() == CASE["new_ids"][:8]


@pytest.mark.parametrize("name", SHAPES)
def test_a_published_size_is_known_by_name(name):
    assert find_source(f"shape:{name}").layers == SHAPES[name]["num_layers"]
