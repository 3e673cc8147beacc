"""What a model answers by itself, many questions at a time."""

from collections.abc import Sequence
from typing import Any

import torch

from ..models.chat import History
from ..progress import OnProgress, Progress

TOP_P = 0.7  # of sampling, as in the published chat
QUESTIONS_AT_ONCE = 64


def answers(
    model: Any,
    tokenizer: Any,
    questions: Sequence[tuple[History, str]],
    max_new_tokens: int,
    temperature: float | None = None,
    seed: int = 0,
    progress: OnProgress | None = None,
) -> list[str | None]:
    """Answers to `questions`, each a history and what is asked.

    Neighbours run side by side, padded on the left: it is quick where their answers are about equally long.

    Args:
        max_new_tokens: of an answer; one that is not ended by then is None.
        temperature: greedy decoding where it is None, else sampling with `TOP_P`.
        seed: of the sampling.
    """
    prompts = [model.prompt_ids(tokenizer, question, history)[0] for history, question in questions]
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
    """`answers` to prompts that are token ids already."""
    sampling: dict[str, Any] = {}
    if temperature is not None:
        sampling = {"do_sample": True, "temperature": temperature, "top_p": TOP_P}
    found: list[str | None] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in range(0, len(prompts), QUESTIONS_AT_ONCE):
            batch = prompts[start : start + QUESTIONS_AT_ONCE]
            for ids in generate(model, batch, max_new_tokens, model.stop_tokens, **sampling):
                found.append(answer_text(model, tokenizer, ids))
            if progress:
                progress(Progress("answer", len(found), len(prompts), "questions"))
    return found


def answer_text(model: Any, tokenizer: Any, ids: Sequence[int]) -> str | None:
    """The answer that new tokens are; None where nothing ends it."""
    end = next((place for place, token in enumerate(ids) if token in model.stop_tokens), None)
    return None if end is None else model.clean_response(tokenizer.decode(ids[:end], skip_special_tokens=True))


@torch.inference_mode()
def generate(
    model: Any, prompts: Sequence[list[int]], max_new_tokens: int, stops: Sequence[int], **sampling: Any
) -> list[list[int]]:
    """New token ids of each prompt, side by side, padded on the left; greedy where no `sampling` is given.

    Each ends at one of `stops`, and is padded behind it; without `stops` all have `max_new_tokens`.
    """
    longest = max(map(len, prompts))
    pad = model.config.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    output = model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(stops) or None,
        pad_token_id=pad,
        **{"do_sample": False, **sampling},
    )
    return output[:, longest:].tolist()
