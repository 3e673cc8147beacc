"""Changes of requests to their logits: penalties for tokens of the answer so far, biases for single tokens, and the
masks of grammars.
"""

from collections.abc import Sequence
from typing import Protocol, Self

import torch
from torch import Tensor


class Matcher(Protocol):
    """Follows one answer by a grammar."""

    allowed: Tensor  # [vocabulary], on the CPU, True for the tokens that may come next

    def take(self, token: int) -> None:
        """Follow the next token of the answer. Raises UsageError if the grammar has become too large to follow."""


class Grammar(Protocol):
    """The form of an answer."""

    def begin(self) -> Matcher:
        """Follow the grammar from its beginning."""


class Shifted(Protocol):
    """A request whose logits may be shifted (`sampling.Choice`)."""

    penalties: tuple[float, float]  # for a token's presence in the answer, and for each of its occurrences
    said: Tensor | None  # [vocabulary], occurrences in the answer; None without penalties
    bias: Tensor | None  # [vocabulary]
    matcher: Matcher | None


class Shift:
    """Shifts the logits of requests side by side, as OpenAI's API defines it. Its buffers stay the same, so that it can
    be part of a captured graph, without masks; the logits of a request without such settings keep their values.
    """

    def __init__(self, requests: Sequence[Shifted], like: Tensor) -> None:
        """Create a shift. like: zeros, [vocabulary]."""
        self._matchers = [request.matcher for request in requests]
        self._device = like.device
        self._said: Tensor | None = None  # [rows, vocabulary]
        self._bias: Tensor | None = None  # [rows, vocabulary]
        if any(request.said is not None for request in requests):
            self._said = torch.stack([like if request.said is None else request.said for request in requests])
            for request, said in zip(requests, self._said, strict=True):
                request.said = None if request.said is None else said
            penalties = torch.tensor([request.penalties for request in requests], device=like.device)
            self._presence, self._frequency = penalties.T[:, :, None]
        if any(request.bias is not None for request in requests):
            self._bias = torch.stack([like if request.bias is None else request.bias for request in requests])

    @classmethod
    def of(cls, requests: Sequence[Shifted], vocabulary: int, device: torch.device) -> Self | None:
        """A shift for some requests; None if all leave their logits alone."""
        if all(request.said is None and request.bias is None and request.matcher is None for request in requests):
            return None
        return cls(requests, torch.zeros(vocabulary, device=device))

    def __call__(self, scores: Tensor) -> Tensor:
        """Shift the scores of the requests, [rows, vocabulary]."""
        if self._said is not None:
            scores = scores - (self._frequency * self._said + self._presence * (self._said > 0))
        if self._bias is not None:
            scores = scores + self._bias
        if not any(self._matchers):
            return scores
        every = torch.ones(scores.shape[-1], dtype=torch.bool)
        allowed = torch.stack([matcher.allowed if matcher else every for matcher in self._matchers])
        return scores.masked_fill(~allowed.to(self._device), -torch.inf)

    def count(self, token: Tensor) -> None:
        """Count the next token of each request, [rows, 1], as a part of its answer."""
        if self._said is not None:
            self._said.scatter_add_(1, token, torch.ones_like(token, dtype=self._said.dtype))
