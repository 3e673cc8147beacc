"""The published way: transformers' `generate` with its dynamic cache. The baseline, with nothing slow on purpose."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .logprobs import Logprobs, tell
from .sampling import Choice, Sampling
from .shift import Shift


class EagerEngine:
    """Gives one answer by `generate`, whose sampling loop runs as a generator.

    A streamer would need a thread of its own, which took a tenth of a small model's time when measured.
    """

    acceptance: float | None = None  # share of accepted drafts: none are drafted
    reused = 0  # tokens of the prompt that an earlier request has read
    logprobs: Logprobs | None = None  # of the latest token, if its request asks for them

    def __init__(self, model: Any, others: dict[str, Any] | None = None) -> None:
        """Create the engine; `others`: more arguments of `generate`, such as `logits_processor`."""
        self.model, self.others = model, others or {}

    def generate(
        self,
        prompt: list[int],
        max_new_tokens: int,
        sampling: Sampling,
        stops: tuple[int, ...],
        owner: str | None = None,
    ) -> Iterator[int]:
        """Yield new token ids until one of `stops` (included) or `max_new_tokens`; closing it ends the work. All of a
        prompt is read, whoever is its `owner`.

        Raises NumbersError if logits are NaN or infinite.
        """
        choice: dict[str, Any] = {"do_sample": False}
        if sampling.do_sample:
            choice = {
                "do_sample": True,
                "top_p": sampling.top_p,
                "top_k": sampling.top_k,
                "temperature": sampling.temperature,
            }
        inputs = torch.tensor([prompt], device=self.model.device)
        settings = {
            "max_new_tokens": max_new_tokens,
            "repetition_penalty": sampling.repetition_penalty,
            "eos_token_id": list(stops) or None,
            "pad_token_id": self.model.config.pad_token_id,
            **choice,
            **self.others,
        }
        draw = _Draw(sampling, inputs, self.model.config.vocab_size)
        if draw.shift:
            settings["logits_processor"] = [*(settings.get("logits_processor") or ()), draw.shifted]
        mask = torch.ones_like(inputs)
        tokens = self.model.generate(
            inputs, attention_mask=mask, custom_generate=self.model.generate_loop, draw=draw, **settings
        )
        for token in tokens:
            self.logprobs = draw.choice.told.read() if draw.choice.told else None
            yield int(token)
            if draw.choice.matcher:
                draw.choice.matcher.take(int(token))

    def cache_memory(self, tokens: int) -> int:
        """Bytes of keys and values for a number of tokens, behind a learned prefix if there is one."""
        config = self.model.config
        return (tokens + (config.pre_seq_len or 0)) * config.cache_bytes(self.model.dtype)


class _Draw:
    """Draws the next token from processed scores; the model's `generate` applies the repetition penalty."""

    def __init__(self, sampling: Sampling, prompt: Tensor, vocabulary: int) -> None:
        self.choice = Choice(replace(sampling, repetition_penalty=1.0), prompt[0], vocabulary)
        self.shift = Shift.of([self.choice], vocabulary, prompt.device)

    def shifted(self, _ids: Tensor, scores: Tensor) -> Tensor:
        """Shift scores, [1, vocabulary], before the temperature and the filters."""
        return self.shift(scores) if self.shift else scores

    def __call__(self, scores: Tensor, logits: Tensor) -> Tensor:
        """Draw; processed scores and the model's logits: [1, vocabulary] → [1, 1]."""
        if self.choice.generator is None:
            token = scores.argmax(-1, keepdim=True)
        else:
            token = torch.multinomial(scores.softmax(-1), 1, generator=self.choice.generator)
        if self.shift:
            self.shift.count(token)
        tell([self.choice], logits, token)
        return token
