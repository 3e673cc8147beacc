"""The one stream of pieces that chat, app, API and benchmarks consume, for every variant and engine."""

import time
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any

from ..engine import ENGINES, EagerEngine, Sampling
from ..errors import ContextError, UsageError
from ..models.chatglm.generation import settings_of, stop_tokens
from .clean_up import Cleaner
from .detokenizer import Detokenizer
from .piece import Piece

Tagged = tuple[int, bool]  # a token, and whether it is the last

_FEWEST_FREE = 4  # a quarter of the context is kept free for the answer when old rounds have to go


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
    asked = time.perf_counter()
    sampling = Sampling.of(do_sample, top_p, top_k, temperature, repetition_penalty, seed)
    stops = stop_tokens(others.pop("eos_token_id", model.stop_tokens))
    others = settings_of(others)
    if (max_new_tokens if max_new_tokens is not None else max_length) < 1:
        raise UsageError("The length of the answer must be at least 1 token.")
    context = model.context_length
    if isinstance(prompt, str):
        room = min(max_new_tokens or max_length, context // _FEWEST_FREE)
        ids, left_out = model.prompt_ids(tokenizer, prompt, history, room)
    else:
        ids, left_out = _check_ids(prompt, model), 0
    allowed = max_new_tokens if max_new_tokens is not None else max(max_length - len(ids), 1)
    allowed = min(allowed, context - len(ids))
    stops = () if ignore_eos else stops
    engine = EagerEngine(model, others) if others else ENGINES[engine_name(model)](model)
    tokens = _with_end(engine.generate(ids, allowed, sampling, stops), allowed, stops, bool(others))
    return _pieces(model, tokenizer, engine, tokens, ids, left_out, stops, asked)


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


def _with_end(tokens: Iterator[int], allowed: int, stops: Collection[int], looks_ahead: bool) -> Iterator[Tagged]:
    """Tokens, each with whether it is the last; one behind where something else than ends and length can end them."""
    with closing(tokens):  # type: ignore[type-var]  # a generator
        if not looks_ahead:
            for count, token in enumerate(tokens, 1):
                yield token, count == allowed or token in stops
            return
        held = next(tokens, None)
        while held is not None:
            following = next(tokens, None)
            yield held, following is None
            held = following


def _pieces(
    model: Any,
    tokenizer: Any,
    engine: Any,
    tokens: Iterator[Tagged],
    ids: list[int],
    left_out: int,
    stops: Collection[int],
    asked: float,
) -> Iterator[Piece]:
    detokenizer = Detokenizer(lambda part: tokenizer.decode(part, skip_special_tokens=True))
    cleaner = Cleaner(model.clean_response)
    ttft = 0.0
    with closing(tokens):  # type: ignore[type-var]  # a generator
        for count, (token, last) in enumerate(tokens, 1):
            now = time.perf_counter() - asked
            ttft = ttft or now
            new = detokenizer.add(token)
            yield Piece(
                text=cleaner.add(new + detokenizer.finish() if last else new),
                token=token,
                tokens=count,
                prompt_tokens=len(ids),
                time=now,
                ttft=ttft,
                rounds_left_out=left_out,
                stop=None if not last else "eos" if token in stops else "length",
                cache_memory=engine.cache_memory(len(ids) + count),
                acceptance=engine.acceptance,
            )


def engine_name(model: Any) -> str:
    """The engine a model was loaded for; one from plain `from_pretrained` runs eagerly."""
    info = getattr(model, "fastglm", None)
    return info.engine if info else "eager"
