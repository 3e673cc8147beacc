"""Many answers at once on the fast engine: a slot each, and one step for all of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from .sampling import Sampling
from .scheduler import Scheduler

Ends = Callable[[int, int], bool]  # tells from the number of an answer and its new token whether the answer ends


class BatchEngine:
    """Gives many answers of one model at once; a draft model is not used."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def answer(
        self, prompts: Sequence[list[int]], max_new_tokens: int, sampling: Sampling, ends: Ends | None = None
    ) -> list[list[int]]:
        """New token ids of each prompt: equal to those of `generate` for the prompt alone, with its number added to
        `Sampling.seed`.

        Args:
            max_new_tokens: of each answer, within the context of the model.
            ends: asked about every new token, the last one included, answer by answer; None: all have `max_new_tokens`.

        Raises MemoryShortError if memory is too short for so many, NumbersError if logits are NaN or infinite; the
        engine stays usable.
        """
        answers: list[list[int]] = [[] for _ in prompts]
        scheduler = Scheduler(self.model)
        for number, prompt in enumerate(prompts):
            seed = None if sampling.seed is None else sampling.seed + number
            is_last = partial(ends, number) if ends else _never
            scheduler.add(number, prompt, max_new_tokens, replace(sampling, seed=seed), is_last)
        try:
            scheduler.start()
            while scheduler.busy:
                for news in scheduler.step():
                    answers[news.id].append(news.found())
        finally:
            scheduler.close()
        return answers


def _never(_token: int) -> bool:
    return False
