"""Answers layer by layer equal the loaded model's, and every step reads the weights once for all rows."""

import pytest
import torch

from fastglm.evaluate.answers import answer_text, prompt_answers
from fastglm.evaluate.layerwise_answers import layerwise_answers
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.packing import Passage
from fastglm.models.source import demo_folder

ASKED = [
    ([], "你好！"),
    ([], "12+30=?"),
    ([("12+30=?", "12+30=42。")], "再加7呢？"),
    ([], "What is the capital of France?"),
    ([], "讲一个关于兔子的故事。"),
    ([("你好！", "你好！"), ("法国的首都是哪里？", "法国的首都是巴黎。")], "那日本呢？"),
    ([], "5+6=?"),
]
LONGEST = 24


@pytest.fixture(scope="module")
def prompts(demo) -> list[list[int]]:
    model, tokenizer = demo
    return [model.prompt_ids(tokenizer, question, history)[0] for history, question in ASKED]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The rows of every group at every pass through the weights."""
    seen: list[list[int]] = []
    plain = LayerwiseModel.next_tokens

    def next_tokens(self: LayerwiseModel, passages: list[Passage]) -> list[torch.Tensor]:
        seen.append([len(passage.input_ids) for passage in passages])
        return plain(self, passages)

    monkeypatch.setattr(LayerwiseModel, "next_tokens", next_tokens)
    return seen


def answered(demo, prompts: list[list[int]], room: int) -> list[str | None]:
    _, tokenizer = demo
    model = LayerwiseModel(Checkpoint(demo_folder()), torch.device("cpu"), torch.float32)
    found = dict(layerwise_answers(model, prompts, LONGEST, room))
    assert sorted(found) == list(range(len(prompts)))
    return [answer_text(model.empty, tokenizer, found[number]) for number in range(len(prompts))]


def test_layerwise_answers_are_those_of_the_loaded_model(
    demo, prompts: list[list[int]], passes: list[list[int]]
) -> None:
    plain = prompt_answers(*demo, prompts, LONGEST)
    assert None in plain  # one does not end by itself
    assert answered(demo, prompts, 1 << 30) == plain
    assert len(passes) == LONGEST  # the weights were read once per token, for all rows together
    assert passes[0] == [len(prompts)]
    assert 0 < passes[-1][0] < len(prompts)  # ended rows were left out


def test_little_room_takes_some_after_the_others(demo, prompts: list[list[int]], passes: list[list[int]]) -> None:
    token = Checkpoint(demo_folder()).config.cache_values() * 4
    room = 3 * (max(map(len, prompts[:4])) + LONGEST) * token
    assert answered(demo, prompts, room) == prompt_answers(*demo, prompts, LONGEST)
    assert passes[0] != [len(prompts)]
    assert max(len(groups) for groups in passes) > 1  # the next group began before the last had ended


def test_a_row_at_a_time_where_there_is_no_room(demo, prompts: list[list[int]], passes: list[list[int]]) -> None:
    assert answered(demo, prompts[:2], 0) == prompt_answers(*demo, prompts[:2], LONGEST)
    assert all(groups == [1] for groups in passes)
