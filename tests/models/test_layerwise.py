"""The layer-by-layer pass: the whole model's logits, from a checkpoint that is never completely in memory."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fastglm.errors import CheckpointError
from fastglm.evaluate.likelihood import answer_loss
from fastglm.models import head
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.head import Head
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.packing import Batch, encode, pack
from fastglm.models.source import demo_folder
from fastglm.text_files import Text

GOLDEN = Path(__file__).parents[1] / "golden"
CPU = torch.device("cpu")
TEXTS = [
    Text([], "你好！", "你好！有什么想问的吗？"),
    Text([("12+30=?", "12+30=42。")], "再加7呢？", "42+7=49。"),
    Text([], "What is the capital of France?", "The capital of France is Paris."),
]


@pytest.fixture(scope="module")
def batches(demo) -> list[Batch]:
    model, tokenizer = demo
    examples = [encode(tokenizer, text.messages, text.answer, 200) for text in TEXTS]
    return [pack(examples[:2], 128, model.config), pack(examples[2:], 64, model.config)]


def whole(model, batch: Batch) -> torch.Tensor:
    with torch.inference_mode():
        hidden = model.transformer(batch.input_ids, batch.position_ids, batch.attention_mask).last_hidden_state
        return model.lm_head(hidden.flatten(0, 1)[batch.predicting])


@pytest.mark.parametrize("rows", [100, 8192])
def test_the_logits_are_those_of_the_whole_model(
    demo, batches: list[Batch], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "HEAD_ROWS", rows)
    model, _ = demo
    done: list[tuple[int, int]] = []
    streamed = LayerwiseModel(Checkpoint(demo_folder()), CPU, torch.float32)
    found = streamed.finals(batches, lambda *layers: done.append(layers))
    for batch, part in zip(batches, found.split([len(batch.targets) for batch in batches]), strict=True):
        logits = whole(model, batch)
        torch.testing.assert_close(streamed.head.logits(part.states), logits, rtol=0, atol=1e-4)
        assert torch.equal(part.best.long(), logits.argmax(-1))
        with torch.inference_mode():
            torch.testing.assert_close(part.losses, answer_loss(model, batch), rtol=0, atol=1e-4)
    layers = model.config.num_layers + 1
    assert done == [(number, layers) for number in range(1, layers + 1)]


def test_probabilities_over_some_tokens_are_renormalised(demo, batches: list[Batch]) -> None:
    model, _ = demo
    checkpoint = Checkpoint(demo_folder())
    used = torch.cat([batch.targets for batch in batches]).unique()
    tokens = torch.cat((used, torch.tensor([n for n in range(50) if n not in used]))).sort().values
    fewer = [replace(batch, targets=torch.searchsorted(tokens, batch.targets)) for batch in batches]
    found = LayerwiseModel(checkpoint, CPU, torch.float32).finals(fewer, head=Head(checkpoint, tokens))
    kept = torch.cat([whole(model, batch) for batch in batches])[:, tokens]
    expected = torch.nn.functional.cross_entropy(kept, torch.cat([b.targets for b in fewer]), reduction="none")
    torch.testing.assert_close(found.losses, expected, rtol=0, atol=1e-4)


def test_a_quantised_checkpoint_is_refused() -> None:
    with pytest.raises(CheckpointError, match="is quantised: load it"):
        LayerwiseModel(Checkpoint(GOLDEN / "chatglm-int4"), CPU, torch.float32)


def test_tensors_are_read_by_name_and_missed() -> None:
    checkpoint = Checkpoint(GOLDEN / "chatglm")
    wanted = dict(checkpoint.tensors())
    name = next(iter(wanted))
    assert torch.equal(checkpoint.named([name])[name], wanted[name])
    with pytest.raises(CheckpointError, match=r"lacks transformer\.nothing"):
        checkpoint.named([name, "transformer.nothing"])


def test_a_watched_matrix_is_given_all_tokens_and_no_padding(demo, batches: list[Batch]) -> None:
    model, _ = demo
    seen: list[torch.Tensor] = []
    layerwise = LayerwiseModel(Checkpoint(demo_folder()), CPU)
    block = layerwise.block(0)
    linear = block.attention.query_key_value
    layerwise.run(block, batches, layerwise.embed(batches), {linear: seen.append})
    layerwise.run(block, batches, layerwise.embed(batches))  # not watched any more
    first = model.transformer.layers[0]
    for batch, inputs in zip(batches, seen, strict=True):
        with torch.inference_mode():
            wanted = first.input_layernorm(model.transformer.word_embeddings(batch.input_ids))
        assert len(inputs) == batch.tokens < batch.input_ids.numel()
        torch.testing.assert_close(inputs, wanted[batch.input_ids != model.config.pad_token_id])
