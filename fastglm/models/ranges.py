"""The type and the range of every field of a config that a model is built from, checked before anything is made."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number; or a list of them if `listed`, or null if `optional`."""

    low: int
    high: int
    listed: bool = False
    optional: bool = False

    @property
    def wanted(self) -> str:
        """The accepted values in words."""
        more = [*(["a list of such"] if self.listed else []), *(["null"] if self.optional else [])]
        return " or ".join([f"a whole number from {self.low} to {self.high}", *more])

    def takes(self, value: Any) -> bool:
        """Tell whether a value is accepted."""
        if isinstance(value, list):
            return self.listed and 0 < len(value) <= LAYERS and all(self._is_one(part) for part in value)
        return (value is None and self.optional) or self._is_one(value)

    def _is_one(self, value: Any) -> bool:
        return type(value) is int and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Real:
    """A number above `low` (or equal to it, if `closed`) and up to `high`; or null if `optional`."""

    low: float
    high: float
    closed: bool = False
    optional: bool = False

    @property
    def wanted(self) -> str:
        """The accepted values in words."""
        low, high = f"{self.low:g}", f"{self.high:g}"
        null = " or null" if self.optional else ""
        return f"a number {'from' if self.closed else 'above'} {low} {'' if self.closed else 'and up '}to {high}{null}"

    def takes(self, value: Any) -> bool:
        """Tell whether a value is accepted."""
        if type(value) not in (int, float) or not math.isfinite(value):
            return value is None and self.optional
        return self.low < value <= self.high or (self.closed and value == self.low)


@dataclass(frozen=True, slots=True)
class Kind:
    """A value of some types."""

    wanted: str
    types: tuple[type, ...]

    def takes(self, value: Any) -> bool:
        """Tell whether a value has one of the types."""
        return type(value) in self.types


@dataclass(frozen=True, slots=True)
class OneOf:
    """Null or one of some words, also with torch's prefix."""

    words: tuple[str, ...]

    @property
    def wanted(self) -> str:
        """The accepted values in words."""
        return f"one of {', '.join(self.words)} or null"

    def takes(self, value: Any) -> bool:
        """Tell whether a value is accepted."""
        return value is None or (not isinstance(value, dict | list) and str(value).removeprefix("torch.") in self.words)


LAYERS = 1000  # at most
ID = Whole(0, 1 << 22, optional=True)
BOOL = Kind("true or false", (bool,))
_WORD = Kind("a word or null", (str, type(None)))
_DTYPE = OneOf(("float16", "bfloat16", "float32", "float64", "auto"))
Range = Whole | Real | Kind | OneOf
COMMON: dict[str, Range] = {  # the fields of every architecture
    "vocab_size": Whole(1, 1 << 22),
    "hidden_size": Whole(1, 1 << 16),
    "head_dim": Whole(1, 1 << 12, optional=True),
    "use_cache": BOOL,
    "eos_token_id": Whole(0, 1 << 22, listed=True, optional=True),
    "pad_token_id": ID,
    "tie_word_embeddings": BOOL,
    "initializer_range": Real(0, 1000, closed=True),
    "weight_format": _WORD,
    "embedding_format": _WORD,
    "calibration": Kind("a table or null", (dict, type(None))),
    "layer_numbers": Whole(0, 1 << 20, listed=True, optional=True),
    "sparsity": _WORD,
    "cache_format": _WORD,
    "pre_seq_len": Whole(0, 1 << 20, optional=True),
    "prefix_projection": BOOL,
    "quantization_bit": Whole(0, 8),
    # Not used here, but transformers reads them, and makes a label for each of so many.
    "dtype": _DTYPE,
    "torch_dtype": _DTYPE,
    "is_encoder_decoder": OneOf(("False",)),
    "num_labels": Whole(0, 1 << 16),
    "id2label": Kind("a table or null", (dict, type(None))),
    "output_attentions": BOOL,
    "output_hidden_states": BOOL,
    "return_dict": BOOL,
}


def check_ranges(fields: Mapping[str, Any], ranges: Mapping[str, Range], called: Mapping[str, str]) -> None:
    """Raise CheckpointError for the first field with another type, or out of its range.

    Args:
        fields: in the form of config.json; missing ones are not checked.
        ranges: by field.
        called: other names of fields, and the fields they mean.
    """
    for name, value in fields.items():
        known = ranges.get(called.get(name, name))
        if known and not known.takes(value):
            raise CheckpointError(f"config.json: {name} must be {known.wanted} (got {_short(value)}).")


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}…"
