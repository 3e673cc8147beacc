"""Choosing the next token from logits, by the rules and in the order of transformers' logits processors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import NumbersError, UsageError

NONE = -1  # in place of a token whose logit is NaN or infinite


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; names and meaning are transformers'. `seed` None: a different answer each time."""

    do_sample: bool = True
    top_p: float = 0.7
    top_k: int = 50
    temperature: float = 0.95
    repetition_penalty: float = 1.0
    seed: int | None = None

    @classmethod
    def of(
        cls,
        do_sample: bool,
        top_p: float | None,
        top_k: int | None,
        temperature: float | None,
        repetition_penalty: float | None,
        seed: int | None,
    ) -> "Sampling":
        """Settings as users give them: None is transformers' default, a temperature of 0 is greedy.

        A greedy answer takes no notice of what is for drawing. Raises UsageError where a setting is out of its range.
        """
        penalty = 1.0 if repetition_penalty is None else repetition_penalty
        if not do_sample or temperature == 0:
            sampling = cls(do_sample=False, repetition_penalty=penalty, seed=seed)
        else:
            top_p, top_k = 1.0 if top_p is None else top_p, 50 if top_k is None else top_k
            sampling = cls(True, top_p, top_k, 1.0 if temperature is None else temperature, penalty, seed)
        sampling.check()
        return sampling

    def check(self) -> None:
        """Raises UsageError where a setting is out of its range."""
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}: it must be above 0 and at most 1.")
        if self.top_k < 0:
            raise UsageError(f"top_k is {self.top_k}: it must be 0 (off) or more.")
        if self.temperature <= 0:
            raise UsageError(f"temperature is {self.temperature}: it must be above 0, or 0 for greedy answers.")
        if self.repetition_penalty <= 0:
            raise UsageError(f"repetition_penalty is {self.repetition_penalty}: it must be above 0 (1 is none).")

    def make_generator(self, device: torch.device, number: int = 0) -> torch.Generator | None:
        """A source of random numbers for one answer; None where nothing is drawn.

        Answer `number` of several draws as the one with `seed + number` does alone.
        """
        if not self.do_sample:
            return None
        generator = torch.Generator(device=device)
        if self.seed is None:
            generator.seed()
            return generator
        return generator.manual_seed(self.seed + number)


GREEDY = Sampling(do_sample=False)


def best_of(logits: Tensor) -> Tensor:
    """Where logits are largest, `NONE` where that is no number: [..., vocabulary] → [...]. NaN counts as largest."""
    best = logits.argmax(-1)
    return flagged(best, logits.gather(-1, best[..., None])[..., 0])


def flagged(token: Tensor, largest: Tensor) -> Tensor:
    """The tokens, but `NONE` where the largest logit, of the same shape, is NaN or infinite."""
    return torch.where(largest - largest == 0, token, NONE)


def checked(token: int) -> int:
    """The token. Raises NumbersError where it is `NONE`."""
    if token == NONE:
        raise NumbersError
    return token


class Sampler:
    """Draws tokens for answers side by side, on the device of the logits, without waiting for it.

    Drawing takes the largest of probability / noise, noise being exponential, which is a draw from the probabilities;
    so all but the noise can be part of a captured graph.
    """

    def __init__(
        self,
        sampling: Sampling,
        prompts: Tensor | Sequence[Tensor],
        vocabulary: int,
        numbers: Sequence[int] = (0,),
    ) -> None:
        """
        Args:
            prompts: [tokens] each, which count as seen for the repetition penalty.
            numbers: of the answers, for `Sampling.make_generator`.
        """
        self.sampling = sampling
        device = prompts[0].device
        self.generators = [g for number in numbers if (g := sampling.make_generator(device, number))]
        count = min(sampling.top_k or vocabulary, vocabulary)
        self.noise = torch.ones(len(numbers), count, device=device)
        self.seen: Tensor | None = None
        if sampling.repetition_penalty != 1.0:
            self.seen = torch.zeros(len(numbers), vocabulary, dtype=torch.bool, device=device)
            for row, prompt in zip(self.seen, prompts, strict=True):
                row[prompt] = True

    @property
    def generator(self) -> torch.Generator | None:
        """Of the first answer; None where nothing is drawn."""
        return self.generators[0] if self.generators else None

    def stir(self) -> None:
        """New noise, before each token."""
        for noise, generator in zip(self.noise, self.generators, strict=False):  # none, of greedy answers
            noise.exponential_(generator=generator)

    def keep(self, rows: list[int]) -> None:
        """Goes on with these answers alone."""
        self.generators = [self.generators[row] for row in rows] if self.generators else []
        self.noise = self.noise[rows]
        self.seen = None if self.seen is None else self.seen[rows]

    def __call__(self, logits: Tensor, best: Tensor) -> Tensor:
        """logits: [rows, vocabulary]; best: `best_of` them, [rows, 1] → the next tokens, [rows, 1], or `NONE`."""
        if self.seen is None and not self.generators:
            return best
        scores = self.scores(logits, self.seen)
        token = self._draw(scores) if self.generators else scores.argmax(-1, keepdim=True)
        if self.seen is not None:
            self.seen.scatter_(1, token, True)
        return torch.where(best < 0, best, token)

    def scores(self, logits: Tensor, seen: Tensor | None) -> Tensor:
        """Logits after the repetition penalty and the temperature.

        Args:
            logits: [rows, vocabulary].
            seen: [rows, vocabulary], True for the tokens before each row; None without a penalty.
        """
        scores = logits.float()
        if seen is not None:
            penalty = self.sampling.repetition_penalty
            scores = torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)
        return scores / self.sampling.temperature if self.generators else scores

    def distribution(self, logits: Tensor, seen: Tensor | None) -> Tensor:
        """The probabilities that tokens are drawn with, [rows, vocabulary]; arguments as of `scores`."""
        kept, ids = self._kept(self.scores(logits, seen))
        return torch.zeros_like(logits).scatter_(-1, ids, kept / kept.sum(-1, keepdim=True))

    def _draw(self, scores: Tensor) -> Tensor:
        kept, ids = self._kept(scores)
        return ids.gather(1, (kept / self.noise).argmax(-1, keepdim=True))

    def _kept(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """What may be drawn: probabilities that need not add up to 1, and their ids, [rows, top_k] each."""
        best, ids = scores.topk(self.noise.shape[-1])
        probabilities = best.softmax(-1)
        # A token is kept while those above it hold less than top_p; the first always is.
        above = probabilities.cumsum(-1) - probabilities
        return probabilities.masked_fill(above >= self.sampling.top_p, 0.0), ids


def draw(probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """An id of each row of [rows, vocabulary], which need not add up to 1; as `Sampler` draws."""
    return (probabilities / torch.empty_like(probabilities).exponential_(generator=generator)).argmax(-1)
