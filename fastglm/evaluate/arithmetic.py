"""The arithmetic of scores: exact, or as in decoding."""

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Any

from ..errors import UsageError


class Arithmetic(StrEnum):
    """Arithmetic of a variant while its likelihoods, divergence and likeliest tokens are computed.

    A variant's own answers always use the arithmetic of decoding, because users get these.
    """

    exact = "exact"  # activations are not rounded: the error of packed weights alone, whatever else is in a batch
    decoding = "decoding"  # the kernels of prompts and answers, some of which round activations too


def read_arithmetic(name: str) -> Arithmetic:
    """Find an arithmetic by its name. Raises UsageError with all names for any other."""
    try:
        return Arithmetic(name)
    except ValueError:
        raise UsageError(f"There is no arithmetic {name!r}: choose from {', '.join(Arithmetic)}.") from None


def scoring(model: Any, arithmetic: Arithmetic) -> AbstractContextManager[None]:
    """A block in which a model uses `arithmetic`."""
    # Imported late: torch takes a while, and command lines need only the names.
    from ..kernels.exact import exact_arithmetic

    return exact_arithmetic(model) if arithmetic == Arithmetic.exact else nullcontext()


def arithmetic_of(model: Any, wanted: Arithmetic) -> Arithmetic:
    """The arithmetic that a model is scored in when `wanted` is requested.

    LLM.int8() of bitsandbytes always rounds activations.
    """
    rounds = any(type(parameter).__name__ == "Int8Params" for parameter in model.parameters())
    return Arithmetic.decoding if rounds else wanted
