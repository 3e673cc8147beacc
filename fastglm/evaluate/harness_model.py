"""A variant in the interface of lm-evaluation-harness: likelihoods of continuations, and generated texts.

A task's context is a prompt in the model's own frame of control tokens; its continuation is scored or generated after
it, token by token. No text of a task becomes a control token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from sys import maxsize
from typing import Any

import torch
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from ..batching import TOKENS_AT_ONCE, batches, shortest_first
from ..engine import GREEDY, Sampling
from ..errors import UsageError
from ..generation.stop_texts import StopTexts
from ..models.detokenizer import Detokenizer
from ..models.packing import Batch, Example
from ..progress.progress import OnProgress, Progress
from .answers import generate
from .arithmetic import Arithmetic, scoring
from .likelihood import batches_of, losses, target_logits

LONGEST_ANSWER = 256  # tokens, if a task gives no number; the harness's own default
FEWSHOT_SEED = 1234  # the harness's own
GENERATION = {"until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k"}


class VariantLM(LM):
    """A model, loaded by `fastglm.load`, for the harness. A context that is too long loses its beginning.

    Likelihoods are computed in `arithmetic`, so exact ones do not depend on the rest of a batch; generated texts use
    the arithmetic of decoding.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        progress: OnProgress | None = None,
        arithmetic: Arithmetic = Arithmetic.exact,
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self._arithmetic = model, tokenizer, arithmetic
        self._progress = progress or (lambda _: None)

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Nats of each continuation after its context, and whether greedy decoding would give it."""
        return self._score([self._example(*self._pair(*request.args)) for request in requests])

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Nats of whole texts after an empty context; a longer text is scored window by window, every token once."""
        room = self._room - 1
        examples: list[Example] = []
        owners: list[int] = []
        for owner, request in enumerate(requests):
            ids = self.tokenizer.encode_text(request.args[0])
            for number, window in enumerate(get_rolling_token_windows(ids, -1, room, 1)):
                before, said = make_disjoint_window(window)
                examples.append(self._example(before if number else [], said))
                owners.append(owner)
        sums = [0.0] * len(requests)
        for owner, (nats, _) in zip(owners, self._score(examples), strict=True):
            sums[owner] += nats
        return sums

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Generate texts up to <eop>, a request's strings or number of tokens; greedy unless the task samples."""
        room = self._room - 1  # the last token of a context stays
        wishes = [Generation.read(request.args[1], room) for request in requests]
        texts = [""] * len(requests)
        done = 0
        for wish in dict.fromkeys(wishes):
            numbers = [number for number, other in enumerate(wishes) if other == wish]
            prompts = [self._prompt(requests[number].args[0], wish.tokens) for number in numbers]
            for batch in batches([len(prompt) + wish.tokens for prompt in prompts]):
                found = self._generate([prompts[place] for place in batch], wish, FEWSHOT_SEED + done)
                for place, text in zip(batch, found, strict=True):
                    texts[numbers[place]] = text
                done += len(batch)
                self._progress(Progress("generate", done, len(requests), "requests"))
        return texts

    def _example(self, context: list[int], continuation: list[int]) -> Example:
        room = self._room - len(continuation)
        if room < 0:
            raise UsageError(
                f"A task wants {len(continuation)} tokens scored at once, which do not fit into the model's context of "
                f"{self.model.context_length}: leave it out."
            )
        prompt = self._framed(context[max(len(context) - room, 0) :])
        return Example([*prompt, *continuation], len(prompt) - 1)

    def _prompt(self, context: str, answer: int) -> list[int]:
        return self._framed(self.tokenizer.encode_text(context)[-(self._room - answer) :])

    def _framed(self, ids: list[int]) -> list[int]:
        """A prompt of ids with the control tokens that the model expects around it."""
        return list(self.tokenizer.build_inputs_with_special_tokens(ids))

    @property
    def _room(self) -> int:
        """Tokens of a context and its continuation together."""
        return int(self.model.context_length) - len(self._framed([]))

    def _pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Ids of a context and of its continuation.

        A causal model reads both as one text. Otherwise control tokens stand between them, and the answer begins after
        these without a space.
        """
        encode = self.tokenizer.encode_text
        if not self.model.config.is_causal:
            return encode(context), encode(continuation.lstrip(" ") or continuation)
        begin = context.rstrip(" ")  # spaces belong to the next word
        whole, cut = encode(context + continuation), len(encode(begin))
        return whole[:cut], whole[cut:]

    def _score(self, examples: Sequence[Example]) -> list[tuple[float, bool]]:
        scores = [(0.0, True)] * len(examples)  # as for an empty continuation
        wanted = [number for number, example in enumerate(examples) if example.targets]
        found: list[tuple[float, bool]] = []
        chosen = [examples[number] for number in wanted]
        for batch in batches_of(chosen, self.model.config, TOKENS_AT_ONCE, maxsize):
            with scoring(self.model, self._arithmetic):
                found += _scores(self.model, batch.to(self.model.device))
            self._progress(Progress("score", len(found), len(wanted), "requests"))
        order = shortest_first([len(examples[number].tokens) for number in wanted])  # as batches hold them
        for place, score in zip(order, found, strict=True):
            scores[wanted[place]] = score
        return scores

    def _generate(self, prompts: Sequence[list[int]], wish: "Generation", seed: int) -> list[str]:
        texts = Texts(self.tokenizer, wish.until, self.model.stop_tokens, len(prompts))
        generate(self.model, prompts, wish.tokens, replace(wish.sampling, seed=seed), texts.add)
        return texts.finish()


@dataclass(frozen=True, slots=True)
class Generation:
    """Settings of a request's answer."""

    until: tuple[str, ...]  # strings that end the text and do not belong to it
    tokens: int  # largest number of tokens
    sampling: Sampling

    @classmethod
    def read(cls, wanted: dict[str, Any], room: int) -> "Generation":
        """Read a task's `generation_kwargs`.

        Raises UsageError for an unknown setting, and for more tokens than `room`.
        """
        found: dict[str, Any] = dict(normalize_gen_kwargs(wanted, LONGEST_ANSWER))
        if found.get("num_beams") == 1:
            del found["num_beams"]
        if unknown := found.keys() - GENERATION:
            raise UsageError(f"A task sets {', '.join(sorted(unknown))} for generating, which is not known here.")
        if found["max_gen_toks"] > room:
            raise UsageError(
                f"A task wants answers of up to {found['max_gen_toks']} tokens, the model's context leaves room for "
                f"{room}: leave it out, or set a smaller max_gen_toks in a YAML file of your own."
            )
        until = tuple(text for text in found["until"] if text)
        if not found["do_sample"] or found.get("temperature", 1.0) <= 0:
            return cls(until, found["max_gen_toks"], GREEDY)
        asked = {name: found[name] for name in ("temperature", "top_p", "top_k") if name in found}
        sampling = Sampling(**{"temperature": 1.0, "top_p": 1.0, **asked})  # transformers' value if a task gives none
        sampling.check()
        return cls(until, found["max_gen_toks"], sampling)


class Texts:
    """The texts of a batch during generation; each ends at the first of its strings, or at a stop token."""

    def __init__(self, tokenizer: Any, until: Sequence[str], stops: Sequence[int], rows: int) -> None:
        def decode(ids: Sequence[int]) -> str:
            return tokenizer.decode(ids, skip_special_tokens=True)

        self._rows = [_Row(Detokenizer(decode), StopTexts(until)) for _ in range(rows)]
        self._stops = stops

    def add(self, number: int, token: int) -> bool:
        """Add the next token of a row; returns whether it ends the text."""
        row, stopped = self._rows[number], token in self._stops
        row.text += row.until.add(row.detokenizer.finish() if stopped else row.detokenizer.add(token))
        return stopped or row.until.found

    def finish(self) -> list[str]:
        """The texts of all rows."""
        for row in self._rows:
            if not row.until.found:
                row.text += row.until.add(row.detokenizer.finish())
            row.text += row.until.finish()
        return [row.text for row in self._rows]


@dataclass(slots=True)
class _Row:
    detokenizer: Detokenizer
    until: StopTexts
    text: str = ""


@torch.inference_mode()
def _scores(model: Any, batch: Batch) -> list[tuple[float, bool]]:
    """For each example: nats of its targets, and whether all of them are the likeliest tokens."""
    nats, missed = torch.zeros(2, batch.examples, dtype=torch.double)
    for logits, targets, owners in target_logits(model, batch, batch.example):
        nats.index_add_(0, owners.cpu(), losses(logits, targets).cpu().double())
        missed.index_add_(0, owners.cpu(), (logits.argmax(-1) != targets).cpu().double())
    return [(-loss, wrong == 0) for loss, wrong in zip(nats.tolist(), missed.tolist(), strict=True)]
