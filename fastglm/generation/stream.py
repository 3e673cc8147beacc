"""The one stream of pieces that chat, app, API and benchmarks consume, for every variant and engine."""

from collections.abc import Iterator
from typing import Any

from ..errors import FastGLMError
from .piece import Piece
from .streams import Streams


def stream(
    model: Any,
    tokenizer: Any,
    prompt: str | list[int],
    history: Any = None,
    max_new_tokens: int | None = None,
    max_length: int = 2048,
    do_sample: bool = True,
    top_p: float | None = 0.7,
    top_k: int | None = 50,
    temperature: float | None = 0.95,
    repetition_penalty: float | None = 1.0,
    seed: int | None = None,
    ignore_eos: bool = False,
    **others: Any,
) -> Iterator[Piece]:
    """Answers a prompt, one piece a token as soon as it is known; closing the iterator stops the work.

    Args:
        prompt: what the user typed, none of which becomes a control token; or token ids, taken as they are.
        history: rounds before, in any form of `fastglm.history`; the oldest are left out where they do not fit, and
            pieces say so.
        max_new_tokens: of the answer; where not given, `max_length` counts prompt and answer together.
        temperature: 0 is greedy, as `do_sample=False` is.
        ignore_eos: go on behind the end of the answer, for measuring.
        others: of transformers' `generate`, which then runs the model, whatever its engine (`eos_token_id` alone
            changes nothing in that).

    Raises:
        UsageError: a setting out of its range, an id that is no token.
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
    }
    streams.add(0, prompt, history, **settings, **others)
    return _pieces(streams)


def _pieces(streams: Streams) -> Iterator[Piece]:
    """The pieces of the one request there is."""
    try:
        while streams.busy:
            for _, news in streams.step():
                if isinstance(news, FastGLMError):
                    raise news
                if news:
                    yield news
    finally:
        streams.cancel(0)
