"""Beam search, whose rows are repeated, reordered and padded: transformers' own, on positions of two dimensions."""

import pytest
import torch
from recorded import expected, folder

import fastglm
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration

PROMPTS = [case["input_ids"] for case in expected("chatglm")["generate"][:2]]
TOKENS, BEAMS = 6, 3


@pytest.fixture(scope="module")
def model() -> ChatGLMForConditionalGeneration:
    return fastglm.load(str(folder("chatglm")))[0]


@torch.inference_mode()
def searched(model: ChatGLMForConditionalGeneration, prompt: list[int]) -> list[list[int]]:
    """The best answers of a search without cache and stop tokens."""
    beams: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(TOKENS):
        scores = torch.cat([model(torch.tensor([prompt + ids])).logits[:, -1] for _, ids in beams]).log_softmax(-1)
        scores += torch.tensor([[score] for score, _ in beams])
        best = scores.flatten().topk(BEAMS)
        beams = [
            (float(score), [*beams[int(place) // scores.shape[1]][1], int(place) % scores.shape[1]])
            for score, place in zip(*best, strict=True)
        ]
    return [ids for _, ids in beams]


def test_beams_are_those_of_a_plain_search(model: ChatGLMForConditionalGeneration) -> None:
    settings = {"max_new_tokens": TOKENS, "num_beams": BEAMS, "do_sample": False, "eos_token_id": None}
    wanted = [searched(model, prompt) for prompt in PROMPTS]
    for prompt, answers in zip(PROMPTS, wanted, strict=True):
        found = model.generate(torch.tensor([prompt]), num_return_sequences=BEAMS, **settings)
        assert found[:, len(prompt) :].tolist() == answers
    longest = max(map(len, PROMPTS))
    ids = torch.tensor([[3] * (longest - len(prompt)) + prompt for prompt in PROMPTS])
    found = model.generate(ids, attention_mask=(ids != 3).long(), **settings)
    assert found[:, longest:].tolist() == [answers[0] for answers in wanted]
