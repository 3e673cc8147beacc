"""Depth pruning: the removed layer, its cost, and the unchanged other layers."""

import pytest
import torch
import torch.nn.functional as F
from pruning import LAYER, LAYERS, SOURCE, TEXTS, changed_copy, check_prediction, logits, stored
from transformers import AutoModelForCausalLM

import fastglm
from fastglm.compress.calibration import calibration_examples
from fastglm.compress.prune import depth, prune_depth
from fastglm.evaluate.likelihood import likelihood
from fastglm.kernels.rotary import apply_rotary
from fastglm.models.chatglm.positions import attention_mask, find_layout, position_ids
from fastglm.models.chatglm.rotary import Rotary2D
from fastglm.models.checkpoint import Checkpoint


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
    """A checkpoint whose middle layer is idle, and the same one without this layer."""
    source = changed_copy(tmp_path_factory.mktemp("idle") / "model", make_idle)
    out = source.with_name("pruned")
    with pytest.MonkeyPatch.context() as patch:
        # By influence alone: with random weights, removing another layer would lower the loss.
        patch.setattr(depth, "CANDIDATES", 1)
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


def scores(attention, x, ids, by=1.0):
    """Scores q·k of every head over sqrt(head_dim) and `by`, in the dtype of x."""
    rotation = Rotary2D(attention.head_dim, 64)(positions(ids)[0], 64, x.dtype)
    qk = attention.query_key_value(x).unflatten(-1, (attention.heads, -1))[..., : 2 * attention.head_dim]
    q, k = apply_rotary(qk, rotation).transpose(1, 2).chunk(2, -1)
    return (q / (attention.head_dim**0.5 * by)) @ k.transpose(-1, -2)


def positions(ids):
    layout = find_layout(ids, None, 89, 86, 85)
    return position_ids(layout), attention_mask(layout)


def published_attention(attention, x, number, ids):
    """The published fp16 arithmetic: q is divided by the layer's number from 1, and the scores multiplied in fp32."""
    multiplied = scores(attention, x, ids, number + 1).float() * (number + 1)
    weights = multiplied.masked_fill(~positions(ids)[1], -torch.inf).softmax(-1).to(x.dtype)
    v = attention.query_key_value(x).unflatten(-1, (attention.heads, -1))[..., 2 * attention.head_dim :]
    return attention.dense((weights @ v.transpose(1, 2)).transpose(1, 2).flatten(2))


@torch.inference_mode()
def test_in_fp16_a_layer_keeps_the_score_scaling_it_was_trained_with(idle):
    # Scores that fit into fp16 over 3, for the last layer as it was trained, but not over 2, its place afterwards.
    model, tokenizer = fastglm.load(str(idle[1]), device="cpu")
    ids = torch.tensor([tokenizer.encode_message("你好")])
    attention, number = model.transformer.layers[1].attention, model.config.layer_number(1)
    x = torch.randn(1, ids.shape[1], 64, generator=torch.Generator().manual_seed(0))
    qkv = attention.query_key_value
    larger = (150_000 / scores(attention, x, ids).max()) ** 0.5
    rows = torch.ones(8, 3, 8).index_fill(1, torch.tensor([0, 1]), larger).flatten()  # parts of q and k
    qkv.weight.mul_(rows[:, None])
    qkv.bias.mul_(rows)
    rotation = Rotary2D(attention.head_dim, 64)(positions(ids)[0], 64, torch.float16)
    attention, x = attention.half(), x.half()
    assert not published_attention(attention, x, 1, ids).isfinite().all()
    wanted = published_attention(attention, x, number, ids).float()
    found = attention(x, rotation, positions(ids)[1], None).float()
    assert (found - wanted).norm() < 0.01 * wanted.norm()


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
