"""The one stream of pieces that chat, app, API and benchmarks consume, for every variant and engine."""

import time
from collections.abc import Iterator
from typing import Any

from .engine import ENGINES, Sampling
from .engine.clean import Cleaner
from .engine.detokenize import Detokenizer
from .errors import ContextError, UsageError
from .piece import Piece

_FEWEST_FREE = 4  # a quarter of the context is kept free for the answer when old rounds have to go


def stream(
    model: Any,
    tokenizer: Any,
    prompt: str | list[int],
    history: list[tuple[str, str]] | None = None,
    max_new_tokens: int | None = None,
    max_length: int = 2048,
    do_sample: bool = True,
    top_p: float = 0.7,
    top_k: int = 50,
    temperature: float = 0.95,
    repetition_penalty: float = 1.0,
    seed: int | None = None,
    ignore_eos: bool = False,
) -> Iterator[Piece]:
    """Answers a prompt, one piece a token as soon as it is known; closing the iterator stops the work.

    Args:
        prompt: what the user typed, none of which becomes a control token; or token ids, taken as they are.
        history: rounds before, (query, response); the oldest are left out where they do not fit, and pieces say so.
        max_new_tokens: of the answer; where not given, `max_length` counts prompt and answer together.
        ignore_eos: go on behind the end of the answer, for measuring.

    Raises:
        UsageError: a setting out of its range, an id that is no token.
        ContextError: a single message that does not fit into the context.
    """
    asked = time.perf_counter()
    sampling = Sampling(do_sample, top_p, top_k, temperature, repetition_penalty, seed)
    sampling.check()
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
    return _pieces(model, tokenizer, ids, left_out, allowed, sampling, ignore_eos, asked)


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


def _pieces(
    model: Any,
    tokenizer: Any,
    ids: list[int],
    left_out: int,
    allowed: int,
    sampling: Sampling,
    ignore_eos: bool,
    asked: float,
) -> Iterator[Piece]:
    engine = ENGINES[engine_name(model)](model)
    stops = model.stop_tokens
    detokenizer = Detokenizer(lambda part: tokenizer.decode(part, skip_special_tokens=True))
    cleaner = Cleaner(model.clean_response)
    tokens = engine.generate(ids, allowed, sampling, () if ignore_eos else stops)
    ttft = 0.0
    try:
        for count, token in enumerate(tokens, 1):
            now = time.perf_counter() - asked
            ttft = ttft or now
            ended = not ignore_eos and token in stops
            last = ended or count == allowed
            new = detokenizer.add(token)
            yield Piece(
                text=cleaner.add(new + detokenizer.finish() if last else new),
                token=token,
                tokens=count,
                prompt_tokens=len(ids),
                time=now,
                ttft=ttft,
                rounds_left_out=left_out,
                stop="eos" if ended else "length" if last else None,
                cache_memory=engine.cache_memory(len(ids) + count),
                acceptance=engine.acceptance,
            )
    finally:
        tokens.close()  # type: ignore[attr-defined]  # a generator


def engine_name(model: Any) -> str:
    """The engine a model was loaded for; one from plain `from_pretrained` runs eagerly."""
    info = getattr(model, "fastglm", None)
    return info.engine if info else "eager"
