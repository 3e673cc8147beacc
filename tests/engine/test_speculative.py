"""Speculative decoding: the answers are the target's, whatever the draft proposes."""

import itertools
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from recorded import expected, folder

import fastglm
from fastglm.engine import FastEngine, Sampling, SpeculativeEngine
from fastglm.engine import kv_cache as caches
from fastglm.engine.sampling import Choice, Sampler
from fastglm.engine.speculative import Draft, DraftLength, reject
from fastglm.errors import MemoryShortError
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration

PROMPT = expected("chatglm")["generate"][0]["input_ids"]
GREEDY = Sampling(do_sample=False)


@pytest.fixture(scope="module")
def target():
    return fastglm.load(str(folder("chatglm")), "fast")[0]


@pytest.fixture(scope="module")
def blurred(target):
    """A copy with slightly changed weights, so that some of its tokens are accepted and some are not."""
    torch.manual_seed(0)
    model = deepcopy(target)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.03 * weight.std() * torch.randn_like(weight) if weight.numel() > 1 else 0.0
    return model


@pytest.fixture(scope="module")
def other(target):
    """A model whose weights are unrelated to the target's."""
    torch.manual_seed(1)
    return ChatGLMForConditionalGeneration(target.config).eval()


def drafted_by(target, draft, cost=0.2):
    target.draft = Draft(draft, cost)
    return SpeculativeEngine(target)


def answer(engine, sampling=GREEDY, tokens=40, stops=(), prompt=PROMPT):
    return list(engine.generate(list(prompt), tokens, sampling, stops))


@pytest.mark.parametrize("penalty", [1.0, 1.3])
@pytest.mark.parametrize("prompt", [PROMPT, [5, 20, 35, *PROMPT[-2:]]])
def test_greedy_text_is_the_targets(target, blurred, other, penalty, prompt):
    greedy = Sampling(do_sample=False, repetition_penalty=penalty)
    wanted = answer(FastEngine(target), greedy, prompt=prompt)
    seen = []
    for draft in (other, blurred, target):
        engine = drafted_by(target, draft)
        assert answer(engine, greedy, prompt=prompt) == wanted
        seen.append(engine.acceptance)
    assert seen[0] < 0.3
    assert seen[0] <= seen[1] < 1.0 == seen[2]


@pytest.mark.parametrize("tokens", [1, 2, 3, 9, 17, 130])
def test_lengths_are_exact(target, blurred, tokens):
    for draft in (blurred, target):
        assert answer(drafted_by(target, draft), tokens=tokens) == answer(FastEngine(target), tokens=tokens)


def test_a_stop_inside_a_draft_ends_the_answer(target):
    whole = answer(FastEngine(target))
    for token in set(whole):
        found = answer(drafted_by(target, target), stops=(token,))
        assert found == whole[: whole.index(token) + 1]


def test_the_same_seed_gives_the_same_text(target, blurred):
    sampling = Sampling(seed=4, repetition_penalty=1.1, temperature=2.0, top_p=1.0)
    first, again = (answer(drafted_by(target, blurred), sampling) for _ in range(2))
    assert first == again
    engine = drafted_by(target, blurred)
    assert [answer(engine, sampling) for _ in range(2)] == [first, first]
    assert answer(engine, Sampling(seed=5, repetition_penalty=1.1, temperature=2.0, top_p=1.0)) != first


def test_a_cancelled_answer_frees_both_caches(target, blurred):
    engine = drafted_by(target, blurred)
    tokens = engine.generate(list(PROMPT), 100, GREEDY, ())
    one = FastEngine(target)
    alone = one.generate(list(PROMPT), 100, GREEDY, ())
    list(itertools.islice(tokens, 3))
    next(alone)
    assert engine.cache_memory(0) == 2 * one.cache_memory(0) > 0
    tokens.close()
    assert engine.cache_memory(0) == 0


def test_no_memory_for_a_cache_ends_the_answer_and_nothing_else(target, blurred, monkeypatch):
    wanted = answer(FastEngine(target), tokens=200)
    engine = drafted_by(target, blurred)

    def pad(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with monkeypatch.context() as patch:
        patch.setattr(caches.torch.nn.functional, "pad", pad)
        shown = []
        with pytest.raises(MemoryShortError, match="no memory for the keys and values"):
            shown.extend(engine.generate(list(PROMPT), 200, GREEDY, ()))
    assert engine.cache_memory(0) == 0
    assert answer(engine, tokens=200) == wanted


CAREFUL = Sampling(top_k=0, top_p=0.9, temperature=1.5, repetition_penalty=1.2)


def worst(counts, wanted):
    """The distance of a chi-square statistic from its mean in standard deviations; rare ids are counted as one."""
    rare = wanted * counts.sum() < 5
    pairs = [*zip(counts[~rare], wanted[~rare], strict=True), (counts[rare].sum(), wanted[rare].sum())]
    pairs = [(int(n), float(p) * int(counts.sum())) for n, p in pairs if p > 0]
    statistic, free = sum((n - p) ** 2 / p for n, p in pairs), len(pairs) - 1
    return (statistic - free) / (2 * free) ** 0.5


def test_rejection_sampling_has_the_wanted_distribution():
    generator = torch.Generator().manual_seed(0)
    chances, wanted = torch.rand(2, 3, 12, generator=generator).softmax(-1).pow(4)
    wanted[:, :3] = 0  # never drawn, although drafted
    chances, wanted = chances / chances.sum(-1, keepdim=True), wanted / wanted.sum(-1, keepdim=True)
    chances[2] = 0
    counts = torch.zeros(3, 12)
    for _ in range(4000):
        drafted = torch.multinomial(chances[:2], 1, generator=generator)[:, 0]
        kept, following = reject(drafted, chances, wanted, generator)
        for place, token in enumerate([*drafted[: int(kept)].tolist(), int(following)]):
            counts[place, token] += 1
    assert counts[:, :3].sum() == 0
    assert counts[2].sum() > 300
    for found, p in zip(counts, wanted, strict=True):
        assert worst(found, p) < 4


def test_equal_distributions_keep_everything():
    generator = torch.Generator().manual_seed(0)
    wanted = torch.rand(5, 9, generator=generator).softmax(-1)
    chances = wanted.clone()
    chances[4] = 0
    for _ in range(50):
        drafted = torch.multinomial(chances[:4], 1, generator=generator)[:, 0]
        assert int(reject(drafted, chances, wanted, generator)[0]) == 4


@pytest.fixture(scope="module")
def tiny():
    """A target and a draft with few tokens, whose answers can be enumerated."""
    config = type(fastglm.load(str(folder("chatglm")), "fast")[0].config)(
        vocab_size=24,
        hidden_size=32,
        num_attention_heads=2,
        head_dim=16,
        inner_hidden_size=32,
        num_layers=1,
        bos_token_id=20,
        eos_token_id=21,
        gmask_token_id=22,
        mask_token_id=23,
        pad_token_id=3,
        max_sequence_length=32,
    )
    torch.manual_seed(2)
    models = [ChatGLMForConditionalGeneration(config).eval() for _ in range(2)]
    for model in models:
        torch.nn.init.normal_(model.lm_head.weight, std=0.3)
    return models


@torch.inference_mode()
def exact(model, prompts, sampling):
    """The next token's probabilities after each prompt, by a new run of the model."""
    ids = torch.tensor(prompts)
    sampler = Sampler([Choice(sampling, ids[0], model.config.vocab_size)])
    seen = torch.zeros(len(prompts), model.config.vocab_size, dtype=torch.bool).scatter_(1, ids, True)
    return sampler.distribution(model(ids, use_cache=False).logits[:, -1], seen)


def test_sampled_tokens_have_the_targets_distribution(tiny):
    target, draft = tiny
    prompt, count, length = [5, 6, 7, 22, 20], 600, 3
    engine = drafted_by(target, draft, cost=0.1)
    answers, kept = [], 0.0
    for seed in range(count):
        answers.append(answer(engine, replace(CAREFUL, seed=seed), length, prompt=prompt))
        kept += engine.acceptance / count
    assert 0.2 < kept < 0.95
    for place in range(length):
        counts = torch.bincount(torch.tensor([tokens[place] for tokens in answers]), minlength=24)
        # The expected share of each token, over the observed ways to reach it.
        wanted = exact(target, [[*prompt, *tokens[:place]] for tokens in answers], CAREFUL).mean(0)
        assert worst(counts, wanted) < 4, place


def test_length_follows_acceptance_and_cost():
    def best(kept, drafted, cost):
        length = DraftLength(cost, 0.1)
        for _ in range(100):
            length.see(kept, drafted)
        return length.best()

    assert best(0, 4, 0.3) == 1
    assert best(4, 4, 0.3) == 8
    assert 1 < best(2, 4, 0.2) <= best(3, 4, 0.2) < 8
    assert best(3, 4, 0.05) > best(3, 4, 0.5)
    # By hand: 0.8 accepted, cost 0.2 + 0.1 a token: 2.952 tokens for 1.9 steps beat 2.44 for 1.6 and 3.3616 for 2.2.
    assert DraftLength(0.2, 0.1).best() == 3
