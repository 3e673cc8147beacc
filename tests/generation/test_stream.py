"""The stream of pieces: both engines, lengths, stops, closing, and the displayed text."""

import itertools
import time

import pytest
import torch
from recorded import expected, folder

import fastglm
from fastglm.engine import Sampling
from fastglm.engine.sampling import Choice, Sampler
from fastglm.errors import ContextError, UsageError
from fastglm.generation.clean_up import Cleaner
from fastglm.models.chatglm.conversation import CONVERSATION, clean_response
from fastglm.models.detokenizer import Detokenizer

CASES = expected("chatglm")


@pytest.fixture(scope="module", params=["original", "fast"])
def loaded(request):
    return fastglm.load(str(folder("chatglm")), request.param)


@pytest.mark.parametrize("index", range(3))
def test_both_engines_give_the_recorded_greedy_ids(loaded, index):
    case = CASES["generate"][index]
    pieces = list(fastglm.stream(*loaded, case["text"], max_new_tokens=32, do_sample=False, ignore_eos=True))
    assert [piece.token for piece in pieces] == case["new_ids"]
    assert [piece.tokens for piece in pieces] == list(range(1, 33))
    assert pieces[-1].stop == "length"
    assert {piece.stop for piece in pieces[:-1]} == {None}
    assert not pieces[-1].context_full
    assert pieces[0].prompt_tokens == len(case["input_ids"])


def test_long_greedy_answers_are_equal_across_cache_growth():
    answers = []
    for variant in ("original", "fast"):
        model, tokenizer = fastglm.load(str(folder("chatglm")), variant)
        pieces = fastglm.stream(model, tokenizer, "你好", max_new_tokens=240, do_sample=False, ignore_eos=True)
        answers.append([piece.token for piece in pieces])
    assert answers[0] == answers[1]
    assert len(answers[0]) == 240


def test_the_text_is_that_of_decoding_everything_at_once(loaded):
    model, tokenizer = loaded
    pieces = list(fastglm.stream(model, tokenizer, "Hello", max_new_tokens=60, seed=3, ignore_eos=True))
    whole = tokenizer.decode([piece.token for piece in pieces], skip_special_tokens=True)
    assert pieces[-1].text == clean_response(whole)


def test_an_answer_ends_at_the_stop_token(loaded, monkeypatch):
    model, tokenizer = loaded
    greedy = CASES["generate"][0]["new_ids"]
    monkeypatch.setattr(model.config, "eos_token_id", greedy[3])
    pieces = list(fastglm.stream(model, tokenizer, "你好", max_new_tokens=32, do_sample=False))
    assert [piece.token for piece in pieces] == greedy[:4]
    assert pieces[-1].stop == "eos"


def test_a_seed_repeats_an_answer(loaded):
    def answer(seed):
        return [piece.token for piece in fastglm.stream(*loaded, "你好", max_new_tokens=20, seed=seed, ignore_eos=True)]

    assert answer(1) == answer(1)
    assert answer(1) != answer(2)


def test_closing_stops_and_frees(loaded):
    steps = []
    counter = loaded[0].lm_head.register_forward_hook(lambda *_: steps.append(1))
    pieces = fastglm.stream(*loaded, "你好", max_new_tokens=240, ignore_eos=True)
    assert len(list(itertools.islice(pieces, 3))) == 3
    pieces.close()
    counter.remove()
    assert len(steps) < 200
    assert next(iter(fastglm.stream(*loaded, "你好", max_new_tokens=2))).tokens == 1


def test_token_ids_are_taken_as_they_are(loaded):
    case = CASES["generate"][1]
    pieces = fastglm.stream(*loaded, case["input_ids"], max_new_tokens=8, do_sample=False, ignore_eos=True)
    assert [piece.token for piece in pieces] == case["new_ids"][:8]


def test_old_rounds_are_left_out_and_the_piece_says_so(loaded):
    history = [("问题" * 20, "回答" * 20)] * 6
    piece = next(iter(fastglm.stream(*loaded, "你好", history, max_new_tokens=2)))
    assert piece.rounds_left_out > 0
    assert piece.prompt_tokens < 256


def test_one_message_that_is_too_long_is_an_error(loaded):
    with pytest.raises(ContextError, match="context is 256: shorten it"):
        fastglm.stream(*loaded, "很" * 400)


def test_an_answer_ends_where_the_context_does(loaded):
    pieces = list(fastglm.stream(*loaded, list(range(100, 350)), max_new_tokens=50, ignore_eos=True))
    assert len(pieces) == 6
    assert pieces[-1].stop == "length"
    assert [piece.context_full for piece in pieces] == [False] * 5 + [True]


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"temperature": -0.5},
        {"top_k": -1},
        {"repetition_penalty": 0.0},
        {"max_new_tokens": 0},
        {"prompt": []},
        {"prompt": [768]},
    ],
)
def test_wrong_settings_are_named(loaded, wrong):
    with pytest.raises(UsageError):
        fastglm.stream(*loaded, **{"prompt": "你好", **wrong})


def test_pieces_do_not_leave_the_consumer_in_inference_mode(loaded):
    for _ in fastglm.stream(*loaded, "你好", max_new_tokens=2):
        assert not torch.is_inference_mode_enabled()


def test_sampling_follows_transformers():
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = torch.randn(1, 100, generator=torch.Generator().manual_seed(0)) * 3
    scores = logits
    for warp in (TemperatureLogitsWarper(0.8), TopKLogitsWarper(20), TopPLogitsWarper(0.7)):
        scores = warp(None, scores)
    wanted = scores.softmax(-1)[0]
    sampling = Sampling(top_p=0.7, top_k=20, temperature=0.8, seed=0)
    sampler = Sampler([Choice(sampling, torch.zeros(1, dtype=torch.long), 100)])
    best = logits.argmax(-1, keepdim=True)

    def draw():
        sampler.stir()
        return sampler(logits, best)[0]

    drawn = torch.bincount(torch.cat([draw() for _ in range(4000)]), minlength=100) / 4000
    assert set(drawn.nonzero().flatten().tolist()) == set(wanted.nonzero().flatten().tolist())
    assert (drawn - wanted).abs().max() < 0.03


def test_draws_from_the_whole_vocabulary_stay_where_rounding_exchanges_two_places():
    logits = torch.linspace(0, 1, 100)[None]
    logits[0, 51] = logits[0, 50] + 1e-6

    def drawn(logits, *top_k):
        settings = [Sampling(top_k=count, top_p=1.0, seed=0) for count in top_k]
        sampler = Sampler([Choice(each, torch.zeros(1, dtype=torch.long), 100) for each in settings])
        rows, tokens = logits.expand(len(settings), -1), []
        for _ in range(300):
            sampler.stir()
            tokens.append(sampler(rows, rows.argmax(-1, keepdim=True))[-1].item())
        return tokens

    alone = drawn(logits, 0)
    exchanged = logits[:, [*range(50), 51, 50, *range(52, 100)]]
    assert {50, 51} & set(alone)
    assert drawn(exchanged, 0) == alone
    assert drawn(logits, 5, 0) == alone
    assert drawn(logits, 0, 5) == drawn(logits, 5)


def test_repetition_penalty_follows_transformers():
    from transformers import RepetitionPenaltyLogitsProcessor

    logits, prompt = torch.randn(1, 50), torch.tensor([[3, 7, 7]])
    wanted = RepetitionPenaltyLogitsProcessor(1.5)(prompt, logits.clone()).argmax()
    sampler = Sampler([Choice(Sampling(do_sample=False, repetition_penalty=1.5), prompt[0], 50)])
    assert sampler(logits, logits.argmax(-1, keepdim=True)) == wanted


RAW = "你好,世界! [[训练时间]] 之后, a,b 中?好 \n  完:  "


@pytest.mark.parametrize("size", [1, 2, 5])
def test_cleaning_a_growing_text_equals_cleaning_it_whole(size):
    raw = RAW * 20
    cleaner = Cleaner(clean_response, CONVERSATION.looked_at)
    for start in range(0, len(raw), size):
        shown = cleaner.add(raw[start : start + size])
    assert shown == clean_response(raw)


def test_cleaning_looks_only_at_the_end():
    looked = []

    def clean(text):
        looked.append(len(text))
        return clean_response(text)

    cleaner = Cleaner(clean, CONVERSATION.looked_at)
    for _ in range(2000):
        cleaner.add("一句普通的话")
    assert max(looked) < 200


def test_a_character_of_several_tokens_is_shown_whole(loaded):
    tokenizer = loaded[1]
    detokenizer = Detokenizer(tokenizer.decode)
    shown = [detokenizer.add(token) for token in tokenizer.encode("好👋é", add_special_tokens=False)]
    assert "".join(shown) == "好👋é"
    assert not any("\ufffd" in text for text in shown)


def test_detokenising_decodes_a_bounded_window():
    lengths = []

    def decode(ids):
        lengths.append(len(ids))
        return "".join(chr(97 + i % 26) for i in ids)

    detokenizer = Detokenizer(decode)
    text = "".join(detokenizer.add(i) for i in range(1000)) + detokenizer.finish()
    assert len(text) == 1000
    assert max(lengths) <= 8


def test_a_piece_comes_as_soon_as_it_is_known():
    model, tokenizer = fastglm.load(str(folder("chatglm")), "original")
    stamps = []
    for piece in fastglm.stream(model, tokenizer, "你好", max_new_tokens=100, ignore_eos=True):
        stamps.append((piece.time, time.perf_counter()))
    assert stamps[-1][1] - stamps[0][1] > 0.5 * (stamps[-1][0] - stamps[0][0])
    assert all(earlier[0] < later[0] for earlier, later in itertools.pairwise(stamps))
