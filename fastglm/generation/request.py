"""A request for an answer: token ids, lengths and sampling, read from the arguments of `fastglm.stream`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..engine import Sampling
from ..errors import ContextError, UsageError
from ..messages import Message, RawText
from ..models.architecture import CallRules
from ..models.generate_settings import settings_of, stop_tokens
from .grammar import Grammar
from .stop_texts import check_stop_texts

_FEWEST_FREE = 4  # a quarter of the context is kept free for the answer when old rounds have to go


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose settings are sound and whose prompt fits."""

    ids: list[int]  # of the prompt
    allowed: int  # new tokens at most
    sampling: Sampling
    stops: tuple[int, ...]  # tokens that end the answer
    others: dict[str, Any]  # more settings of transformers' `generate`, which runs the model where there are any
    rounds_left_out: int
    asked: float  # seconds, by `time.perf_counter`
    owner: str | None = None
    stop_texts: tuple[str, ...] = ()  # the answer ends before the first of them
    must_call: bool = False  # the grammar is that of a call


def read_request(
    model: Any,
    tokenizer: Any,
    prompt: str | Message | RawText | list[int],
    history: Any = None,
    max_new_tokens: int | None = None,
    max_length: int = 8192,
    do_sample: bool = True,
    top_p: float | None = 0.7,
    top_k: int | None = 50,
    temperature: float | None = 0.95,
    repetition_penalty: float | None = 1.0,
    seed: int | None = None,
    ignore_eos: bool = False,
    owner: str | None = None,
    stop: Sequence[str] = (),
    presence_penalty: float | None = 0.0,
    frequency_penalty: float | None = 0.0,
    logit_bias: Mapping[int, float] | None = None,
    logprobs: int | None = None,
    grammar: str | None = None,
    must_call: Sequence[Mapping[str, Any]] | None = None,
    **others: Any,
) -> Request:
    """Read the arguments of `fastglm.stream`, and raises its errors."""
    asked = time.perf_counter()
    drawing = do_sample, top_p, top_k, temperature, repetition_penalty, seed
    sampling = Sampling.of(*drawing, presence_penalty, frequency_penalty, logit_bias, logprobs)
    _check_bias(sampling, model.config.vocab_size)
    if not isinstance(owner, str | None):
        raise UsageError(f"owner must be a text, or None (got {type(owner).__name__}).")
    stop_texts = check_stop_texts(stop)
    stops = stop_tokens(others.pop("eos_token_id", model.stop_tokens))
    others = settings_of(others)
    if (max_new_tokens if max_new_tokens is not None else max_length) < 1:
        raise UsageError("The length of the answer must be at least 1 token.")
    context = model.context_length
    if isinstance(prompt, str | Message):
        room = min(max_new_tokens or max_length, context // _FEWEST_FREE)
        ids, left_out = model.prompt_ids(tokenizer, prompt, history, room)
    else:
        given = prompt
        if isinstance(given, RawText):
            given = tokenizer.build_inputs_with_special_tokens(tokenizer.encode_text(given.text))
        ids, left_out = _check_ids(given, model), 0
    allowed = max_new_tokens if max_new_tokens is not None else max(max_length - len(ids), 1)
    allowed = min(allowed, context - len(ids))
    stops = () if ignore_eos else stops
    form = _form(model, grammar, must_call)
    if form is not None:
        sampling = replace(sampling, grammar=Grammar(form, tokenizer, model.config.vocab_size, stops))
    must = must_call is not None
    return Request(ids, allowed, sampling, stops, others, left_out, asked, owner, stop_texts, must)


def _form(model: Any, grammar: str | None, must_call: Sequence[Mapping[str, Any]] | None) -> str | CallRules | None:
    """The form of the answer; None if it is free."""
    if must_call is None:
        return grammar
    if grammar is not None:
        raise UsageError("must_call and grammar exclude each other: leave one of them out.")
    if not (rules := model.config.conversation.call_rules):
        raise UsageError("must_call needs a model that calls tools: ChatGLM3 or GLM-4.")
    return rules(must_call)


def _check_bias(sampling: Sampling, vocabulary: int) -> None:
    for token, _ in sampling.logit_bias:
        if not 0 <= token < vocabulary:
            raise UsageError(f"logit_bias names token {token}: the vocabulary has {vocabulary} tokens, from 0 on.")


def _check_ids(ids: list[int], model: Any) -> list[int]:
    if not ids:
        raise UsageError("The prompt holds no token ids: give at least one.")
    if not all(0 <= token < model.config.vocab_size for token in ids):
        raise UsageError(f"The prompt holds ids outside the vocabulary of {model.config.vocab_size} tokens.")
    if len(ids) >= model.context_length:
        raise ContextError(
            f"The prompt is {len(ids)} tokens long and the model's context is {model.context_length}: shorten it."
        )
    return list(ids)
