"""Choosing the next token from logits, by the rules and in the order of transformers' logits processors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; names and meaning are transformers'. `seed` None: a different answer each time."""

    do_sample: bool = True
    top_p: float = 0.7
    top_k: int = 50
    temperature: float = 0.95
    repetition_penalty: float = 1.0
    seed: int | None = None

    def check(self) -> None:
        """Raises UsageError where a setting is out of its range."""
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}: it must be above 0 and at most 1.")
        if self.top_k < 0:
            raise UsageError(f"top_k is {self.top_k}: it must be 0 (off) or more.")
        if self.temperature <= 0:
            raise UsageError(
                f"temperature is {self.temperature}: it must be above 0; for greedy answers, do_sample=False."
            )
        if self.repetition_penalty <= 0:
            raise UsageError(f"repetition_penalty is {self.repetition_penalty}: it must be above 0 (1 is none).")

    def make_generator(self, device: torch.device) -> torch.Generator | None:
        """A source of random numbers for one answer; None where nothing is drawn."""
        if not self.do_sample:
            return None
        generator = torch.Generator(device=device)
        if self.seed is None:
            generator.seed()
            return generator
        return generator.manual_seed(self.seed)


class Sampler:
    """Draws tokens for one answer, on the device of the logits."""

    def __init__(self, sampling: Sampling, prompt: Tensor, vocabulary: int) -> None:
        """prompt: [1, sequence], whose tokens count as seen for the repetition penalty."""
        self.sampling = sampling
        self.generator = sampling.make_generator(prompt.device)
        self.seen: Tensor | None = None
        if sampling.repetition_penalty != 1.0:
            self.seen = torch.zeros(1, vocabulary, dtype=torch.bool, device=prompt.device)
            self.seen.scatter_(1, prompt, True)

    def __call__(self, logits: Tensor) -> Tensor:
        """logits: [1, vocabulary] → the next token, [1, 1]."""
        scores = logits.float()
        if self.seen is not None:
            penalty = self.sampling.repetition_penalty
            scores = torch.where(self.seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)
        token = self._draw(scores / self.sampling.temperature) if self.generator else scores.argmax(-1, keepdim=True)
        if self.seen is not None:
            self.seen.scatter_(1, token, True)
        return token

    def _draw(self, scores: Tensor) -> Tensor:
        count = self.sampling.top_k or scores.shape[-1]
        best, ids = scores.topk(min(count, scores.shape[-1]))
        probabilities = best.softmax(-1)
        # A token is kept while those above it hold less than top_p; the first always is.
        above = probabilities.cumsum(-1) - probabilities
        kept = probabilities.masked_fill(above >= self.sampling.top_p, 0.0)
        return ids.gather(1, torch.multinomial(kept, 1, generator=self.generator))
