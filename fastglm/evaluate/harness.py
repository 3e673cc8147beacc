"""Tasks of lm-evaluation-harness (github.com/EleutherAI/lm-evaluation-harness) on any variant. Needs the extra `eval`.

A task's context stands before `[gMASK] <sop>` and is seen in both directions, as a chat's message is; its continuation
is scored or generated behind it, token by token. No text of a task becomes a control token.
"""

import difflib
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_rolling_token_windows, handle_non_serializable, make_disjoint_window, make_table

from ..engine import GREEDY, Sampling
from ..errors import FastGLMError, UsageError
from ..generation.detokenizer import Detokenizer
from ..models.packing import Batch, Example, pack
from ..progress.progress import OnProgress, Progress
from .answers import generate
from .arithmetic import Arithmetic, arithmetic_of, scoring
from .likelihood import TARGETS_AT_ONCE, predicting_states

TOKENS_AT_ONCE = 4096  # of all rows of a batch, padding counted
LONGEST_ANSWER = 256  # tokens, where a task names no number; the harness's own default
SEED, FEWSHOT_SEED = 0, 1234  # the harness's own
GENERATION = {"until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k"}
TOLD = ("results", "groups", "group_subtasks", "versions", "n-shot", "n-samples", "higher_is_better")  # in JSON


@dataclass(frozen=True, slots=True)
class HarnessReport:
    """What the harness found, as its `evaluate` gives it."""

    found: dict[str, Any]
    arithmetic: Arithmetic  # of the likelihoods
    seconds: float

    def as_text(self) -> str:
        """The harness's tables."""
        tables = [make_table(self.found), *([make_table(self.found, "groups")] if self.found.get("groups") else [])]
        return "\n".join([*tables, f"likelihoods in {self.arithmetic} arithmetic"])

    def as_json(self) -> dict[str, Any]:
        """Results and versions of the tasks, the version of the harness."""
        from importlib.metadata import version

        told = {name: self.found[name] for name in TOLD if name in self.found}
        plain: dict[str, Any] = json.loads(json.dumps(told, default=handle_non_serializable))
        return {"lm_eval": version("lm_eval"), "arithmetic": str(self.arithmetic), "seconds": self.seconds, **plain}


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks with their data, ready to be asked."""

    loaded: Any  # the harness's TaskDict

    @classmethod
    def load(cls, names: Sequence[str], folder: Path | None = None) -> "Tasks":
        """Read tasks, groups or tags, of the harness or defined by the YAML files in `folder`.

        Raises:
            UsageError: there is no such folder or task, or the task runs what a model wrote.
            FastGLMError: a task or its data cannot be read.
        """
        if folder and not folder.is_dir():
            raise UsageError(f"{folder} is no folder: --tasks wants the one that holds the tasks' YAML files.")
        random.seed(SEED)
        np.random.seed(FEWSHOT_SEED)
        manager = _manager(names, folder)
        for name in names:
            if name not in manager.all_tasks:
                near = difflib.get_close_matches(name, manager.all_tasks)
                hint = f"is it {' or '.join(near)}?" if near else "`lm-eval ls tasks` lists those it has."
                raise UsageError(f"lm-eval has no task {name!r}, nor is it in a folder given by --tasks: {hint}")
        try:
            loaded = manager.load(list(names))
        except Exception as error:  # whatever YAML, data and code of tasks can raise
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            raise FastGLMError(
                f"lm-eval cannot read {', '.join(names)} ({reason}): check its YAML and data."
            ) from error
        for name, task in loaded["tasks"].items():
            if getattr(task, "UNSAFE_CODE", False):
                raise UsageError(
                    f"The task {name} runs code that the model writes, which is not done here: leave it out."
                )
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
        return cls(loaded)

    def ask(
        self,
        model: Any,
        tokenizer: Any,
        limit: int | None,
        progress: OnProgress | None,
        arithmetic: Arithmetic = Arithmetic.exact,
    ) -> HarnessReport:
        """Evaluate a variant on the first `limit` examples of each task, or on all."""
        began = time.perf_counter()
        lm = VariantLM(model, tokenizer, progress, arithmetic)
        found = evaluate(lm, self.loaded, limit=limit, log_samples=False)
        return HarnessReport(found, arithmetic_of(model, arithmetic), time.perf_counter() - began)


class VariantLM(LM):
    """The model that the harness asks, loaded by `fastglm.load`. A context that is too long loses its beginning.

    Likelihoods are computed in `arithmetic`, so that exact ones do not depend on what stands beside in a batch; what is
    generated runs as decoding does.
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
        """Nats of each continuation after its context, and whether greedy decoding would give it.

        The spaces that part the two are left out: answers of this architecture begin behind <sop> without one.
        """
        examples = []
        for context, continuation in (request.args for request in requests):
            said = self.tokenizer.encode_text(continuation.lstrip(" ") or continuation)
            examples.append(self._example(self.tokenizer.encode_text(context), said))
        return self._score(examples)

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Nats of whole texts after an empty context; of a longer text, window by window, every token once."""
        room = self.model.context_length - len(self.tokenizer.prompt_end) - 1
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
        """Texts up to <eop>, a request's strings or number of tokens; greedy unless the task samples."""
        room = self.model.context_length - len(self.tokenizer.prompt_end) - 1  # the last token of a context stays
        wishes = [Generation.read(request.args[1], room) for request in requests]
        texts = [""] * len(requests)
        done = 0
        for wish in dict.fromkeys(wishes):
            numbers = [number for number, other in enumerate(wishes) if other == wish]
            prompts = [self._prompt(requests[number].args[0], wish.tokens) for number in numbers]
            for batch in _batches([len(prompt) + wish.tokens for prompt in prompts]):
                found = self._generate([prompts[place] for place in batch], wish, FEWSHOT_SEED + done)
                for place, text in zip(batch, found, strict=True):
                    texts[numbers[place]] = text
                done += len(batch)
                self._progress(Progress("generate", done, len(requests), "requests"))
        return texts

    def _example(self, context: list[int], continuation: list[int]) -> Example:
        end = self.tokenizer.prompt_end
        room = self.model.context_length - len(end) - len(continuation)
        if room < 0:
            raise UsageError(
                f"A task wants {len(continuation)} tokens scored at once, which do not fit into the model's context of "
                f"{self.model.context_length}: leave it out."
            )
        kept = context[max(len(context) - room, 0) :]
        return Example([*kept, *end, *continuation], len(kept) + len(end) - 1)

    def _prompt(self, context: str, answer: int) -> list[int]:
        end = self.tokenizer.prompt_end
        room = self.model.context_length - len(end) - answer
        return [*self.tokenizer.encode_text(context)[-room:], *end]

    def _score(self, examples: Sequence[Example]) -> list[tuple[float, bool]]:
        scores = [(0.0, True)] * len(examples)  # as it is of an empty continuation
        wanted = [number for number, example in enumerate(examples) if example.targets]
        done = 0
        for batch in _batches([len(examples[number].tokens) for number in wanted]):
            numbers = [wanted[place] for place in batch]
            longest = len(examples[numbers[-1]].tokens)
            packed = pack([examples[number] for number in numbers], longest, self.model.config.pad_token_id)
            with scoring(self.model, self._arithmetic):
                found = _scores(self.model, packed.to(self.model.device))
            for number, score in zip(numbers, found, strict=True):
                scores[number] = score
            done += len(batch)
            self._progress(Progress("score", done, len(wanted), "requests"))
        return scores

    def _generate(self, prompts: Sequence[list[int]], wish: "Generation", seed: int) -> list[str]:
        texts = Texts(self.tokenizer, wish.until, self.model.stop_tokens, len(prompts))
        generate(self.model, prompts, wish.tokens, replace(wish.sampling, seed=seed), texts.add)
        return texts.finish()


@dataclass(frozen=True, slots=True)
class Generation:
    """How a request is answered."""

    until: tuple[str, ...]  # strings that end it and are no part of it
    tokens: int  # at most
    sampling: Sampling

    @classmethod
    def read(cls, wanted: dict[str, Any], room: int) -> "Generation":
        """From a task's `generation_kwargs`.

        Raises UsageError for one that is not known here, and for more tokens than `room`.
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
        sampling = Sampling(**{"temperature": 1.0, "top_p": 1.0, **asked})  # where a task says nothing, as transformers
        sampling.check()
        return cls(until, found["max_gen_toks"], sampling)


class Texts:
    """The texts of a batch while it is generated; each ends at the first of its strings, or at a stop token."""

    def __init__(self, tokenizer: Any, until: Sequence[str], stops: Sequence[int], rows: int) -> None:
        def decode(ids: Sequence[int]) -> str:
            return tokenizer.decode(ids, skip_special_tokens=True)

        self._rows = [_Row(Detokenizer(decode)) for _ in range(rows)]
        self._until, self._stops = until, stops
        self._overlap = max(map(len, until), default=1) - 1

    def add(self, number: int, token: int) -> bool:
        """Takes the next token of a row; whether that ends it."""
        row, stopped = self._rows[number], token in self._stops
        self._add(row, row.detokenizer.finish() if stopped else row.detokenizer.add(token))
        row.ended |= stopped
        return row.ended

    def finish(self) -> list[str]:
        """The texts of all rows."""
        for row in self._rows:
            if not row.ended:
                self._add(row, row.detokenizer.finish())
        return [row.text for row in self._rows]

    def _add(self, row: "_Row", new: str) -> None:
        begin = max(len(row.text) - self._overlap, 0)
        row.text += new
        ends = [place for text in self._until if (place := row.text.find(text, begin)) >= 0]
        if ends:
            row.text, row.ended = row.text[: min(ends)], True


@dataclass(slots=True)
class _Row:
    detokenizer: Detokenizer
    text: str = ""
    ended: bool = False


@torch.inference_mode()
def _scores(model: Any, batch: Batch) -> list[tuple[float, bool]]:
    """Of each example: nats of its targets, and whether all of them are the likeliest tokens."""
    nats = torch.zeros(batch.examples, dtype=torch.double)
    missed = torch.zeros(batch.examples, dtype=torch.double)
    states = predicting_states(model, batch)
    parts = (tensor.split(TARGETS_AT_ONCE) for tensor in (states, batch.targets, batch.example))
    for part, targets, owners in zip(*parts, strict=True):
        logits = model.lm_head(part).float()
        targets = targets.to(logits.device)
        losses = F.cross_entropy(logits, targets, reduction="none")
        nats.index_add_(0, owners.cpu(), losses.cpu().double())
        missed.index_add_(0, owners.cpu(), (logits.argmax(-1) != targets).cpu().double())
    return [(-loss, wrong == 0) for loss, wrong in zip(nats.tolist(), missed.tolist(), strict=True)]


def _manager(names: Sequence[str], folder: Path | None) -> TaskManager:
    """One's own tasks alone where those are all that is asked: to list the harness's thousands takes seconds."""
    if folder:
        own = TaskManager(include_path=folder, include_defaults=False)
        if set(names) <= set(own.all_subtasks):
            return own
    return TaskManager(include_path=folder)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The numbers of all sequences, the shortest first, as many at a time as fit when padded to the longest of them."""
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[number] > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
