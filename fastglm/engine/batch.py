"""Many answers at once on the fast engine: a row each in one cache, and one step for all of them."""

from collections.abc import Callable, Sequence

import torch

from ..system.memory import room_for
from .fast import FastEngine, TokenReader
from .sampling import Sampling, checked

# Rows leave when at least so many of those that are there have ended: a copy of the cache, and on CUDA another capture
# of the step, must not come with every answer that ends.
LEAVING = 1 / 4

Ends = Callable[[int, int], bool]  # from the number of an answer and its new token: whether that is the last one


class BatchEngine(FastEngine):
    """Answers of one model, many at once; what drafts for it is not asked."""

    @torch.inference_mode()
    def answer(
        self, prompts: Sequence[list[int]], max_new_tokens: int, sampling: Sampling, ends: Ends | None = None
    ) -> list[list[int]]:
        """New token ids of each prompt: those that `generate` gives it alone, with `Sampling.seed` and its number.

        Args:
            max_new_tokens: of each answer, within the context of the model.
            ends: asked of every new token, answer by answer; None: all have `max_new_tokens`.

        Raises MemoryShortError where there is no memory for so many, NumbersError where logits are no numbers; the
        engine stays usable.
        """
        way_out = "ask less at once, keep keys and values as int8 (--cache int8), or pick a smaller variant"
        try:
            with room_for(f"{len(prompts)} answers at once", way_out):
                return self._answer(prompts, max_new_tokens, sampling, ends or (lambda number, token: False))
        finally:
            self._sequence.free()

    def _answer(
        self, prompts: Sequence[list[int]], max_new_tokens: int, sampling: Sampling, ends: Ends
    ) -> list[list[int]]:
        answers: list[list[int]] = [[] for _ in prompts]
        rows = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))  # the answer of each row
        going = set(rows)
        run, reader = self._runner(), TokenReader(self._is_cuda)
        token = self._begin([prompts[number] for number in rows], rows, max_new_tokens, sampling)
        for left in reversed(range(max_new_tokens)):
            reader.start(token)
            if self._is_cuda and left:  # launched before what precedes it is looked at
                token = self._advance(run, token)
            for number, found in zip(rows, reader.finish(), strict=True):
                if number in going:
                    answers[number].append(checked(found))
                    if ends(number, found):
                        going.remove(number)
            if not going or not left:
                break
            if len(going) <= (1 - LEAVING) * len(rows):
                kept = [row for row, number in enumerate(rows) if number in going]
                rows, token = [rows[row] for row in kept], token[kept]
                self._sequence.keep(kept)
                self._sampler.keep(kept)
            if not self._is_cuda:
                token = self._advance(run, token)
        return answers
