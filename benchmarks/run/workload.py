"""The prompts for all variants, of exact token lengths."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Protocol

from benchmarks.measure.stopping import MOST, Precision
from benchmarks.serving.load import Load
from fastglm.errors import UsageError

TEXT = Path(__file__).with_suffix(".txt")  # Chinese and English text; repeated for longer prompts


class Tokenizer(Protocol):
    """The part of a transformers tokenizer that makes prompts."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def build_inputs_with_special_tokens(self, ids: list[int]) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Workload:
    """Prompt lengths and answer length in tokens, repeats, and number of questions."""

    prompt_tokens: tuple[int, ...] = (32, 128)
    answer_tokens: int = 64
    repeats: int = 5  # the least number of repeats, if a precision is given
    questions: int = 24  # questions of each skill, split and language
    precision: Precision | None = None  # of the latency suite
    batches: tuple[int, ...] = (1, 2, 4, 8, 16)  # batch sizes of the throughput suite
    load: Load = field(default_factory=Load)  # of the serving suite

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
        if not self.batches or min(self.batches) < 1 or len(set(self.batches)) < len(self.batches):
            raise UsageError("--batches are different numbers of sequences, 1 or more, such as 1,2,4,8,16")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Workload":
        """Read a workload from the settings of a run."""
        wanted = settings.get("precision")
        return cls(
            tuple(settings["prompt_tokens"]),
            settings["answer_tokens"],
            settings["repeats"],
            settings.get("questions", cls().questions),
            Precision(wanted, settings["budget"]) if wanted else None,
            tuple(settings.get("batches", cls().batches)),
            Load.of(settings),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the settings of a run."""
        return {
            "prompt_tokens": list(self.prompt_tokens),
            "answer_tokens": self.answer_tokens,
            "repeats": self.repeats,
            "questions": self.questions,
            "precision": self.precision and self.precision.width,
            "budget": self.precision and self.precision.budget,
            "batches": list(self.batches),
        }

    @property
    def most(self) -> int:
        """The largest number of repeats."""
        return max(self.repeats, MOST) if self.precision else self.repeats

    def check(self, context: int) -> None:
        """Raise `UsageError` if a prompt and its answer do not fit into `context` tokens."""
        longest = max(self.prompt_tokens)
        if longest + self.answer_tokens > context:
            raise UsageError(
                f"a prompt of {longest} tokens and an answer of {self.answer_tokens} do not fit into this model's "
                f"context of {context} tokens: choose shorter ones"
            )


def prompts(tokenizer: Tokenizer, length: int, count: int, seed: int = 0) -> list[list[int]]:
    """Make `count` prompts of exactly `length` token ids: real text, each with another beginning while there are any,
    and special tokens where the tokenizer puts them.

    Raises:
        UsageError: `length` leaves no room for text.
    """
    text = tokenizer.encode(TEXT.read_text(encoding="utf-8"), add_special_tokens=False)
    room = length - len(tokenizer.build_inputs_with_special_tokens([]))
    if room < 1:
        raise UsageError(
            f"a prompt of {length} tokens has no room for text beside the special tokens: choose a longer one"
        )
    size = len(text)
    text *= 1 + room // size
    draw = random.Random(f"{seed} {length}")
    starts = islice(cycle(draw.sample(range(size), min(count, size))), count)
    return [tokenizer.build_inputs_with_special_tokens([*text[at:], *text[:at]][:room]) for at in starts]
