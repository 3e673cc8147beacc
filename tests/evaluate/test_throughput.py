"""Batches of an exact length, for every variant."""

import pytest
from recorded import folder

import fastglm
from fastglm.evaluate.answers import generate
from fastglm.evaluate.throughput import batch_time


@pytest.mark.parametrize("variant", ["original", "fast", "int4"])
def test_every_sequence_has_as_many_new_tokens_as_asked_for(variant: str) -> None:
    model, tokenizer = fastglm.load(str(folder("chatglm")), variant, "cpu")
    prompts = [model.prompt_ids(tokenizer, text, [])[0] for text in ("你好", "12+30=?", "And the other one?")]
    found = generate(model, prompts, 12)
    assert [len(ids) for ids in found] == [12] * 3
    ended = generate(model, prompts, 12, ends=lambda number, token: number == 0 and token == found[0][3])
    assert ended == [found[0][: found[0].index(found[0][3]) + 1], *found[1:]]
    assert batch_time(model, tokenizer, prompts, 12) > 0
