"""2:4 sparsity: two zeros in four, in the right places, and a config that declares it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning import LAYER, LAYERS, SOURCE, TEXTS, layerwise, logits, stored
from transformers import AutoModelForCausalLM

from fastglm.compress.prune import sparsify_24
from fastglm.compress.prune.sparse import mask_24
from fastglm.models.checkpoint import Checkpoint

LINEAR = ("attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    out = tmp_path_factory.mktemp("sparse") / "out"
    return out, sparsify_24(SOURCE, out, TEXTS, device="cpu")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 1000))
def test_the_two_largest_products_of_each_four_stay(rows, groups, seed):
    generator = torch.Generator().manual_seed(seed)
    weight, norms = torch.randn(rows, 4 * groups, generator=generator), torch.rand(4 * groups, generator=generator)
    mask = mask_24(weight, norms)
    for row in range(rows):
        for start in range(0, 4 * groups, 4):
            products = [abs(weight[row, j].item() * norms[j].item()) for j in range(start, start + 4)]
            best = sorted(range(4), key=lambda j: -products[j])[:2]
            assert mask[row, start : start + 4].nonzero().flatten().tolist() == sorted(best)


def test_two_of_four_are_zero_and_the_others_as_they_were(sparse):
    before, after = torch.load(SOURCE / "pytorch_model.bin", weights_only=True), stored(sparse[0])
    for name, tensor in after.items():
        if name.removesuffix(".weight").endswith(LINEAR):
            zero = tensor == 0
            assert (zero.unflatten(1, (-1, 4)).sum(-1) == 2).all()
            assert torch.equal(tensor, before[name].masked_fill(zero, 0))
        else:
            assert torch.equal(tensor, before[name])


def test_the_masks_go_by_the_inputs_of_each_layer(sparse):
    after = stored(sparse[0])
    (original, _), (changed, batches) = layerwise(SOURCE), layerwise(sparse[0])
    states = changed.embed(batches)
    for layer in range(LAYERS):
        block = original.block(layer)
        seen = {name: [] for name in LINEAR}
        original.run(block, batches, states, {block.get_submodule(name): found.append for name, found in seen.items()})
        for name, found in seen.items():
            mask = mask_24(block.get_submodule(name).weight, torch.cat(found).norm(dim=0))
            assert ((after[LAYER.format(layer) + name + ".weight"] != 0) == mask).float().mean() > 0.999
        states = changed.run(changed.block(layer), batches, states)


def test_the_config_says_so_and_both_loaders_read_it(sparse):
    out, report = sparse
    assert Checkpoint(out).config.sparsity == "2:4"
    found = logits(out)
    assert found.isfinite().all()
    assert not torch.equal(found, logits(SOURCE))
    assert AutoModelForCausalLM.from_pretrained(out).config.sparsity == "2:4"
    # Half of 16-bit numbers, and 2 bits of position each.
    matrices = sum(
        t.numel() for n, t in stored(out).items() if n.removesuffix(".weight").endswith(LINEAR) and t.ndim == 2
    )
    assert report.before.read - report.after.read == pytest.approx(matrices * 4 * (1 - 9 / 16), abs=LAYERS * 4)
    assert report.after.bytes == report.before.bytes
