"""Batches of an exact length, for every variant."""

import time

import pytest
from recorded import folder

import fastglm
from fastglm.engine.compile import prepare
from fastglm.engine.compile.several import SeveralRowsStep
from fastglm.engine.decode_step import DecodeStep
from fastglm.evaluate.answers import generate
from fastglm.evaluate.throughput import batch_time, ready_for_batches


@pytest.mark.parametrize("variant", ["original", "fast", "int4"])
def test_every_sequence_has_as_many_new_tokens_as_asked_for(variant: str) -> None:
    model, tokenizer = fastglm.load(str(folder("chatglm")), variant, "cpu")
    prompts = [model.prompt_ids(tokenizer, text, [])[0] for text in ("你好", "12+30=?", "And the other one?")]
    found = generate(model, prompts, 12)
    assert [len(ids) for ids in found] == [12] * 3
    ended = generate(model, prompts, 12, ends=lambda number, token: number == 0 and token == found[0][3])
    assert ended == [found[0][: found[0].index(found[0][3]) + 1], *found[1:]]
    assert batch_time(model, tokenizer, prompts, 12) > 0


def test_a_measurement_waits_for_the_compiler_before_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = fastglm.load(str(folder("chatglm")), "fast", "cpu")
    plain, built = prepare.plain_step(model), []

    def build() -> DecodeStep:
        time.sleep(0.2)
        built.append(True)
        return plain

    ready_for_batches(model, tokenizer)  # nothing is to be compiled
    monkeypatch.setitem(prepare._several, model, SeveralRowsStep(plain, build))
    ready_for_batches(model, tokenizer)
    assert built == [True]
