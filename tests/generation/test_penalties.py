"""Penalties, biases and log-probabilities: equal to a reference computed by hand, on every engine, side by side."""

import pytest
import torch
from captured import like_cuda
from recorded import folder

import fastglm
from fastglm.engine import GREEDY, Sampling, scheduler
from fastglm.engine.sampling import Choice, Sampler
from fastglm.errors import UsageError
from fastglm.generation.streams import Streams

LENGTH = 14
PROMPTS = [[5, 6, 7, 86, 89], [40, 41, 86, 89], [9, 86, 89], [70, 60, 50, 40, 86, 89]]
PLAIN = {"max_new_tokens": LENGTH, "do_sample": False, "ignore_eos": True}
PENALTIES = {"presence_penalty": 1.5, "frequency_penalty": 0.75}
BIAS = {"logit_bias": {522: -100, 300: 4.5, 7: 2}}
ALL = PENALTIES | BIAS | {"repetition_penalty": 1.3}


def pieces_of(loaded, prompt=0, **settings):
    return list(fastglm.stream(*loaded, PROMPTS[prompt], **{**PLAIN, **settings}))


def tokens_of(*args, **settings):
    return [piece.token for piece in pieces_of(*args, **settings)]


def logits_after(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0, -1].clone()


def by_hand(model, prompt, presence_penalty=0.0, frequency_penalty=0.0, logit_bias=None, repetition_penalty=1.0):
    """Greedy tokens, each from a run over everything before it and settings applied token by token."""
    answer = []
    for _ in range(LENGTH):
        logits = logits_after(model, [*prompt, *answer])
        for token in {*prompt, *answer}:
            logits[token] *= repetition_penalty if logits[token] < 0 else 1 / repetition_penalty
        for token in answer:
            logits[token] -= frequency_penalty
        for token in set(answer):
            logits[token] -= presence_penalty
        for token, value in (logit_bias or {}).items():
            logits[token] += value
        answer.append(int(logits.argmax()))
    return answer


@pytest.mark.parametrize(
    "settings",
    [{"presence_penalty": 1.5}, {"frequency_penalty": 0.75}, {"frequency_penalty": -2}, BIAS, ALL],
    ids=["presence", "frequency", "negative", "bias", "all"],
)
def test_greedy_answers_are_those_by_hand(loaded, settings):
    wanted = by_hand(loaded[0], PROMPTS[0], **settings)
    assert tokens_of(loaded, **settings) == wanted
    assert wanted != tokens_of(loaded)


def test_rows_with_and_without_settings_leave_one_another_alone(loaded):
    drawn = {"do_sample": True, "seed": 5, "top_k": 40}
    settings = [{}, ALL, {**drawn}, {**drawn, **PENALTIES, "logprobs": 3}]
    alone = [pieces_of(loaded, number, **each) for number, each in enumerate(settings)]
    streams, found = Streams(*loaded), {number: [] for number in range(4)}
    for number, each in enumerate(settings):
        streams.add(number, PROMPTS[number], **{**PLAIN, **each})
        for id, news in streams.step():
            found[id].append(news)
    while streams.busy:
        for id, news in streams.step():
            found[id].append(news)
    for number, pieces in enumerate(alone):
        assert [piece.token for piece in found[number][:-1]] == [piece.token for piece in pieces]
        assert {piece.logprob is None for piece in found[number][:-1]} == {number != 3}


@pytest.mark.parametrize("settings", [{}, ALL, {"do_sample": True, "seed": 1, "temperature": 2.0, "top_k": 30}])
def test_logprobs_are_those_of_the_models_logits(loaded, settings):
    pieces = pieces_of(loaded, 3, logprobs=4, **settings)
    ids = list(PROMPTS[3])
    for piece in pieces:
        wanted = logits_after(loaded[0], ids).log_softmax(-1)
        ids.append(piece.token)
        assert piece.logprob == pytest.approx(wanted[piece.token].item(), abs=1e-4)
        assert [value for _, value in piece.top_logprobs] == pytest.approx(wanted.topk(4).values.tolist(), abs=1e-4)
        assert [value for _, value in piece.top_logprobs] == pytest.approx(
            [wanted[token].item() for token, _ in piece.top_logprobs], abs=1e-4
        )
    assert len(pieces) == LENGTH


def test_logprobs_of_the_chosen_token_alone(loaded):
    pieces = pieces_of(loaded, logprobs=0)
    assert all(piece.top_logprobs == () and piece.logprob < 0 for piece in pieces)
    assert [piece.token for piece in pieces] == tokens_of(loaded)
    assert {piece.logprob for piece in pieces_of(loaded)} == {None}


def test_logprobs_belong_to_their_tokens_where_generate_looks_ahead(loaded):
    wanted = [(piece.token, piece.logprob) for piece in pieces_of(loaded, logprobs=1)]
    found = pieces_of(loaded, logprobs=1, logits_processor=[lambda _, scores: scores])
    assert [piece.token for piece in found] == [token for token, _ in wanted]
    assert [piece.logprob for piece in found] == pytest.approx([value for _, value in wanted], abs=1e-4)


def test_captured_steps_count_and_tell_like_others(monkeypatch):
    loaded = fastglm.load(str(folder("chatglm")), "fast")
    asked = [ALL, {**PENALTIES, "do_sample": True, "seed": 2}, {"logprobs": 2, **PENALTIES}]
    wanted = [[(piece.token, piece.logprob) for piece in pieces_of(loaded, **each)] for each in asked]
    like_cuda(monkeypatch)
    for settings, pieces in zip(asked, wanted, strict=True):
        loaded = fastglm.load(str(folder("chatglm")), "fast")
        assert [(piece.token, piece.logprob) for piece in pieces_of(loaded, **settings)] == pieces
    monkeypatch.setattr(scheduler, "Captured", lambda _: pytest.fail("log-probabilities are told outside of graphs"))
    pieces_of(loaded, **asked[-1])


def test_rows_without_settings_cost_nothing_and_keep_their_bits():
    logits, prompt = torch.randn(2, 50), torch.tensor([3])
    best = logits.argmax(-1, keepdim=True)
    plain, drawing = Sampler([Choice(GREEDY, prompt, 50)] * 2), Sampling(seed=1)
    assert plain.is_plain
    assert plain(logits, best) is best
    asking = Sampling(seed=1, presence_penalty=2.0, frequency_penalty=1.0, logit_bias=((4, 9.0),))
    beside = Sampler([Choice(drawing, prompt, 50), Choice(asking, prompt, 50)])
    alone = Sampler([Choice(drawing, prompt, 50)] * 2)
    for _ in range(3):
        beside.stir()
        beside(logits, best)
    found, wanted = beside.scores(logits, None), alone.scores(logits, None)
    assert torch.equal(found[0], wanted[0])
    assert not torch.equal(found[1], wanted[1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"presence_penalty": 2.5},
        {"frequency_penalty": float("nan")},
        {"frequency_penalty": "1"},
        {"logit_bias": {768: 1.0}},
        {"logit_bias": {-1: 1.0}},
        {"logit_bias": {"5": 1.0}},
        {"logit_bias": [5]},
        {"logit_bias": {5: 101}},
        {"logit_bias": {5: None}},
        {"logprobs": 21},
        {"logprobs": -1},
        {"logprobs": True},
    ],
)
def test_wrong_settings_are_named_in_one_line(loaded, wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=f"^{name} .*[.]$") as told:
        fastglm.stream(*loaded, PROMPTS[0], **wrong)
    assert "\n" not in str(told.value)
