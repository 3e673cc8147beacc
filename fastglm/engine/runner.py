"""Sequences on a model: the cache of the tokens that were run, and the step that runs more."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..capacity import ROOM
from .compile.prepare import part_step, plain_step, step_of
from .compile.step import CompiledStep
from .cuda_graph import Captured, Run
from .decode_step import DecodeStep
from .kv_cache import Rows, StaticCache, make_cache

TOKENS_AT_ONCE = 4096  # of all prompts that are run together, padding counted: bounds the memory of the layers


class StageRunner:
    """A stage of a model at work, or all of it: its step, and the cache of its layers."""

    def __init__(self, step: DecodeStep | CompiledStep, cache: StaticCache) -> None:
        self.step, self.cache = step, cache
        self._runs: dict[int, Run[Any]] = {}

    @property
    def device(self) -> torch.device:
        """Where its layers lie."""
        return self.cache.place.device

    def run(self, entering: Tensor) -> Any:
        """What the step gives for ids, or hidden states, of some tokens; the next call of as many may overwrite it.

        On CUDA a graph is captured for each number of tokens.
        """
        count = entering.shape[1]
        if count not in self._runs:
            self._runs[count] = Captured(self._run) if self.cache.reads_all else self._run
        return self._runs[count](entering, self.cache.advance(count))

    def _run(self, entering: Tensor, inputs: list[Tensor]) -> Any:
        return self.step(entering, *inputs)


class DecodeState:
    """Begins with a prompt, goes on token by token, and can take tokens back. Or several side by side, with a row each.

    Only a step of one row is compiled. A model on several devices runs stage by stage; embedding and head are with the
    last one.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._stages: list[StageRunner] = []
        step_of(model)  # made now, not with the first answer

    def prefill(self, prompts: Tensor | list[Tensor], answer: int) -> Tensor:
        """Runs prompts, [tokens] each, that up to `answer` tokens follow; logits of the next, [rows, vocabulary].

        Shorter ones are padded on the left; neighbours should be of about the same length.

        Raises MemoryShortError where there is no memory for the cache.
        """
        lengths = [len(prompt) for prompt in prompts]
        longest = max(lengths)
        self._stages = self._begun(longest + min(answer, ROOM), len(prompts))
        parts = [self._run_prompts(prompts[rows], rows, longest) for rows in _groups(lengths)]
        logits, following = (torch.cat(found) for found in zip(*parts, strict=True))
        padding = None if min(lengths) == longest else longest - torch.tensor(lengths, device=logits.device)
        for stage in self._stages:
            stage.cache.prefilled(longest, following.to(stage.device), _to(padding, stage.device))
        return logits

    @property
    def step(self) -> DecodeStep | CompiledStep:
        """The step of the last stage, which gives logits."""
        return self._stages[-1].step

    def enter(self, ids: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Runs tokens, [rows, tokens], through all stages but the last, and makes place for them in it: what it takes,
        hidden states or else the ids, and what `StaticCache.advance` returned."""
        return self._passed(ids), self._stages[-1].cache.advance(ids.shape[1])

    def run(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """What `DecodeStep` gives for tokens, [1, tokens]; the next call of as many may overwrite it."""
        logits, best = self._stages[-1].run(self._passed(ids))
        return logits, best

    def rewind(self, count: int) -> None:
        """As `StaticCache.rewind`."""
        for stage in self._stages:
            stage.cache.rewind(count)

    def keep(self, rows: list[int]) -> None:
        """As `StaticCache.keep`."""
        for stage in self._stages:
            stage.cache.keep(rows)

    @property
    def memory(self) -> int:
        """Bytes of the cache as it is allocated."""
        return sum(stage.cache.memory for stage in self._stages)

    def free(self) -> None:
        """Forgets everything."""
        self._stages = []

    def _begun(self, capacity: int, rows: int) -> list[StageRunner]:
        """Every stage with an empty cache; all of a model on one device is one."""
        model = self.model
        if not model.stages:
            step = step_of(model) if rows == 1 else plain_step(model)
            return [StageRunner(step, make_cache(model, capacity, rows))]
        return [
            StageRunner(part_step(model, stage[0]), make_cache(model, capacity, rows, stage)) for stage in model.stages
        ]

    def _passed(self, ids: Tensor) -> Tensor:
        """What the last stage takes of tokens."""
        if len(self._stages) == 1:
            return ids
        x = self._embedded(ids)
        for stage in self._stages[:-1]:
            x = stage.run(x.to(stage.device))
        return x.to(self._stages[-1].device)

    def _embedded(self, ids: Tensor) -> Tensor:
        """What the first stage takes of tokens."""
        return self.model.get_input_embeddings()(ids.clamp(min=0)) if self.model.stages else ids

    def _run_prompts(self, prompts: Tensor | list[Tensor], rows: slice, longest: int) -> tuple[Tensor, Tensor]:
        """The logits after some prompts, [rows, vocabulary], and the positions of two tokens more, [rows, 2, 2]."""
        pad = self.model.config.pad_token_id
        ids = pad_sequence(list(prompts), batch_first=True, padding_value=pad, padding_side="left")
        real = pad_sequence([torch.ones_like(prompt) for prompt in prompts], batch_first=True, padding_side="left")
        plan, x = self.model.plan(ids, real), self._embedded(ids)
        for stage in self._stages:
            device, cache = stage.device, Rows(stage.cache, rows, longest - ids.shape[1])
            keep = 1 if stage is self._stages[-1] else ids.shape[1]
            positions, mask = _to(plan.position_ids, device), _to(plan.attention_mask, device)
            x = stage.step.decoder(_to(x, device), positions, mask, cache, keep=keep)
        return x[:, -1].float(), plan.next_position_ids(2)


def _to(tensor: Tensor | None, device: torch.device) -> Any:
    return None if tensor is None else tensor.to(device)


def _groups(lengths: list[int]) -> Iterator[slice]:
    """Neighbours that have at most `TOKENS_AT_ONCE` together when padded; one at least."""
    first = longest = 0
    for row, length in enumerate(lengths):
        longest = max(longest, length)
        if row > first and (row - first + 1) * longest > TOKENS_AT_ONCE:
            yield slice(first, row)
            first, longest = row, length
    yield slice(first, len(lengths))
