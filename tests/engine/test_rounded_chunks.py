"""Chunks over an int8 cache: a chunk sees the tokens of earlier ones as the cache keeps them, and its own unrounded; a
step sees all tokens as the cache keeps them.
"""

import random

import pytest
import torch
import torch.nn.functional as F
from recorded import folder

import fastglm
from fastglm.engine.runner import runner_of

CHUNK = 20


def rounded(x):
    """Each vector as the nearest of 255 multiples of a 127th of its largest number."""
    step = x.abs().amax(-1, keepdim=True) / 127
    return (x / step).round() * step


class RoundedPast:
    """Keys and values of a plain forward pass, rounded where the cache of an engine rounds them."""

    def __init__(self):
        self.kept = {}

    def update(self, k, v, layer):
        past = self.kept.get(layer, (k[:, :, :0], v[:, :, :0]))
        self.kept[layer] = [torch.cat((old, rounded(new)), 2) for old, new in zip(past, (k, v), strict=True)]
        if k.shape[2] == 1:  # a step
            return self.kept[layer]
        return tuple(torch.cat((old, new), 2) for old, new in zip(past, (k, v), strict=True))


def by_hand(model, prompt, sizes):
    """The logits after parts of a prompt that run one after the other."""
    decoder, cache, begin, found = model.decoder(), RoundedPast(), 0, []
    for size in sizes:
        end = begin + size
        mask = torch.ones(size, end, dtype=torch.bool).tril(begin)[None, None]
        ids, positions = torch.tensor([prompt[begin:end]]), torch.arange(begin, end)[None, None]
        found.append(decoder(ids, positions, mask, cache, 1)[:, -1])
        begin = end
    return found


def in_chunks(model, prompt, most=CHUNK):
    """The logits after a prompt that is read in chunks, and after one more token."""
    running, ids = runner_of(model), torch.tensor(prompt[:-1])
    reading = running.begin(ids, 4, None, most)
    (slot,) = reading.slots
    while True:
        while (logits := running.advance(reading)) is None:
            pass
        if logits.shape[1]:
            break
        reading = running.go_on(slot, ids, most)
    after = running.step([slot], torch.tensor([prompt[-1:]]))[0][:, -1].clone()
    running.free([slot])
    return [logits, after]


def prompts(count, length):
    draw = random.Random(1)
    return [[draw.randrange(5, 700) for _ in range(length)] for _ in range(count)]


@torch.inference_mode()
@pytest.mark.parametrize("name", ["chatglm3", "glm4"])
def test_logits_after_chunks_are_those_of_keys_and_values_that_are_rounded_between_them(name):
    model = fastglm.load(str(folder(name)), "fast", "cpu", cache="int8")[0]
    (prompt,) = prompts(1, 3 * CHUNK - 3)
    wanted = by_hand(model, prompt, [CHUNK, CHUNK, CHUNK - 4, 1])[2:]
    for logits, expected in zip(in_chunks(model, prompt), wanted, strict=True):
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    whole = by_hand(model, prompt, [3 * CHUNK - 4, 1])[0]
    assert (whole - wanted[0]).abs().max() > 1e-3  # far more than the tolerance


@torch.inference_mode()
@pytest.mark.parametrize(("variant", "cache"), [("int8", "auto"), ("int4", "auto"), ("fast", "int8")])
def test_rounded_formats_differ_between_chunks_and_a_whole_prompt_by_less_than_from_the_original(variant, cache):
    exact = fastglm.load(str(folder("chatglm3")), "fast", "cpu")[0]
    model = fastglm.load(str(folder("chatglm3")), variant, "cpu", cache=cache)[0]
    own = moved = 0.0
    for prompt in prompts(20, 2 * CHUNK):
        whole, chunks, original = (
            in_chunks(each, prompt, most)[1].log_softmax(-1)
            for each, most in ((model, len(prompt)), (model, CHUNK // 2), (exact, len(prompt)))
        )
        moved += float(F.kl_div(chunks, whole, log_target=True, reduction="sum"))
        own += float(F.kl_div(whole, original, log_target=True, reduction="sum"))
    assert 0 <= moved <= own
