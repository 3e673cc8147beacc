"""Packing: positions and masks equal the model's own, and no sample sees another."""

from itertools import cycle

import pytest
import torch

from fastglm.evaluate.likelihood import answer_loss
from fastglm.history import of_rounds
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration
from fastglm.models.packing import Batch, Example, encode, fill, pack
from fastglm.models.registered_tokenizers import ChatGLMTokenizer
from fastglm.models.source import demo_folder

GMASK, SOP, EOP = 86, 89, 90
CONFIG = ChatGLM6BConfig(
    vocab_size=128, hidden_size=32, num_layers=2, num_attention_heads=2, inner_hidden_size=64,
    max_sequence_length=64, bos_token_id=SOP, eos_token_id=EOP, mask_token_id=85, gmask_token_id=GMASK,
    pad_token_id=3, initializer_range=0.3,
)  # fmt: skip


def example(prompt: list[int], answer: list[int]) -> Example:
    return Example([*prompt, GMASK, SOP, *answer, EOP], len(prompt) + 1)


EXAMPLES = [
    example([10, 11, 12], [20, 21]),
    example([13, 14], [22]),
    example([15, 16, 17, 18, 19], [23, 24, 25, 26]),
    example([10], [27, 28, 29]),
]


@pytest.fixture(scope="module")
def model() -> ChatGLMForConditionalGeneration:
    torch.manual_seed(0)
    return ChatGLMForConditionalGeneration(CONFIG).eval()


def losses(model: ChatGLMForConditionalGeneration, batch: Batch, number: int) -> torch.Tensor:
    with torch.inference_mode():
        return answer_loss(model, batch)[batch.example == number]


@pytest.mark.parametrize("length", [12, 16, 40])
def test_a_packed_sample_has_the_loss_it_has_alone(model: ChatGLMForConditionalGeneration, length: int) -> None:
    batch = pack(EXAMPLES, length, CONFIG)
    for number, alone in enumerate(EXAMPLES):
        tokens = torch.tensor([alone.tokens])
        with torch.inference_mode():  # positions and mask from the model itself
            logits = model(tokens).logits[0, alone.context : -1]
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(alone.targets), reduction="none")
        torch.testing.assert_close(losses(model, batch, number), expected, rtol=1e-4, atol=1e-4)


def test_changing_a_sample_changes_no_other(model: ChatGLMForConditionalGeneration) -> None:
    changed = [EXAMPLES[0], example([99, 98], [97]), *EXAMPLES[2:]]
    before, after = pack(EXAMPLES, 40, CONFIG), pack(changed, 40, CONFIG)
    assert before.input_ids.shape == (1, 40)  # all in one row
    for number in (0, 2, 3):
        torch.testing.assert_close(losses(model, before, number), losses(model, after, number), rtol=0, atol=1e-6)
    assert (losses(model, before, 1) - losses(model, after, 1)).abs().max() > 0.01


def test_the_loss_is_on_the_answer_and_its_end_alone() -> None:
    batch = pack(EXAMPLES, 40, CONFIG)
    for number, packed in enumerate(EXAMPLES):
        mine = batch.example == number
        assert batch.targets[mine].tolist() == packed.targets
        assert packed.targets[-1] == EOP
        predicting = batch.input_ids.flatten()[batch.predicting[mine]].tolist()
        assert predicting == [SOP, *packed.targets[:-1]]
    assert batch.tokens == sum(len(e.tokens) for e in EXAMPLES)


def test_every_position_sees_something() -> None:
    """A softmax over nothing is NaN on some devices."""
    batch = pack(EXAMPLES, 40, CONFIG)
    assert bool((batch.input_ids == CONFIG.pad).any())
    assert bool(batch.attention_mask.any(-1).all())


def test_a_sample_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="13 tokens"):
        pack([example(list(range(10)), [])], 12, CONFIG)


def test_a_filled_batch_has_its_shape_whatever_comes() -> None:
    examples = [example([10] * (n % 7 + 1), [20] * (n % 5 + 1)) for n in range(35)]
    for skip in range(5):
        batch = fill(cycle(examples[skip:]), 3, 40, CONFIG)
        assert batch.input_ids.shape == (3, 40)
        assert batch.tokens == int((batch.input_ids != CONFIG.pad).sum()) > 100
        assert batch.examples == len(set(batch.example.tolist()))


def test_a_filled_batch_takes_the_next_examples_in_turn() -> None:
    coming = (example([10], [n]) for n in range(20, 100))
    batch = fill(coming, 2, 24, CONFIG)  # 5 tokens each, 4 per row
    assert sorted(batch.targets[batch.targets != EOP].tolist()) == list(range(20, 28))
    assert next(coming).tokens[3] == 32  # four examples that did not fit were tried


def test_rounds_that_do_not_fit_are_left_out_from_the_oldest_on() -> None:
    tokenizer = ChatGLMTokenizer.from_pretrained(demo_folder())
    messages = of_rounds([("12+30=?", "12+30=42。"), ("它的首都呢？", "法国的首都是巴黎。")], "你好")
    whole = encode(tokenizer, messages, "你好！", 200)
    shorter = encode(tokenizer, messages, "你好！", len(whole.tokens) - 1)
    assert shorter == encode(tokenizer, messages[2:], "你好！", 200)
    assert tokenizer.decode(whole.targets, skip_special_tokens=True) == "你好！"
    with pytest.raises(ValueError, match="there is room for 3"):
        encode(tokenizer, messages, "你好！", 3)
