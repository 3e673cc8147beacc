"""Choice of the next token from logits, by the rules and in the order of transformers' logits processors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import NumbersError, UsageError
from .logprobs import MOST, Told, tell
from .shift import Grammar, Matcher, Shift

NONE = -1  # in place of a token whose logit is NaN or infinite


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of the choice; names and meaning are transformers', and OpenAI's from `presence_penalty` on. `seed`
    None: a different answer each time.

    Penalties and bias are added to the logits, and tokens that the grammar does not allow are masked, between the
    repetition penalty and the temperature. `logprobs` is the
    number of likeliest tokens whose log-probabilities are told beside that of the chosen one; None: none are told.
    """

    do_sample: bool = True
    top_p: float = 0.7
    top_k: int = 50
    temperature: float = 0.95
    repetition_penalty: float = 1.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()  # token ids, with the values to add
    logprobs: int | None = None
    grammar: Grammar | None = None

    @classmethod
    def of(
        cls,
        do_sample: bool,
        top_p: float | None,
        top_k: int | None,
        temperature: float | None,
        repetition_penalty: float | None,
        seed: int | None,
        presence_penalty: float | None = None,
        frequency_penalty: float | None = None,
        logit_bias: Mapping[int, float] | None = None,
        logprobs: int | None = None,
    ) -> "Sampling":
        """Read users' settings: None is transformers' default, a temperature of 0 is greedy.

        A greedy answer ignores the settings for drawing. Raises UsageError if a setting is out of its range.
        """
        given: dict[str, Any] = {
            "repetition_penalty": repetition_penalty,
            "seed": seed,
            "presence_penalty": presence_penalty,
            "frequency_penalty": frequency_penalty,
            "logit_bias": _pairs(logit_bias),
            "logprobs": logprobs,
        }
        if not do_sample or temperature == 0:
            given["do_sample"] = False
        else:
            temperature = 1.0 if temperature is None else temperature
            given |= {"top_p": 1.0 if top_p is None else top_p, "top_k": top_k, "temperature": temperature}
        sampling = cls(**{name: value for name, value in given.items() if value is not None})
        sampling.check()
        return sampling

    def check(self) -> None:
        """Raise UsageError if a setting is out of its range."""
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}: it must be above 0 and at most 1.")
        if self.top_k < 0:
            raise UsageError(f"top_k is {self.top_k}: it must be 0 (off) or more.")
        if self.temperature <= 0:
            raise UsageError(f"temperature is {self.temperature}: it must be above 0, or 0 for greedy answers.")
        if self.repetition_penalty <= 0:
            raise UsageError(f"repetition_penalty is {self.repetition_penalty}: it must be above 0 (1 is none).")
        for name in ("presence_penalty", "frequency_penalty"):
            if not _is_within(getattr(self, name), 2):
                raise UsageError(f"{name} is {getattr(self, name)!r}: it must be a number from -2 to 2 (0 is none).")
        for token, value in self.logit_bias:
            if not _is_within(value, 100):
                raise UsageError(f"logit_bias of token {token} is {value!r}: it must be a number from -100 to 100.")
        if self.logprobs is not None and not (type(self.logprobs) is int and 0 <= self.logprobs <= MOST):
            raise UsageError(f"logprobs is {self.logprobs!r}: it must be a whole number from 0 to {MOST}, or None.")

    @property
    def suits_drafts(self) -> bool:
        """Tell whether drafted tokens can be checked by these settings."""
        is_shifted = self.presence_penalty or self.frequency_penalty or self.logit_bias or self.grammar
        return self.logprobs is None and not is_shifted

    def make_generator(self, device: torch.device) -> torch.Generator | None:
        """A source of random numbers for one answer; None for a greedy one."""
        if not self.do_sample:
            return None
        generator = torch.Generator(device=device)
        if self.seed is None:
            generator.seed()
            return generator
        return generator.manual_seed(self.seed)


def _pairs(bias: Mapping[int, float] | None) -> tuple[tuple[int, float], ...]:
    """The tokens and values of a bias. Raises UsageError if it is no mapping from token ids."""
    if bias is None:
        return ()
    if not isinstance(bias, Mapping) or not all(type(token) is int for token in bias):
        raise UsageError("logit_bias must map token ids to numbers, like {1234: -100}.")
    return tuple(bias.items())


def _is_within(value: Any, most: float) -> bool:
    return type(value) in (int, float) and -most <= value <= most


GREEDY = Sampling(do_sample=False)


def best_of(logits: Tensor) -> Tensor:
    """The index of the largest logit, `NONE` if it is NaN or infinite: [..., vocabulary] → [...]. NaN counts as
    largest.
    """
    best = logits.argmax(-1)
    return flagged(best, logits.gather(-1, best[..., None])[..., 0])


def flagged(token: Tensor, largest: Tensor) -> Tensor:
    """The tokens, replaced by `NONE` if the largest logit, of the same shape, is NaN or infinite."""
    return torch.where(largest - largest == 0, token, NONE)


def checked(token: int) -> int:
    """Return the token. Raises NumbersError if it is `NONE`."""
    if token == NONE:
        raise NumbersError
    return token


class Choice:
    """Settings of one request's choice, the tokens it has seen, and log-probabilities of the latest one."""

    def __init__(self, sampling: Sampling, prompt: Tensor, vocabulary: int) -> None:
        """Create a choice. prompt: [tokens], which count as seen for the repetition penalty."""
        self.sampling, self.vocabulary, self.device = sampling, vocabulary, prompt.device
        self.generator = sampling.make_generator(prompt.device)
        self.count = min(sampling.top_k or vocabulary, vocabulary)  # tokens that may be drawn
        self.seen: Tensor | None = None  # [vocabulary]
        if sampling.repetition_penalty != 1.0:
            self.seen = torch.zeros(vocabulary, dtype=torch.bool, device=prompt.device)
            self.seen[prompt] = True
        self.penalties = sampling.presence_penalty, sampling.frequency_penalty
        self.said = torch.zeros(vocabulary, device=prompt.device) if any(self.penalties) else None
        self.bias: Tensor | None = None
        if sampling.logit_bias:
            ids, values = zip(*sampling.logit_bias, strict=True)
            self.bias = torch.zeros(vocabulary)
            self.bias[list(ids)] = torch.tensor(values, dtype=torch.float32)
            self.bias = self.bias.to(prompt.device)
        self.matcher: Matcher | None = sampling.grammar.begin() if sampling.grammar else None
        self.likeliest = sampling.logprobs
        self.told: Told | None = None  # overwritten by the next token's


class Sampler:
    """Chooses tokens for requests side by side, each by its own settings and its own random numbers, on the device of
    the logits, without waiting for it.

    Drawing takes the largest of probability / noise with exponential noise, which is a draw from the probabilities; so
    everything except the noise can be part of a captured graph. The noise belongs to places in the order of
    probability; where the whole vocabulary may be drawn it belongs to tokens, because far down in the order rounding
    exchanges places.
    """

    def __init__(self, choices: Sequence[Choice]) -> None:
        self._choices, device = choices, choices[0].device
        self._shift = Shift.of(choices, choices[0].vocabulary, device)
        self.noise: Tensor | None = None
        self._of_tokens: Tensor | None = None  # [rows, 1], True for rows whose noise belongs to tokens
        draws = [choice.generator is not None for choice in choices]
        if any(draws):
            counts = [choice.count if choice.generator else 1 for choice in choices]
            self.noise = torch.ones(len(choices), max(counts), device=device)
            self._temperature = _column(
                [choice.sampling.temperature if choice.generator else 1.0 for choice in choices], device
            )
            self._top_p = _column([choice.sampling.top_p for choice in choices], device)
            if max(counts) == choices[0].vocabulary:
                self._of_tokens = torch.tensor(counts, device=device)[:, None] == max(counts)
            self._draws = None if all(draws) else torch.tensor(draws, device=device)[:, None]
            self._beyond: Tensor | None = None  # [rows, count], True for tokens that a row may not draw
            if min(counts) < max(counts):
                self._beyond = torch.arange(max(counts), device=device) >= torch.tensor(counts, device=device)[:, None]
        self.seen: Tensor | None = None
        if any(choice.seen is not None for choice in choices):
            none = torch.zeros(choices[0].vocabulary, dtype=torch.bool, device=device)
            self.seen = torch.stack([none if choice.seen is None else choice.seen for choice in choices])
            self._penalty = _column([choice.sampling.repetition_penalty for choice in choices], device)
            for choice, seen in zip(choices, self.seen, strict=True):
                choice.seen = None if choice.seen is None else seen
        self.is_plain = self.seen is None and self.noise is None and self._shift is None  # the best tokens are chosen
        # A step needs the host between its tokens and the next step, which allows no graph.
        self.is_read = any(choice.likeliest is not None or choice.matcher for choice in choices)

    @property
    def generator(self) -> torch.Generator | None:
        """The random numbers of the first request; None if it is greedy."""
        return self._choices[0].generator

    def stir(self) -> None:
        """Draw new noise, before each token."""
        if self.noise is not None:
            for noise, choice in zip(self.noise, self._choices, strict=True):
                if choice.generator:
                    noise[: choice.count].exponential_(generator=choice.generator)

    def __call__(self, logits: Tensor, best: Tensor) -> Tensor:
        """Choose; logits: [rows, vocabulary]; best: `best_of` them, [rows, 1] → the next tokens, [rows, 1], or
        `NONE`.
        """
        token = best if self.is_plain else self._chosen(logits, best)
        if self.is_read:
            tell(self._choices, logits, token)
        return token

    def _chosen(self, logits: Tensor, best: Tensor) -> Tensor:
        scores = self.scores(logits, self.seen)
        token = scores.argmax(-1, keepdim=True) if self.noise is None else self._drawn(scores)
        if self.seen is not None:
            self.seen.scatter_(1, token, True)
        if self._shift:
            self._shift.count(token)
        return torch.where(best < 0, best, token)

    def scores(self, logits: Tensor, seen: Tensor | None) -> Tensor:
        """Logits after penalties, bias and temperature.

        Args:
            logits: [rows, vocabulary]; several rows may belong to one request.
            seen: [rows, vocabulary], True for the tokens before each row; None without a penalty.
        """
        scores = logits.float()
        if seen is not None:
            penalty = self._penalty
            scores = torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)
        if self._shift:
            scores = self._shift(scores)
        return scores if self.noise is None else scores / self._temperature

    def distribution(self, logits: Tensor, seen: Tensor | None) -> Tensor:
        """The probabilities of drawing each token, [rows, vocabulary]; arguments as for `scores`."""
        kept, ids = self._kept(self.scores(logits, seen))
        return torch.zeros_like(logits).scatter_(-1, ids, kept / kept.sum(-1, keepdim=True))

    def _drawn(self, scores: Tensor) -> Tensor:
        assert self.noise is not None
        kept, ids = self._kept(scores)
        noise = self.noise
        if self._of_tokens is not None:
            noise = torch.where(self._of_tokens, noise.gather(1, ids), noise)
        drawn = ids.gather(1, (kept / noise).argmax(-1, keepdim=True))
        return drawn if self._draws is None else torch.where(self._draws, drawn, scores.argmax(-1, keepdim=True))

    def _kept(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The probabilities of the tokens that may be drawn, which need not add up to 1, and their ids: [rows, count]
        each."""
        assert self.noise is not None
        best, ids = scores.topk(self.noise.shape[-1])
        if self._beyond is not None:
            best = best.masked_fill(self._beyond, -torch.inf)
        probabilities = best.softmax(-1)
        # A token stays if the more likely ones hold less than top_p; the first one always does.
        above = probabilities.cumsum(-1) - probabilities
        return probabilities.masked_fill(above >= self._top_p, 0.0), ids


def _column(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None]


def draw(probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """Draw an id for each row of [rows, vocabulary], which need not add up to 1; the method is `Sampler`'s."""
    return (probabilities / torch.empty_like(probabilities).exponential_(generator=generator)).argmax(-1)
