"""Pasts in rounded formats: a turn that reuses one differs from a cold start by less than the format's own error."""

import random

import pytest
import torch
import torch.nn.functional as F
from recorded import folder

import fastglm
from fastglm.engine.runner import runner_of


@torch.inference_mode()
def conversation(model, first, answer, rest, owner=None):
    """The next token's log-probabilities after a second turn: after a first one of an owner, or in a cold start."""
    running = runner_of(model)
    if owner:
        slots, _ = running.prefill([torch.tensor(first)], [len(answer)], owner)
        for token in answer:
            running.step(slots, torch.tensor([[token]]))
        running.keep(slots[0], [*first, *answer])
        running.free(slots)
    slots, logits = running.prefill([torch.tensor([*first, *answer, *rest])], [4], owner)
    assert slots[0].reused == (len(first) + len(answer) if owner else 0)
    running.free(slots)
    return logits.log_softmax(-1)


@torch.inference_mode()
def token_by_token(model, first, rest):
    """The next token's log-probabilities where only the first tokens are a prompt."""
    running = runner_of(model)
    slots, _ = running.prefill([torch.tensor(first)], [len(rest)])
    for token in rest:
        logits, _ = running.step(slots, torch.tensor([[token]]))
    running.free(slots)
    return logits[0].log_softmax(-1)


@pytest.mark.parametrize(("variant", "cache"), [("int8", "auto"), ("int4", "auto"), ("fast", "int8")])
def test_rounded_formats_differ_from_a_cold_start_by_less_than_from_the_original(variant, cache):
    exact = fastglm.load(str(folder("chatglm3")), "fast", "cpu")[0]
    rounded = fastglm.load(str(folder("chatglm3")), variant, "cpu", cache=cache)[0]
    draw, own, reused = random.Random(0), 0.0, 0.0
    for number in range(20):
        first, answer, rest = ([draw.randrange(5, 700) for _ in range(n)] for n in (20, 10, 5))
        cold, warm = (conversation(rounded, first, answer, rest, owner) for owner in (None, str(number)))
        reused += float(F.kl_div(warm, cold, log_target=True, reduction="sum"))
        if cache == "auto":
            original = conversation(exact, first, answer, rest), cold
        else:
            original = tuple(token_by_token(model, first, [*answer, *rest]) for model in (exact, rounded))
        own += float(F.kl_div(original[1], original[0], log_target=True, reduction="sum"))
    assert 0 <= reused <= own
