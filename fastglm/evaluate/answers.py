"""A model's own answers to many questions at a time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from ..engine import GREEDY, BatchEngine, Sampling, engine_name
from ..engine.batch import Ends
from ..messages import Message
from ..progress.progress import OnProgress, Progress

TOP_P = 0.7  # top-p of sampling, as in the published chat
QUESTIONS_AT_ONCE = 64


def answers(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Sequence[Message]],
    max_new_tokens: int,
    temperature: float | None = None,
    seed: int = 0,
    progress: OnProgress | None = None,
) -> list[str | None]:
    """Answer `questions`, each a conversation that ends with a question.

    Neighbouring questions run side by side, padded on the left; this is fast if their answers are about equally long.

    Args:
        max_new_tokens: the most tokens of an answer; an answer that has not ended by then is None.
        temperature: None means greedy decoding, otherwise sampling with `TOP_P`.
        seed: of the sampling; question n draws with `seed + n`.
    """
    prompts = [model.prompt_ids(tokenizer, question, history)[0] for *history, question in questions]
    return prompt_answers(model, tokenizer, prompts, max_new_tokens, temperature, seed, progress)


def prompt_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    temperature: float | None = None,
    seed: int = 0,
    progress: OnProgress | None = None,
) -> list[str | None]:
    """Run `answers` on prompts that are token ids already."""
    sampling = GREEDY if temperature is None else Sampling(temperature=temperature, top_p=TOP_P, seed=seed)
    stops = model.stop_tokens
    found: list[str | None] = []
    for start in range(0, len(prompts), QUESTIONS_AT_ONCE):
        batch, drawn = prompts[start : start + QUESTIONS_AT_ONCE], replace(sampling, seed=seed + start)
        for ids in generate(model, batch, max_new_tokens, drawn, lambda _, token: token in stops):
            found.append(answer_text(model, tokenizer, ids))
        if progress:
            progress(Progress("answer", len(found), len(prompts), "questions"))
    return found


def answer_text(model: Any, tokenizer: Any, ids: Sequence[int]) -> str | None:
    """The text of new tokens; None if no stop token ends them."""
    end = next((place for place, token in enumerate(ids) if token in model.stop_tokens), None)
    return None if end is None else model.clean_response(tokenizer.decode(ids[:end], skip_special_tokens=True))


def generate(
    model: Any,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    ends: Ends | None = None,
) -> list[list[int]]:
    """New token ids of each prompt, side by side: by `BatchEngine.answer`, or by transformers' `generate` for the eager
    engine. With `generate`, rows stay until the last has ended, and all draw from one source of random numbers.
    """
    if engine_name(model) != "eager":
        return BatchEngine(model).answer(prompts, max_new_tokens, sampling, ends)
    longest, pad, device = max(map(len, prompts)), model.config.pad, model.device
    ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    names = ("do_sample", "temperature", "top_p", "top_k") if sampling.do_sample else ("do_sample",)
    ending = _Ending(len(prompts), ends) if ends else None
    with torch.inference_mode(), torch.random.fork_rng(enabled=sampling.do_sample):
        if sampling.do_sample and sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        output = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            eos_token_id=None,
            pad_token_id=pad,
            stopping_criteria=StoppingCriteriaList([ending] if ending else []),
            **{name: getattr(sampling, name) for name in names},
        )
    return ending.answers if ending else output[:, longest:].tolist()


class _Ending(StoppingCriteria):
    """Stops `generate` by the rule of `Ends`, and keeps the answers up to there."""

    def __init__(self, rows: int, ends: Ends) -> None:
        self.answers: list[list[int]] = [[] for _ in range(rows)]
        self._ends, self._ended = ends, [False] * rows

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Take the last token of each row; returns which rows are ended, [rows]."""
        for row, token in enumerate(input_ids[:, -1].tolist()):
            if not self._ended[row]:
                self.answers[row].append(token)
                self._ended[row] = self._ends(row, token)
        return torch.tensor(self._ended, device=input_ids.device)
