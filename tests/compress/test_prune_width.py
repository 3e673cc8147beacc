"""Width pruning: parts that add nothing go first without a trace, then those that add least."""

import torch
from pruning import LAYER, LAYERS, SOURCE, TEXTS, changed_copy, check_prediction, layerwise, logits, stored
from transformers import AutoModelForCausalLM

from fastglm.compress.prune import prune_depth, prune_width
from fastglm.models.checkpoint import Checkpoint

HEADS, SIZE, INNER = 8, 8, 256


def empty_quarter(state):
    """Make 64 channels and 2 heads of every layer add nothing, other ones in each layer, for different reasons."""
    for layer in range(LAYERS):
        at = LAYER.format(layer)
        channels = torch.randperm(INNER, generator=torch.Generator().manual_seed(layer))[:64]
        state[at + "mlp.dense_4h_to_h.weight"][:, channels[:32]] = 0
        state[at + "mlp.dense_h_to_4h.weight"][channels[32:]] = 0
        state[at + "mlp.dense_h_to_4h.bias"][channels[32:]] = 0
        dense = state[at + "attention.dense.weight"].unflatten(1, (HEADS, SIZE))
        dense[:, [layer, layer + 3]] = 0


def test_parts_that_add_nothing_go_and_no_logit_changes(tmp_path):
    source = changed_copy(tmp_path / "model", empty_quarter)
    report = prune_width(source, tmp_path / "out", TEXTS, 0.75, 0.75, device="cpu")
    # In fp64: sums in another order alone change the logits of these random weights by 3e-5 in fp32.
    found, wanted = (logits(path, torch.float64) for path in (tmp_path / "out", source))
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=0)
    assert report.details == {"channels": [192] * LAYERS, "heads": [6] * LAYERS}
    check_prediction(report, tmp_path / "out")
    assert len(AutoModelForCausalLM.from_pretrained(tmp_path / "out").transformer.layers) == LAYERS


def make_constant(state):
    """Make a quarter of the channels constant and large."""
    for layer in range(LAYERS):
        state[LAYER.format(layer) + "mlp.dense_h_to_4h.weight"][:64] = 0
        state[LAYER.format(layer) + "mlp.dense_h_to_4h.bias"][:64] = 2


def test_constant_parts_go_into_the_bias(tmp_path):
    source = changed_copy(tmp_path / "model", make_constant)
    prune_width(source, tmp_path / "out", TEXTS, channels=0.75, device="cpu")
    torch.testing.assert_close(logits(tmp_path / "out"), logits(source), atol=1e-4, rtol=0)


def test_the_parts_with_the_largest_spread_in_the_outputs_stay(tmp_path):
    prune_width(SOURCE, tmp_path / "out", TEXTS, 0.5, 0.25, device="cpu")
    before, after = torch.load(SOURCE / "pytorch_model.bin", weights_only=True), stored(tmp_path / "out")
    seen = {"mlp.dense_4h_to_h": [], "attention.dense": []}
    model, batches = layerwise(SOURCE)
    block = model.block(0)
    watch = {block.get_submodule(name): found.append for name, found in seen.items()}
    model.run(block, batches, model.embed(batches), watch)
    at = LAYER.format(0)

    activations = torch.cat(seen["mlp.dense_4h_to_h"])
    down = before[at + "mlp.dense_4h_to_h.weight"]
    best = (activations.std(0) * down.norm(dim=0)).topk(INNER // 2).indices.sort().values
    assert torch.equal(after[at + "mlp.dense_4h_to_h.weight"], down[:, best])
    assert torch.equal(after[at + "mlp.dense_h_to_4h.weight"], before[at + "mlp.dense_h_to_4h.weight"][best])

    values = torch.cat(seen["attention.dense"]).unflatten(1, (HEADS, SIZE))
    dense = before[at + "attention.dense.weight"].unflatten(1, (HEADS, SIZE))
    parts = torch.einsum("ogi,tgi->gto", dense, values)
    best = (parts - parts.mean(1, keepdim=True)).norm(dim=(1, 2)).topk(2).indices.sort().values
    assert torch.equal(after[at + "attention.dense.weight"], dense[:, best].flatten(1))
    qkv = before[at + "attention.query_key_value.weight"].unflatten(0, (HEADS, -1))
    assert torch.equal(after[at + "attention.query_key_value.weight"], qkv[best].flatten(0, 1))


def test_layers_of_different_widths_each_keep_their_share(tmp_path):
    def narrow_first(state):
        at = LAYER.format(0)
        for name in ("mlp.dense_h_to_4h.weight", "mlp.dense_h_to_4h.bias"):
            state[at + name] = state[at + name][:128].clone()
        state[at + "mlp.dense_4h_to_h.weight"] = state[at + "mlp.dense_4h_to_h.weight"][:, :128].clone()

    source = changed_copy(tmp_path / "model", narrow_first, inner_hidden_size=[128, 256, 256])
    prune_width(source, tmp_path / "narrow", TEXTS, channels=0.5, device="cpu")
    assert Checkpoint(tmp_path / "narrow").config.inner_hidden_size == [64, 128, 128]
    prune_depth(tmp_path / "narrow", tmp_path / "both", 1, TEXTS, device="cpu")
    assert logits(tmp_path / "both").isfinite().all()
