"""Calls of the published model and tokenizer, with the published names, arguments and results."""

import copy
import inspect

import pytest
import torch
from recorded import expected, folder, tensors
from transformers import (
    AutoModel,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MaxLengthCriteria,
    StoppingCriteriaList,
    TextStreamer,
)

import fastglm
from fastglm.errors import NumbersError, UsageError
from fastglm.kernels.packed import QuantizedLinear

CASE = expected("chatglm")["generate"][1]
QUERY = CASE["text"]
FIRST, SECOND, THIRD = CASE["new_ids"][:3]
ALL_ENDS = {"eos_token_id": None}
GREEDY = {"do_sample": False, "max_new_tokens": 12}


def load(name="chatglm"):
    return AutoModel.from_pretrained(folder(name)).eval()


@pytest.fixture(scope="module")
def model():
    return load().float()


@pytest.fixture(scope="module")
def fast():
    return fastglm.load(str(folder("chatglm")), "fast", "cpu")[0]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(folder("chatglm"))


def packed_parts(model):
    return {
        name: tensor for name, tensor in model.state_dict().items() if tensor.dtype == torch.int8 or "_scale" in name
    }


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("first", ["half", "float"])
def test_quantize_makes_the_published_weights(bits, first):
    """Weights equal the recorded checkpoints', which the published code made from the same weights."""
    model = getattr(load(), first)()
    assert not model.quantized
    assert model.quantize(bits) is model
    assert model.quantized
    published = packed_parts(load(f"chatglm-int{bits}"))
    made = packed_parts(model)
    assert made.keys() == published.keys()
    assert all(torch.equal(made[name], tensor) for name, tensor in published.items())
    assert type(model.lm_head) is torch.nn.Linear
    assert type(model.get_input_embeddings()) is torch.nn.Embedding
    assert not model.config.quantization_embeddings


@pytest.mark.parametrize("bits", [8, 4])
def test_a_quantised_model_answers_is_saved_and_read_back(tokenizer, bits, tmp_path):
    model = load().half().quantize(bits).float()
    name = f"chatglm-int{bits}"
    for index, text in enumerate(expected(name)["texts"]):
        with torch.inference_mode():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        # Embedding and head of the recorded checkpoint are fp16.
        torch.testing.assert_close(logits, tensors(name)[f"logits_{index}"], atol=0.02, rtol=0)
    answer = model.chat(tokenizer, "你好", **GREEDY)
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert again.config.quantization_bit == bits
    assert again.quantized
    assert again.chat(tokenizer, "你好", **GREEDY) == answer
    assert [*again.stream_chat(tokenizer, "你好", **GREEDY)][-1] == answer
    assert again.float().quantize(bits) is again  # as published: the model is quantized already


def test_quantize_refuses_what_it_does_not_know(fast, tokenizer):
    model = load()
    for bits in (3, 16, 4.5, "4", None, True):
        with pytest.raises(UsageError, match="4 or 8 bits"):
            model.quantize(bits)
    with pytest.raises(UsageError, match="leaves embedding and head"):
        model.quantize(4, quantize_embeddings=True)
    assert model.quantize(0) is model
    assert not model.quantized
    model.quantize(8, empty_init=False)
    with pytest.raises(UsageError, match="quantised already"):
        model.quantize(4)
    assert model.config.quantization_bit == 8
    with pytest.raises(UsageError, match="The fast engine runs this model"):
        fast.quantize(8)
    with pytest.raises(UsageError, match="quantised already"):
        fastglm.load("demo", "int8", "cpu")[0].quantize(8)
    broken = load()
    broken.transformer.layers[1].mlp.dense_h_to_4h.weight.data[3, 4] = 1e6
    with pytest.raises(UsageError, match="are NaN or infinite in fp16"):
        broken.quantize(4)
    assert not broken.quantized
    from peft import LoraConfig, get_peft_model

    with pytest.raises(UsageError, match="plain linear layers"):
        get_peft_model(load(), LoraConfig(target_modules=["query_key_value"], r=2)).quantize(4)


def test_rows_of_zeros_stay_zeros():
    for bits in (8, 4):
        model = load()
        model.transformer.layers[0].mlp.dense_4h_to_h.weight.data[5] = 0
        layer = model.quantize(bits).transformer.layers[0].mlp.dense_4h_to_h
        assert isinstance(layer, QuantizedLinear)
        weight = layer.format.unpack(layer.parts(), layer.columns)
        assert weight.isfinite().all()
        assert not weight[5].any()


def test_attributes(model, tokenizer):
    assert model.max_sequence_length == 256
    assert model.position_encoding_2d is True
    assert model.process_response(" [[训练时间]],好 ") == "2023年，好"
    text = "你好，世界\n  a\tb"
    view = tokenizer.sp_tokenizer
    assert view.encode(text) == tokenizer.encode(text, add_special_tokens=False)
    assert view.decode(view.encode(text)) == tokenizer.decode(view.encode(text))
    assert view.tokenize(text) == tokenizer.tokenize(text)
    assert [view[token] for token in view.tokenize(text)] == view.encode(text)
    assert [view[number] for number in view.encode(text)] == view.tokenize(text)
    assert copy.deepcopy(tokenizer).sp_tokenizer.encode(text) == view.encode(text)
    assert view.num_tokens == view.num_image_tokens + view.num_text_tokens == tokenizer.vocab_size


def test_signatures_hold_the_published_arguments(model):
    published = {
        "chat": "tokenizer query history max_length num_beams do_sample top_p temperature logits_processor",
        "stream_chat": "tokenizer query history max_length do_sample top_p temperature logits_processor",
        "stream_generate": "input_ids generation_config logits_processor stopping_criteria prefix_allowed_tokens_fn",
        "get_masks": "input_ids device",
        "get_position_ids": "input_ids mask_positions device use_gmasks",
        "process_response": "response",
    }
    for name, arguments in published.items():
        assert [*inspect.signature(getattr(model, name)).parameters][: len(arguments.split())] == arguments.split()


class Without(LogitsProcessor):
    """A processor that never draws some tokens."""

    def __init__(self, *tokens):
        self.tokens = list(tokens)

    def __call__(self, input_ids, scores):
        scores = scores.clone()
        scores[:, self.tokens] = float("-inf")
        return scores


SETTINGS = [
    {},
    {"num_beams": 1},
    {"logits_processor": LogitsProcessorList([Without(FIRST, SECOND)])},
    {"repetition_penalty": 9.0},
    {"no_repeat_ngram_size": 1},
    {"bad_words_ids": [[FIRST], [SECOND]]},
    {"min_new_tokens": 12},
    {"min_length": 25},
    {"eos_token_id": SECOND},
    {"eos_token_id": [SECOND, THIRD]},
    {"eos_token_id": None},
    {"pad_token_id": 3},
    {"stopping_criteria": StoppingCriteriaList([MaxLengthCriteria(25)])},
    {"suppress_tokens": [SECOND, THIRD]},
    {"guidance_scale": 1.5},
    {"prefix_allowed_tokens_fn": lambda batch, ids: [len(ids), 300, 301]},
    {"generation_config": GenerationConfig(no_repeat_ngram_size=1, pad_token_id=3)},
    {"renormalize_logits": True},
    {"temperature": 0.0, "do_sample": True},
    {"temperature": None, "top_p": None, "top_k": None},
    {"temperature": 0, "top_p": 0, "top_k": 0},
    {"use_cache": False},
    {"max_new_tokens": None, "max_length": 25},
    {"streamer": None},
]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: ",".join(settings))
@pytest.mark.parametrize("which", ["model", "fast"])
def test_stream_chat_takes_what_chat_takes(request, tokenizer, which, settings):
    model = request.getfixturevalue(which)
    settings = {**GREEDY, **settings}
    if settings["max_new_tokens"] is None:
        del settings["max_new_tokens"]
    said = model.chat(tokenizer, QUERY, **settings)
    streamed = [*model.stream_chat(tokenizer, QUERY, **settings)]
    assert streamed[-1] == said
    assert len(streamed) <= 20


def test_each_setting_changes_the_answer(model, tokenizer):
    """Each setting changes this answer, so a stream that ignored one would be found."""
    plain = model.chat(tokenizer, QUERY, **GREEDY)[0]
    without = "logits_processor repetition_penalty no_repeat_ngram_size bad_words_ids eos_token_id stopping_criteria"
    for settings in SETTINGS:
        if settings.keys() & set(without.split()) and any(settings.values()):
            assert model.chat(tokenizer, QUERY, **{**GREEDY, **settings})[0] != plain, settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_beams": 2}, "num_beams cannot be streamed"),
        ({"num_return_sequences": 2}, "num_return_sequences cannot be streamed"),
        ({"prompt_lookup_num_tokens": 2}, "prompt_lookup_num_tokens cannot be streamed"),
        ({"generation_config": GenerationConfig(num_beams=3)}, "num_beams cannot be streamed"),
        ({"temprature": 0.5}, "no setting 'temprature'"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"cache_implementation": "static"}, "fixed size"),
        ({"prefill_chunk_size": 3}, "both directions"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_streamed_are_refused_in_one_line(model, tokenizer, settings, said):
    with pytest.raises(UsageError, match=said) as refused:
        next(model.stream_chat(tokenizer, "你好", **settings))
    assert "\n" not in str(refused.value)


def test_a_streamer_cannot_be_streamed_to(model, tokenizer):
    with pytest.raises(UsageError, match="streamer cannot be streamed"):
        next(model.stream_chat(tokenizer, "你好", streamer=TextStreamer(tokenizer)))


@pytest.mark.parametrize("which", ["model", "fast"])
@pytest.mark.parametrize("none", [0, 0.0, None])
def test_a_greedy_answer_takes_any_temperature(request, tokenizer, which, none):
    model = request.getfixturevalue(which)
    wanted = model.chat(tokenizer, "你好", **GREEDY)[0]
    given = {**GREEDY, "temperature": none, "top_p": none, "top_k": none}
    assert model.chat(tokenizer, "你好", **given)[0] == wanted
    assert [*model.stream_chat(tokenizer, "你好", **given)][-1][0] == wanted
    assert [*fastglm.stream(model, tokenizer, "你好", **given)][-1].text == wanted
    ids = tokenizer("你好", return_tensors="pt")
    assert torch.equal(model.generate(**ids, **given), model.generate(**ids, **GREEDY))
    if none is not None:
        drawn = {**given, "do_sample": True, "top_p": 0.7, "top_k": 50}
        assert model.chat(tokenizer, "你好", **drawn)[0] == wanted
        assert [*fastglm.stream(model, tokenizer, "你好", **drawn)][-1].text == wanted
        assert torch.equal(model.generate(**ids, **drawn), model.generate(**ids, **GREEDY))


def test_drawing_without_limits(model, fast, tokenizer):
    for each in (model, fast):
        none = {"temperature": None, "top_p": None, "top_k": None, "max_new_tokens": 4}
        settings = {"temperature": 1.0, "top_p": 1.0, "top_k": 50, "max_new_tokens": 4}
        drawn = [[*fastglm.stream(each, tokenizer, "你好", seed=5, **given)][-1].text for given in (none, settings)]
        assert drawn[0] == drawn[1]


def test_stream_generate_grows_to_what_generate_gives(model, tokenizer):
    batch = tokenizer(["你好", "介绍一下你自己"], padding=True, return_tensors="pt")
    for settings in ({**GREEDY, **ALL_ENDS}, {**GREEDY, **ALL_ENDS, "repetition_penalty": 1.2}):
        wanted = model.generate(**batch, **settings)
        steps = [*model.stream_generate(**batch, **settings)]
        assert [step.shape[1] for step in steps] == [*range(batch["input_ids"].shape[1] + 1, wanted.shape[1] + 1)]
        assert torch.equal(steps[-1], wanted)
    torch.manual_seed(3)
    drawn = model.generate(**batch, do_sample=True, max_new_tokens=5, **ALL_ENDS)
    torch.manual_seed(3)
    assert torch.equal([*model.stream_generate(**batch, do_sample=True, max_new_tokens=5, **ALL_ENDS)][-1], drawn)


def test_stream_generate_does_not_show_the_end(model, tokenizer):
    ids = tokenizer("介绍一下你自己", return_tensors="pt")
    whole = model.generate(**ids, **GREEDY, **ALL_ENDS)[0].tolist()
    prompt, end = ids["input_ids"].shape[1], 6
    stop = whole[prompt + end]
    shown = [*model.stream_generate(**ids, **GREEDY, eos_token_id=stop)]
    first = whole[prompt:].index(stop)
    assert len(shown) == first
    assert not shown or shown[-1][0].tolist() == whole[: prompt + first]
    rows = tokenizer(["你好", "介绍一下你自己"], padding=True, return_tensors="pt")
    wanted = model.generate(**rows, **GREEDY, eos_token_id=stop)
    found = [*model.stream_generate(**rows, **GREEDY, eos_token_id=stop)][-1]
    assert torch.equal(found, wanted[:, : found.shape[1]])
    with pytest.raises(UsageError, match="num_beams cannot be streamed"):
        model.stream_generate(**ids, num_beams=2)


def test_logits_of_nan_end_a_stream_with_an_error(tokenizer):
    broken = load().float()
    broken.lm_head.weight.data[:] = float("nan")
    with pytest.raises(NumbersError):
        next(broken.stream_generate(**tokenizer("你好", return_tensors="pt"), max_new_tokens=3))
    with pytest.raises(NumbersError):
        next(broken.stream_chat(tokenizer, "你好", no_repeat_ngram_size=2))
