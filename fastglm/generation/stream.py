"""The one stream of pieces that chat, app, API and benchmarks consume, for every variant and engine."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..messages import Message, RawText
from .piece import Piece
from .streams import Streams


def stream(
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
    owner: str | None = "",
    stop: Sequence[str] = (),
    presence_penalty: float | None = 0.0,
    frequency_penalty: float | None = 0.0,
    logit_bias: Mapping[int, float] | None = None,
    logprobs: int | None = None,
    grammar: str | None = None,
    must_call: Sequence[Mapping[str, Any]] | None = None,
    **others: Any,
) -> Iterator[Piece]:
    """Answer a prompt, yielding one piece per token as soon as the token is known; closing the iterator stops the work.

    Args:
        prompt: the user's text, in which nothing becomes a control token; a message of another role; a text to
        go on with; or token ids, taken unchanged.
        history: earlier rounds, in any form of `fastglm.history`; if they do not fit, the oldest are left out, and
        pieces say so.
        max_new_tokens: of the answer; if not given, `max_length` limits prompt and answer together. The model's context
        limits both in any case.
        temperature: 0 is greedy, as `do_sample=False` is.
        ignore_eos: continue after the end of the answer, for measuring.
        owner: a name for a user whose prompts are known to nobody else. On the fast engine a causal model (ChatGLM2 and
            later) does not read again the beginning that a prompt shares with an earlier one of its owner and the
            answer to that. None: read everything, and keep nothing.
        stop: texts; the answer ends before the first of them, and no piece shows a part of one.
        presence_penalty: subtracted from the logits of all tokens of the answer so far.
        frequency_penalty: subtracted from the logits of those tokens for each of their occurrences.
        logit_bias: added to the logits of token ids.
        logprobs: the number of likeliest tokens, up to 20, whose log-probabilities each piece tells beside that of its
            own token, by the model's logits before all settings; None: none are told.
        grammar: a JSON schema as a text, or "json" for any object. The answer is a text of this form, unless its length
            ends it; nothing in it is cleaned up but white space around it.
        must_call: functions, each with `name` and `parameters`, a JSON schema. The answer calls one of them, unless its
            length ends it; for ChatGLM3 and GLM-4. ChatGLM3's calls follow types, properties, items and enumerations
            of a schema.
        others: arguments of transformers' `generate`, which then runs the model, whatever its engine (`eos_token_id`
        alone does not change the engine).

    Raises:
        UsageError: a setting out of its range, or an id that is no token.
        ContextError: a single message that does not fit into the context.
    """
    streams = Streams(model, tokenizer)
    settings = {
        "max_new_tokens": max_new_tokens,
        "max_length": max_length,
        "do_sample": do_sample,
        "top_p": top_p,
        "top_k": top_k,
        "temperature": temperature,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
        "ignore_eos": ignore_eos,
        "owner": owner,
        "stop": stop,
        "presence_penalty": presence_penalty,
        "frequency_penalty": frequency_penalty,
        "logit_bias": logit_bias,
        "logprobs": logprobs,
        "grammar": grammar,
        "must_call": must_call,
    }
    streams.add(0, prompt, history, **settings, **others)
    return _pieces(streams)


def _pieces(streams: Streams) -> Iterator[Piece]:
    """The pieces of the only request."""
    try:
        while streams.busy:
            for _, news in streams.step():
                if isinstance(news, Exception):
                    raise news
                if news:
                    yield news
    finally:
        streams.cancel(0)
