"""NaN and infinite logits are reported by every engine, and never become an empty answer."""

from copy import deepcopy

import pytest
import torch
from recorded import expected, folder

import fastglm
from fastglm.engine import BatchEngine, EagerEngine, FastEngine, Sampling, SpeculativeEngine
from fastglm.engine.sampling import NONE, best_of
from fastglm.engine.speculative import Draft
from fastglm.errors import NumbersError

PROMPT = expected("chatglm")["generate"][0]["input_ids"]
WAYS = {
    "greedy": Sampling(do_sample=False),
    "penalty": Sampling(do_sample=False, repetition_penalty=1.3),
    "sampled": Sampling(seed=0),
    "sampled with penalty": Sampling(seed=0, repetition_penalty=1.3),
}


@pytest.fixture(scope="module")
def whole():
    return fastglm.load(str(folder("chatglm")), "fast")[0]


def nan_in_the_head(model):
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
    model.lm_head.weight[7, 3] = torch.nan


def infinite_norm(model):
    model.transformer.final_layernorm.weight[:] = torch.inf


def epsilon_of_nan(model):
    model.transformer.final_layernorm.eps = float("nan")


def values_too_large(model):
    model.transformer.layers[1].mlp.dense_4h_to_h.weight *= 1e38
    model.transformer.layers[2].mlp.dense_4h_to_h.weight *= 1e38


def spoiled(whole, spoil):
    model = deepcopy(whole)
    with torch.no_grad():
        spoil(model)
    return model


def eager(model, sampling):
    return list(EagerEngine(model).generate(PROMPT, 6, sampling, ()))


def fast(model, sampling):
    return list(FastEngine(model).generate(PROMPT, 6, sampling, ()))


def batch(model, sampling):
    return BatchEngine(model).answer([PROMPT, PROMPT[-3:]], 6, sampling)[0]


def speculative(model, sampling, draft=None):
    model.draft = Draft(draft or model, 0.2)
    return list(SpeculativeEngine(model).generate(PROMPT, 6, sampling, ()))


ENGINES = [eager, fast, batch, speculative]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("spoil", [nan_in_the_head, infinite_norm, epsilon_of_nan, values_too_large])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_reports_logits_that_are_not_finite(whole, engine, spoil, way):
    with pytest.raises(NumbersError, match="NaN or infinite"):
        engine(spoiled(whole, spoil), WAYS[way])


@pytest.mark.parametrize("engine", ENGINES)
def test_logits_that_become_nan_later_are_reported_then(whole, engine):
    model = deepcopy(whole)
    first = fast(model, WAYS["greedy"])[0]
    table = model.transformer.word_embeddings
    with torch.no_grad():
        table.weight[first] = torch.nan  # read when the first token enters
    with pytest.raises(NumbersError):
        engine(model, WAYS["greedy"])
    one = FastEngine(model).generate(PROMPT, 6, WAYS["greedy"], ())
    assert next(one) == first
    with pytest.raises(NumbersError):
        next(one)


@pytest.mark.parametrize("way", WAYS)
def test_a_draft_of_nan_does_not_hurt_the_answer(whole, way):
    target, draft = deepcopy(whole), spoiled(whole, nan_in_the_head)
    answer = speculative(target, WAYS[way], draft)
    assert len(answer) == 6
    if not WAYS[way].do_sample:
        assert answer == fast(whole, WAYS[way])


@pytest.mark.parametrize("engine", ENGINES)
def test_finite_logits_are_left_alone(whole, engine):
    assert len(engine(deepcopy(whole), WAYS["greedy"])) == 6


def test_there_is_no_best_token_where_the_largest_logit_is_not_finite():
    nan, inf = torch.nan, torch.inf
    rows = [[1.0, 3.0, 2.0], [1.0, nan, 2.0], [inf, 1.0, 2.0], [-inf, -inf, -inf], [-inf, 1.0, -inf], [nan, inf, 1.0]]
    assert best_of(torch.tensor(rows)).tolist() == [1, NONE, NONE, NONE, 1, NONE]


@pytest.mark.parametrize("settings", [{"do_sample": False}, {"do_sample": True}, {"do_sample": False, "num_beams": 2}])
def test_the_published_chat_reports_logits_that_are_not_finite(whole, settings):
    model, tokenizer = spoiled(whole, nan_in_the_head), fastglm.load(str(folder("chatglm")))[1]
    assert whole.chat(tokenizer, "你好", max_new_tokens=4, **settings)[1][0][0] == "你好"
    with pytest.raises(NumbersError):
        model.chat(tokenizer, "你好", max_new_tokens=4, **settings)


def test_a_stream_ends_in_one_line(whole, tmp_path):
    tokenizer = fastglm.load(str(folder("chatglm")))[1]
    with pytest.raises(NumbersError) as raised:
        list(fastglm.stream(spoiled(whole, infinite_norm), tokenizer, "你好"))
    assert "\n" not in str(raised.value)
