"""Packing of several samples side by side in one row, each seeing only itself.

The objective is GLM's for chat (Du et al., ACL 2022, arXiv 2103.10360, section 2.1): the answer is generated after its
context, token by token, and only the answer is learned. The architecture decides how the context is seen: in both
directions by ChatGLM-6B, causally by its successors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Self, TypeVar

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from ..history import without_oldest
from ..messages import Message
from .architecture import Tokenizer
from .base import ModelConfig

_MISSES = 4  # consecutive examples that fit nowhere


@dataclass(frozen=True, slots=True)
class Example:
    """One sample as tokens: a prompt that is ready to be answered, the answer, and the token that ends it."""

    tokens: list[int]
    context: int  # index of the prompt's last token (<sop> in ChatGLM-6B)

    @property
    def prompt(self) -> list[int]:
        """The tokens before the answer."""
        return self.tokens[: self.context + 1]

    @property
    def targets(self) -> list[int]:
        """The targets of the tokens from the prompt's last one on: the answer and its end."""
        return self.tokens[self.context + 1 :]


def encode(tokenizer: Tokenizer, messages: Sequence[Message], answer: str, room: int, metadata: str = "") -> Example:
    """Encode a conversation and its answer as the chat would; the oldest rounds are left out until `room` tokens hold
    the rest. `metadata` is the name of the tool that the answer calls.

    Raises ValueError if the last round alone does not fit.
    """
    said = (metadata + tokenizer.conversation.opening, answer)
    target = [*(id for text in said for id in tokenizer.encode_text(text)), tokenizer.eos_token_id]
    for kept in without_oldest(messages):
        prompt = tokenizer.conversation.ids(tokenizer, kept)
        if len(prompt) + len(target) <= room:
            return Example(prompt + target, len(prompt) - 1)
    needed = len(prompt) + len(target)
    raise ValueError(f"{messages[-1].content[:40]!r} and its answer have {needed} tokens, there is room for {room}")


_E = TypeVar("_E", bound=Example)


@dataclass(frozen=True, slots=True)
class Passage:
    """Rows of tokens that pass through the layers together."""

    input_ids: Tensor  # [rows, tokens]
    position_ids: Tensor  # [rows, kinds, tokens]
    attention_mask: Tensor  # [rows, 1, tokens, total], True where attended
    cache: Cache | None = field(default=None, kw_only=True)  # keys and values of the tokens before, to be added to

    def to(self, device: torch.device | str) -> Self:
        """Move to another device; the cache stays."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{name: x.to(device) for name, x in values.items() if isinstance(x, Tensor)})


@dataclass(frozen=True, slots=True)
class Batch(Passage):
    """Packed examples in the form that the model takes, with targets and their places."""

    predicting: Tensor  # [targets], indices of the predicting tokens in the flattened [rows · length]
    targets: Tensor  # [targets], the tokens they should predict
    example: Tensor  # [targets], the number of the example a target belongs to
    tokens: int  # without padding
    examples: int

    def part(self, number: int, of: int) -> "Batch":
        """Every `of`-th row from `number` on; `tokens` and `examples` keep the values of the whole batch."""
        rows, length = self.input_ids.shape
        row = self.predicting // length
        mine = row % of == number
        place = torch.arange(rows) // of * length  # start of a row of this part in the whole batch
        predicting = place.to(row.device)[row] + self.predicting % length
        return replace(
            self,
            input_ids=self.input_ids[number::of],
            position_ids=self.position_ids[number::of],
            attention_mask=self.attention_mask[number::of],
            predicting=predicting[mine],
            targets=self.targets[mine],
            example=self.example[mine],
        )


def pack(examples: Sequence[Example], length: int, config: ModelConfig) -> Batch:
    """Pack examples into as few rows of `length` tokens as first-fit finds, longest first.

    Raises ValueError if an example is longer than a row.
    """
    return _lay_out(examples, _first_fit([len(example.tokens) for example in examples], length), length, config)


def fill(examples: Iterator[Example], rows: int, length: int, config: ModelConfig) -> Batch:
    """Fill `rows` rows of `length` tokens with the next examples, so that every batch has the same shape.

    An example that fits nowhere is left out; after a few consecutive ones the batch is full.
    """
    return fill_with_examples(examples, rows, length, config)[0]


def fill_with_examples(examples: Iterator[_E], rows: int, length: int, config: ModelConfig) -> tuple[Batch, list[_E]]:
    """Do as `fill`, and give the examples in the batch too, in the order in which `Batch.example` numbers them."""
    taken: list[_E] = []
    members: list[list[int]] = [[] for _ in range(rows)]
    room = [length] * rows
    misses = 0
    while misses < _MISSES:
        example = next(examples)
        size = len(example.tokens)
        row = min((row for row in range(rows) if room[row] >= size), key=room.__getitem__, default=None)
        if row is None:
            misses += 1
            continue
        misses = 0
        members[row].append(len(taken))
        room[row] -= size
        taken.append(example)
    return _lay_out(taken, members, length, config), taken


def _lay_out(examples: Sequence[Example], rows: Sequence[Sequence[int]], length: int, config: ModelConfig) -> Batch:
    input_ids = torch.full((len(rows), length), config.pad)
    position_ids = torch.zeros(len(rows), config.position_kinds, length, dtype=torch.long)
    mask = torch.eye(length, dtype=torch.bool).repeat(len(rows), 1, 1, 1)  # padding sees itself, as softmax needs one
    predicting: list[int] = []
    targets: list[int] = []
    owner: list[int] = []
    for row, members in enumerate(rows):
        start = 0
        for number in members:
            example = examples[number]
            size = len(example.tokens)
            end = start + size
            input_ids[row, start:end] = torch.tensor(example.tokens)
            position_ids[row, :, start:end] = config.positions(size, example.context)
            mask[row, 0, start:end, start:end] = config.visible(size, example.context)
            first = row * length + start + example.context
            predicting += range(first, first + len(example.targets))
            targets += example.targets
            owner += [number] * len(example.targets)
            start = end
    return Batch(
        input_ids,
        position_ids,
        mask,
        torch.tensor(predicting),
        torch.tensor(targets),
        torch.tensor(owner),
        sum(len(example.tokens) for example in examples),
        len(examples),
    )


def _first_fit(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Indices by row."""
    if max(sizes) > length:
        raise ValueError(f"an example has {max(sizes)} tokens, a row only {length}")
    rows: list[list[int]] = []
    room: list[int] = []
    for number in sorted(range(len(sizes)), key=lambda n: -sizes[n]):
        row = next((r for r, left in enumerate(room) if left >= sizes[number]), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(length)
        rows[row].append(number)
        room[row] -= sizes[number]
    return rows
