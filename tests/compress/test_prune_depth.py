"""Depth pruning: the layer that goes, what it costs, and that the others stay what they were."""

import pytest
import torch
import torch.nn.functional as F
from compress.pruning import LAYER, LAYERS, SOURCE, TEXTS, changed_copy, check_prediction, logits, make_walk, stored
from transformers import AutoModelForCausalLM

import fastglm
from fastglm.compress.prune import prune_depth
from fastglm.compress.walk import calibration_examples
from fastglm.evaluate.likelihood import likelihood
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.positions import attention_mask, find_layout, position_ids
from fastglm.models.rotary import Rotary2D, apply_rotary


def make_idle(state, layer=1):
    """A layer that adds nothing, with plain norms."""
    for name, tensor in state.items():
        if name.startswith(LAYER.format(layer)):
            if "layernorm.weight" in name:
                tensor.fill_(1)
            elif "layernorm" in name or ".dense." in name or "4h_to_h" in name:
                tensor.zero_()


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A checkpoint whose middle layer is idle, and it without that layer."""
    source = changed_copy(tmp_path_factory.mktemp("idle") / "model", make_idle)
    out = source.with_name("pruned")
    return source, out, prune_depth(source, out, 1, TEXTS, device="cpu")


def test_an_idle_layer_goes_and_no_logit_changes(idle):
    source, out, report = idle
    assert report.details["removed"] == [1]
    assert report.details["loss_after"] == pytest.approx(report.details["loss_before"], abs=1e-5)
    torch.testing.assert_close(logits(out), logits(source), atol=1e-4, rtol=0)
    check_prediction(report, out)


def test_the_layers_that_stay_keep_their_weights_and_their_numbers(idle):
    source, out, _ = idle
    before = torch.load(source / "pytorch_model.bin", weights_only=True)
    after = stored(out)
    for name, tensor in before.items():
        if not name.startswith(LAYER.format(1)) and "inv_freq" not in name:
            assert torch.equal(after[name.replace(LAYER.format(2), LAYER.format(1))], tensor)
    config = Checkpoint(out).config
    assert config.num_layers == 2
    assert [config.layer_number(layer) for layer in range(2)] == [0, 2]
    assert [Checkpoint(source).config.layer_number(layer) for layer in range(LAYERS)] == [0, 1, 2]


def test_numbers_outlive_another_pruning(idle, tmp_path):
    prune_depth(idle[1], tmp_path / "out", 1, TEXTS, device="cpu")
    (number,) = Checkpoint(tmp_path / "out").config.layer_numbers
    assert number in (0, 2)


@torch.inference_mode()
def published_attention(attention, x, number, ids):
    """The published fp16 arithmetic: q over the layer's number, and the scores times it in fp32."""
    layout = find_layout(ids, None, 89, 86, 85)
    rotation = Rotary2D(attention.head_dim, 64)(position_ids(layout, ids.shape[1]), 64, x.dtype)
    qkv = attention.query_key_value(x).unflatten(-1, (attention.heads, -1))
    qk, v = qkv.split((2 * attention.head_dim, attention.head_dim), -1)
    q, k = apply_rotary(qk, rotation).transpose(1, 2).chunk(2, -1)
    scores = (q / (attention.head_dim**0.5 * (number + 1))) @ k.transpose(-1, -2)
    scores = scores.float() * (number + 1)
    weights = scores.masked_fill(~attention_mask(layout, ids.shape[1]), -torch.inf).softmax(-1).half()
    return attention.dense((weights @ v.transpose(1, 2)).transpose(1, 2).flatten(2))


def test_in_fp16_a_layer_keeps_the_score_scaling_it_was_trained_with(idle):
    # Scores that fit into fp16 divided by 3, the number of the last layer, but not divided by 2, its place afterwards.
    model, tokenizer = fastglm.load(str(idle[1]), device="cpu", dtype="float16")
    ids = torch.tensor([tokenizer.encode_message("你好")])
    attention, number = model.transformer.layers[1].attention, model.config.layer_number(1)
    x = torch.randn(1, ids.shape[1], 64, generator=torch.Generator().manual_seed(0)).half()
    largest = 150_000
    with torch.inference_mode():
        q, k, _ = attention.query_key_value(x).float().unflatten(-1, (8, 3, -1)).transpose(1, 2).unbind(-2)
        scale = (largest / (q @ k.transpose(-1, -2) / attention.head_dim**0.5).abs().max()) ** 0.5
        attention.query_key_value.weight.mul_(scale)
        attention.query_key_value.bias.mul_(scale)
        layout = find_layout(ids, None, 89, 86, 85)
        rotation = Rotary2D(attention.head_dim, 64)(position_ids(layout, ids.shape[1]), 64, torch.float16)
        found = attention(x, rotation, attention_mask(layout, ids.shape[1]), None)
    assert not published_attention(attention, x, 1, ids).isfinite().all()
    wanted = published_attention(attention, x, number, ids)
    assert (found - wanted).float().norm() < 0.01 * wanted.float().norm()
    assert logits(idle[1], "float16").isfinite().all()


def test_influence_is_one_minus_the_mean_cosine(idle):
    model, _ = fastglm.load(str(idle[0]), device="cpu")
    examples = calibration_examples(Checkpoint(idle[0]), TEXTS)[::2]
    cosines = [[] for _ in range(LAYERS)]
    final, model.transformer.final_layernorm = model.transformer.final_layernorm, torch.nn.Identity()
    for example in examples:
        with torch.inference_mode():
            states = model(torch.tensor([example.tokens]), output_hidden_states=True).hidden_states
        for layer in range(LAYERS):
            cosines[layer] += F.cosine_similarity(states[layer][0], states[layer + 1][0], dim=-1).tolist()
    model.transformer.final_layernorm = final
    wanted = [1 - sum(found) / len(found) for found in cosines]
    assert idle[2].details["influence"] == pytest.approx(wanted, abs=1e-5)


def test_the_layer_whose_loss_is_least_goes(tmp_path):
    report = prune_depth(SOURCE, tmp_path / "out", 1, TEXTS, device="cpu")
    held = calibration_examples(Checkpoint(SOURCE), TEXTS)[1::2]
    losses = []
    for layer in range(LAYERS):
        model, _ = fastglm.load(str(SOURCE), device="cpu")
        if layer == 0:
            assert report.details["loss_before"] == pytest.approx(likelihood(model, held).loss, abs=1e-4)
        del model.transformer.layers[layer]
        losses.append(likelihood(model, held).loss)
    assert report.details["loss_after"] == pytest.approx(min(losses), abs=1e-4)
    assert report.details["removed"] == [losses.index(min(losses))]


def test_from_pretrained_reads_it_too(idle):
    model = AutoModelForCausalLM.from_pretrained(idle[1]).eval()
    assert len(model.transformer.layers) == 2


@pytest.fixture(scope="module")
def walk():
    return make_walk(SOURCE)


def test_a_walk_has_the_loss_of_the_whole_model(walk):
    model, _ = fastglm.load(str(SOURCE), device="cpu")
    states = walk.embed()
    for layer in range(LAYERS):
        states = walk.run(walk.block(layer), states)
    assert walk.loss(states) == pytest.approx(
        likelihood(model, calibration_examples(walk.checkpoint, TEXTS)).loss, abs=1e-4
    )
