"""What the variants are asked: prompts of exact token lengths, the same for all of them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastglm.errors import UsageError

TEXT = Path(__file__).with_suffix(".txt")  # Chinese and English; repeated where a prompt is longer


class Tokenizer(Protocol):
    """The part of a transformers tokenizer that prompts are made with."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def build_inputs_with_special_tokens(self, ids: list[int]) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Workload:
    """Prompt lengths and the length of every answer, in tokens; how often each is asked; how many questions."""

    prompt_tokens: tuple[int, ...] = (32, 128)
    answer_tokens: int = 64
    repeats: int = 5
    questions: int = 24  # of each skill, split and language

    def __post_init__(self) -> None:
        if not self.prompt_tokens or min(self.prompt_tokens) < 1:
            raise UsageError("a prompt length is a number of tokens, 1 or more, such as --prompt-tokens 32,128")
        if len(set(self.prompt_tokens)) < len(self.prompt_tokens):
            raise UsageError("a prompt length is given twice: name each once")
        if self.answer_tokens < 2:
            raise UsageError("an answer has 2 tokens or more, or there is no time between tokens to measure")
        if self.questions < 1:
            raise UsageError("--questions is 1 or more of each kind (24 make 2,800 in all)")
        if self.repeats < 1:
            raise UsageError("--repeats is 1 or more (5 or more for a useful interval)")

    def check(self, context: int) -> None:
        """Raise `UsageError` where a prompt and its answer do not fit into a context of so many tokens."""
        longest = max(self.prompt_tokens)
        if longest + self.answer_tokens > context:
            raise UsageError(
                f"a prompt of {longest} tokens and an answer of {self.answer_tokens} do not fit into this model's "
                f"context of {context} tokens: choose shorter ones"
            )


def prompts(tokenizer: Tokenizer, length: int, count: int, seed: int = 0) -> list[list[int]]:
    """`count` prompts of exactly `length` token ids: real text, each beginning elsewhere, and the prompt's special
    tokens as the tokenizer puts them. Raises `UsageError` where `length` leaves no room for text."""
    text = tokenizer.encode(TEXT.read_text(encoding="utf-8"), add_special_tokens=False)
    room = length - len(tokenizer.build_inputs_with_special_tokens([]))
    if room < 1:
        raise UsageError(
            f"a prompt of {length} tokens has no room for text beside the special tokens: choose a longer one"
        )
    text *= 1 + room // len(text)
    draw = random.Random(f"{seed} {length}")
    return [tokenizer.build_inputs_with_special_tokens(_rotated(text, draw)[:room]) for _ in range(count)]


def _rotated(ids: Sequence[int], draw: random.Random) -> list[int]:
    start = draw.randrange(len(ids))
    return [*ids[start:], *ids[:start]]
