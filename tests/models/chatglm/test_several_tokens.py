"""Tokens after a cache, one or several: the results in transformers and PEFT equal one pass over everything."""

import copy

import pytest
import torch
from one_by_one import SAMPLES, SOP, inputs_of, logits_of, padded
from peft import PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from recorded import expected, folder
from transformers import AutoModel, DynamicCache, StaticCache

from fastglm.errors import UsageError

EXACT = {"atol": 1e-9, "rtol": 0}
PROMPT = expected("chatglm")["generate"][1]["input_ids"]
GREEDY = {"max_new_tokens": 20, "do_sample": False, "eos_token_id": None}


def load(name="chatglm"):
    return AutoModel.from_pretrained(folder(name)).double().eval()


@pytest.fixture(scope="module")
def model():
    return load()


@pytest.fixture(scope="module")
def answer(model):
    """The greedy answer, from full passes alone."""
    ids = list(PROMPT)
    with torch.inference_mode():
        for _ in range(GREEDY["max_new_tokens"]):
            ids.append(int(logits_of(model, ids)[-1].argmax()))
    return ids


def generated(model, ids=PROMPT, **settings):
    return model.generate(torch.tensor([ids]), **GREEDY, **settings)[0].tolist()


@torch.inference_mode()
@pytest.mark.parametrize("sizes", [(19, 1, 1, 1, 4), (20, 3, 3), (19, 7), (25, 1)])
def test_tokens_after_a_cache_need_no_positions(model, sizes):
    ids, cache, found = SAMPLES[1], DynamicCache(), []
    for part in torch.tensor([ids]).split(sizes, 1):
        found.append(model(part, past_key_values=cache).logits)
    torch.testing.assert_close(torch.cat(found, 1)[0], logits_of(model, ids), **EXACT)


@torch.inference_mode()
@pytest.mark.parametrize("where", ["left", "right", "both", "within"])
@pytest.mark.parametrize("is_told", [True, False])
def test_tokens_after_a_padded_batch(model, where, is_told):
    more = [[11, 12, 13], [14, 15, 16], [17, 18, 19]]
    ids, mask = padded(SAMPLES, where)
    cache = model(ids, attention_mask=mask).past_key_values
    for part in (slice(0, 2), slice(2, 3)):
        new = torch.tensor(more)[:, part]
        mask = torch.cat((mask, torch.ones_like(new)), 1)
        logits = model(new, past_key_values=cache, attention_mask=mask if is_told else None).logits
        for row, sample, following in zip(logits, SAMPLES, more, strict=True):
            wanted = logits_of(model, sample + following)[len(sample) :][part]
            torch.testing.assert_close(row, wanted, **EXACT)


@torch.inference_mode()
def test_a_cropped_or_copied_cache_goes_on(model):
    cache = model(torch.tensor([SAMPLES[1] + [11, 12]])).past_key_values
    cache.crop(-3)
    for kept in (copy.deepcopy(cache), cache):
        new = [SAMPLES[1][-1], 21, 22]
        logits = model(torch.tensor([new]), past_key_values=kept).logits[0]
        torch.testing.assert_close(logits, logits_of(model, SAMPLES[1][:-1] + new)[-3:], **EXACT)
    cache.crop(-(cache.get_seq_length() - SAMPLES[1].index(SOP)))  # a new <sop>
    logits = model(torch.tensor([SAMPLES[1][SAMPLES[1].index(SOP) :]]), past_key_values=cache).logits[0]
    torch.testing.assert_close(logits, logits_of(model, SAMPLES[1])[SAMPLES[1].index(SOP) :], **EXACT)


def fill(model, ids, **given):
    return model(torch.tensor(ids), **given, use_cache=True).past_key_values


@torch.inference_mode()
@pytest.mark.parametrize(
    ("cache", "new", "said"),
    [
        (lambda model: fill(model, [PROMPT[:6]]), [PROMPT[6:]], "cannot be read in parts"),
        (lambda model: fill(model, [PROMPT[:-1]]), [[SOP, 5]], "cannot be read in parts"),
        (lambda model: fill(model, [PROMPT, PROMPT]), [[5]], "another batch"),
        (lambda model: fill(model, [PROMPT], position_ids=inputs_of(PROMPT)["position_ids"]), [[5]], "position_ids"),
        (lambda model: StaticCache(model.config, max_cache_len=30), [PROMPT], "fixed size"),
    ],
)
def test_tokens_that_cannot_follow_are_refused(model, cache, new, said):
    with pytest.raises(UsageError, match=said):
        model(torch.tensor(new), past_key_values=cache(model))


@torch.inference_mode()
def test_a_context_is_not_continued_by_given_positions_either(model):
    given = inputs_of(PROMPT)["position_ids"]
    cache = fill(model, [PROMPT[:6]], position_ids=given[..., :6])
    with pytest.raises(UsageError, match="cannot be read in parts"):
        model(torch.tensor([PROMPT[6:]]), position_ids=given[..., 6:], past_key_values=cache)
    cache = fill(model, [PROMPT[:-1]], position_ids=given[..., :-1])
    logits = model(torch.tensor([PROMPT[-1:]]), position_ids=given[..., -1:], past_key_values=cache).logits
    torch.testing.assert_close(logits[0], logits_of(model, PROMPT)[-1:], **EXACT)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_cache": False},
        {"prompt_lookup_num_tokens": 3},
        {"prompt_lookup_num_tokens": 8, "max_matching_ngram_size": 1},
        {"assistant_model": "chatglm"},
        {"assistant_model": "chatglm-int4"},
        {"assistant_early_exit": 1},
        {"temperature": 0.0, "top_p": None, "top_k": None},
        {"cache_implementation": "dynamic"},
        {"output_hidden_states": True},
    ],
    ids=str,
)  # fmt: skip
def test_ways_of_transformers_to_generate(model, answer, settings):
    if assistant := settings.get("assistant_model"):
        settings = {"assistant_model": load(assistant)}
    assert generated(model, **settings) == answer


def test_temperature_0_is_greedy(model, answer):
    for temperature in (0, 0.0):
        settings = GREEDY | {"do_sample": True, "temperature": temperature}
        assert model.generate(torch.tensor([PROMPT]), **settings)[0].tolist() == answer


def test_an_answer_goes_on_from_its_cache(model, answer):
    half = model.generate(torch.tensor([PROMPT]), **GREEDY | {"max_new_tokens": 8}, return_dict_in_generate=True)
    settings = GREEDY | {"max_new_tokens": 12}
    assert model.generate(half.sequences, past_key_values=half.past_key_values, **settings)[0].tolist() == answer


def test_embeddings_instead_of_ids(model, answer):
    embedded = model.get_input_embeddings()(torch.tensor([PROMPT]))
    assert model.generate(inputs_embeds=embedded, **GREEDY)[0].tolist() == answer[len(PROMPT) :]


@pytest.mark.parametrize("negative", [None, SAMPLES[0][:5]])
def test_guidance(model, negative):
    """Scores are log p + (scale - 1) · (log p - log p of the negative prompt)."""
    ids, other, scale = list(PROMPT), list(negative or [SOP]), 1.7
    if negative is None:  # <sop> alone: no context, and its own position
        wanted = lambda ids: model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)  # noqa: E731
    else:
        wanted = lambda ids: logits_of(model, ids)[-1].log_softmax(-1)  # noqa: E731
    with torch.inference_mode():
        for _ in range(GREEDY["max_new_tokens"]):
            scores, without = logits_of(model, ids)[-1].log_softmax(-1), wanted(other)
            token = int((without + scale * (scores - without)).argmax())
            ids.append(token)
            other.append(token)
    given = {} if negative is None else {"negative_prompt_ids": torch.tensor([negative])}
    assert generated(model, guidance_scale=scale, **given) == ids
    assert generated(model, guidance_scale=scale, use_cache=False, **given) == ids


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cache_implementation": "static"}, "fixed size"),
        ({"cache_implementation": "offloaded_static"}, "fixed size"),
        ({"cache_implementation": "paged"}, "of pages"),
        ({"prefill_chunk_size": 4}, "both directions"),
        ({"prefill_chunk_size": 1000}, "both directions"),
        ({"output_attentions": True}, "output_attentions"),
        ({"output_attentions": True, "return_dict_in_generate": True}, "output_attentions"),
    ],
    ids=str,
)  # fmt: skip
def test_unsupported_arguments_are_refused_in_one_line(model, settings, said):
    with pytest.raises(UsageError, match=said) as refused:
        generated(model, **settings)
    assert "\n" not in str(refused.value)


VIRTUAL = 5
PROMPTS = [sample[: sample.index(SOP) + 1] for sample in SAMPLES]


def tuned(kind, **more):
    torch.manual_seed(0)
    config = kind(task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL, **more)
    return get_peft_model(load(), config).double().eval()


def behind_prompt(learner, ids):
    """Logits of a sample behind learned embeddings, which belong to the context."""
    base = learner.get_base_model()
    given = inputs_of([1] * VIRTUAL + ids)
    embedded = torch.cat((learner.get_prompt(1), base.get_input_embeddings()(torch.tensor([ids]))), 1)
    given.pop("input_ids")
    return base(inputs_embeds=embedded, **given).logits[0]


def behind_prefix(learner, ids):
    """Logits of a sample whose every token sees learned keys and values, which have no positions."""
    given = inputs_of(ids)
    seen = torch.ones(1, 1, len(ids), VIRTUAL, dtype=torch.bool)
    given["attention_mask"] = torch.cat((seen, given["attention_mask"]), -1)
    return learner.get_base_model()(**given, past_key_values=learner.get_prompt(1)).logits[0]


LEARNERS = [
    (PromptTuningConfig, {}, behind_prompt),
    (PromptEncoderConfig, {"encoder_hidden_size": 16}, behind_prompt),
    (PrefixTuningConfig, {}, behind_prefix),
    (PrefixTuningConfig, {"prefix_projection": True, "encoder_hidden_size": 16}, behind_prefix),
]


@pytest.mark.parametrize(("kind", "more", "wanted"), LEARNERS, ids=["prompt", "p-tuning", "prefix", "projected prefix"])
def test_learned_prompts_of_peft(kind, more, wanted):
    learner = tuned(kind, **more)
    for where in ("left", "right"):
        ids, mask = padded(SAMPLES, where)
        with torch.inference_mode():
            logits = learner(input_ids=ids, attention_mask=mask).logits[:, -ids.shape[1] :]
            for row, real, sample in zip(logits, mask.bool(), SAMPLES, strict=True):
                torch.testing.assert_close(row[real], wanted(learner, sample)[-len(sample) :], **EXACT)
    answers = []
    with torch.inference_mode():
        for prompt in PROMPTS:
            ids = list(prompt)
            for _ in range(5):
                ids.append(int(wanted(learner, ids)[-1].argmax()))
            answers.append(ids[len(prompt) :])
    ids, mask = padded(PROMPTS, "left")
    settings = GREEDY | {"max_new_tokens": 5}
    assert learner.generate(input_ids=ids, attention_mask=mask, **settings)[:, -5:].tolist() == answers
    searched = learner.generate(input_ids=ids, attention_mask=mask, **settings, num_beams=2)
    alone = [learner.generate(input_ids=torch.tensor([ids]), **settings, num_beams=2)[0, -5:] for ids in PROMPTS]
    assert searched[:, -5:].tolist() == [found.tolist() for found in alone]
    learner.train()
    ids, mask = padded(SAMPLES, "right")
    learner(input_ids=ids, attention_mask=mask, labels=ids).loss.backward()
    gradients = [p.grad for name, p in learner.named_parameters() if "prompt_encoder" in name and p.requires_grad]
    assert gradients
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
