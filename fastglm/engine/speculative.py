"""Speculative decoding: a small model drafts some tokens, the target checks all of them in one step.

The answers are the target's: greedy ones the same, sampled ones of the same distribution (Leviathan et al. 2023,
arXiv 2211.17192, algorithm 1; Chen et al. 2023, arXiv 2302.01318).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .compile.worker import MOST_TOKENS
from .runner import Runner, runner_of
from .sampling import NONE, Choice, Sampler, Sampling, best_of, checked, draw
from .slots import Slot

# Cost of checking one more token, as a share of a step. On a CPU 0.2 to 0.3 was measured with the demo's matrices and
# AVX2, 0.1 with AVX-512, where a step of its draft costs 0.1 more than its bytes suggest; large matrices cost less. For
# GPUs, where reading the weights hides the cost, the value is assumed.
ROW_COST = {"cpu": 0.25, "cuda": 0.02, "mps": 0.05}


@dataclass(frozen=True, slots=True)
class Draft:
    """A model that drafts for another of the same vocabulary."""

    model: Any
    cost: float  # cost of a step relative to the other model's: the ratio of the bytes of weights


class DraftLength:
    """Chooses the number of tokens to draft, by the acceptance in the answer so far (Leviathan et al. 2023, section
    3.3).
    """

    MEMORY = 0.95  # weight of a round, in the one after it

    def __init__(self, draft_cost: float, row_cost: float) -> None:
        self._costs = draft_cost, row_cost
        self._kept, self._judged = 4.0, 5.0  # as if this number had been seen before

    def see(self, kept: int, drafted: int) -> None:
        """Count a round; tokens after a rejected one were not judged."""
        self._kept = self.MEMORY * self._kept + kept
        self._judged = self.MEMORY * self._judged + min(kept + 1, drafted)

    @property
    def acceptance(self) -> float:
        """The estimated chance that a token is accepted if its predecessors are."""
        return self._kept / self._judged

    def best(self) -> int:
        """The length with the most expected new tokens for its cost."""
        return max(range(1, MOST_TOKENS), key=self._gain)

    def _gain(self, length: int) -> float:
        draft_cost, row_cost = self._costs
        tokens = sum(self.acceptance**i for i in range(length + 1))
        return tokens / (1 + length * (draft_cost + row_cost))


class SpeculativeEngine:
    """Gives answers of one model with drafts of `model.draft`, a `Draft`; one at a time, with sampling that suits
    drafts.

    `acceptance` is the share of accepted tokens among those drafted for the answer so far; None before the first.
    `reused` is the number of tokens of the prompt that an earlier request has read.
    """

    logprobs = None  # sampling with them does not suit drafts

    def __init__(self, model: Any) -> None:
        self.model = model
        self.acceptance: float | None = None
        self.reused = 0
        self._target, self._draft = _Sequence(model), _Sequence(model.draft.model)

    def generate(
        self,
        prompt: list[int],
        max_new_tokens: int,
        sampling: Sampling,
        stops: tuple[int, ...],
        owner: str | None = None,
    ) -> Iterator[int]:
        """Yield new token ids until one of `stops` (included) or `max_new_tokens`; closing it frees the caches.
        `owner`: see `Scheduler.add`; the draft keeps its own keys and values.

        Raises MemoryShortError if memory is too short for a cache, NumbersError if logits are NaN or infinite; the
        engine stays usable.
        """
        length = DraftLength(self.model.draft.cost, ROW_COST[self.model.device.type])
        kept = drafted = 0
        found: list[int] = []
        try:
            # Entered anew each time: the consumer of this generator must not run in inference mode.
            with torch.inference_mode():
                inputs = torch.tensor([prompt], device=self.model.device)
                tokens = [self._begin(inputs, max_new_tokens, sampling, owner)]
            left = max_new_tokens
            while True:
                for token in tokens:
                    found.append(checked(token))
                    yield token
                    left -= 1
                    if token in stops or not left:
                        return
                with torch.inference_mode():
                    if not drafted:
                        self._draft.prefill(inputs[0], max_new_tokens, owner)
                    count = max(min(length.best(), left - 1), 1)
                    tokens = self._round(tokens, count)
                kept, drafted = kept + len(tokens) - 1, drafted + count
                length.see(len(tokens) - 1, count)
                self.acceptance = kept / drafted
        except Exception:
            found.clear()  # the caches may be broken
            raise
        finally:
            known = [*prompt, *found[:-1]] if found else []
            try:
                self._target.free(known)
            finally:
                self._draft.free(known)

    def cache_memory(self, tokens: int) -> int:
        """Bytes of both caches as they are allocated."""
        return self._target.memory + self._draft.memory

    def _begin(self, prompt: Tensor, max_new_tokens: int, sampling: Sampling, owner: str | None) -> int:
        """Run the prompt; returns the first token."""
        self._sampler = Sampler([Choice(sampling, prompt[0], self.model.config.vocab_size)])
        self._behind = 0
        logits = self._target.prefill(prompt[0], max_new_tokens, owner)
        self.reused = self._target.reused
        self._sampler.stir()
        return int(self._sampler(logits, best_of(logits)[:, None]))

    def _round(self, tokens: list[int], count: int) -> list[int]:
        """Draft and check one round.

        Args:
            tokens: result of the round before, whose last token was not run yet.
            count: number of tokens to draft.

        Returns:
            the accepted tokens, and the target's next one.
        """
        for token in tokens[len(tokens) - 1 - self._behind : -1]:
            self._draft.run(torch.tensor([[token]], device=self.model.device))
        ids, chances = self._drafted(tokens[-1], count)
        kept, following = self._check(ids, chances)
        *drafted, kept, following = torch.cat((ids[0, 1:], kept, following)).tolist()
        self._target.rewind(count - kept)
        self._draft.rewind(max(count - kept - 1, 0))
        self._behind = int(kept == count)  # the draft did not run the last drafted token
        found = [*drafted[:kept], following]
        if self._sampler.seen is not None:
            self._sampler.seen[0, found] = True
        return found

    def _drafted(self, last: int, count: int) -> tuple[Tensor, Tensor]:
        """The last token and the drafted ones, [1, 1 + count], and the distributions they were drawn from followed by
        zeros, [1 + count, vocabulary]; empty if nothing is drawn.
        """
        sampler, seen = self._sampler, self._sampler.seen
        ids = torch.full((1, 1 + count), last, device=self.model.device)
        rows = 1 + count if sampler.generator else 0
        chances = torch.zeros(rows, self.model.config.vocab_size, device=self.model.device)
        for i in range(count):
            logits, best = self._draft.run(ids[:, i : i + 1])
            if sampler.generator:
                chances[i] = sampler.distribution(logits[0], seen)[0]
                best = draw(chances[i : i + 1], sampler.generator)
            elif seen is not None:
                best = sampler.scores(logits[0], seen).argmax(-1)
            ids[0, i + 1] = best.squeeze()
            if seen is not None:
                seen = seen.scatter(1, ids[:, i + 1 : i + 2], True)
        return ids, chances

    def _check(self, ids: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
        """Check the result of `_drafted`: the number of accepted tokens, and the token after them, [1] each."""
        sampler, seen = self._sampler, None
        logits, best = self._target.run(ids)
        if sampler.seen is not None:
            rows = ids.shape[1]
            # Tokens before each row: the last token, which was seen anyway, fills the other places.
            before = torch.where(torch.ones(rows, rows, device=ids.device).tril() > 0, ids, ids[:, :1])
            seen = sampler.seen.repeat(rows, 1).scatter_(1, before, True)
        if sampler.generator:
            wanted = sampler.distribution(logits[0], seen)
            kept, following = reject(ids[0, 1:], chances, wanted, sampler.generator)
            return kept, torch.where(best[0][kept] < 0, NONE, following)
        wanted = best[0]
        if seen is not None:
            wanted = torch.where(wanted < 0, wanted, sampler.scores(logits[0], seen).argmax(-1))
        kept = (ids[0, 1:] == wanted[:-1]).long().cumprod(0).sum(0, keepdim=True)
        return kept, wanted[kept]


class _Sequence:
    """One request in a slot of a model's runner."""

    def __init__(self, model: Any) -> None:
        self._runner: Runner = runner_of(model)
        self._slots: list[Slot] = []

    def prefill(self, prompt: Tensor, answer: int, owner: str | None) -> Tensor:
        """Run a prompt like `Runner.prefill`; returns the logits, [1, vocabulary]."""
        self._slots, logits = self._runner.prefill([prompt], [answer], owner)
        return logits

    @property
    def reused(self) -> int:
        """Tokens of the prompt that an earlier request has read."""
        return self._slots[0].reused

    def run(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Run tokens [1, tokens] like `Runner.step`."""
        return self._runner.step(self._slots, ids)

    def rewind(self, count: int) -> None:
        """Forget the last `count` tokens."""
        self._runner.rewind(self._slots[0], count)

    @property
    def memory(self) -> int:
        """Bytes of its slot."""
        return self._runner.slot_memory if self._slots else 0

    def free(self, known: list[int]) -> None:
        """Leave the slot. known: the tokens at its beginning, for `Runner.keep`."""
        try:
            for slot in self._slots:
                self._runner.keep(slot, known)
        finally:
            self._runner.free(self._slots)
            self._slots = []


def reject(drafted: Tensor, chances: Tensor, wanted: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rejection sampling: the accepted tokens and the one after them have the wanted distributions.

    Args:
        drafted: [count] tokens.
        chances: [count + 1, vocabulary], the distributions they were drawn from; the last row is 0.
        wanted: [count + 1, vocabulary], the target's distributions.

    Returns:
        the number of accepted tokens, and the token after them, [1] each.
    """
    count = drafted.shape[0]
    at = drafted[:, None]
    noise = torch.rand(count, 1, device=drafted.device, generator=generator)
    keeps = noise * chances[:count].gather(1, at) < wanted[:count].gather(1, at)
    kept = keeps[:, 0].long().cumprod(0).sum(0, keepdim=True)
    rest = (wanted[kept] - chances[kept]).clamp_(min=0)
    # Rounding must leave nothing of two equal distributions.
    rest = torch.where(rest.sum() > 0, rest, wanted[kept])
    return kept, draw(rest, generator)
