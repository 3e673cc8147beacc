"""The arithmetic that scores are computed in: exact, or as answers are decoded."""

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Any

from ..errors import UsageError


class Arithmetic(StrEnum):
    """How a variant multiplies while its likelihoods, divergence and likeliest tokens are computed.

    Its own answers are always generated as decoding runs, since that is what users get.
    """

    exact = "exact"  # activations as they are: the error of packed weights alone, whatever stands beside in a batch
    decoding = "decoding"  # the kernels that prompts and answers run on, some of which round activations too


def read_arithmetic(name: str) -> Arithmetic:
    """An arithmetic by its name. Raises UsageError, with all names, for any other."""
    try:
        return Arithmetic(name)
    except ValueError:
        raise UsageError(f"There is no arithmetic {name!r}: choose from {', '.join(Arithmetic)}.") from None


def scoring(model: Any, arithmetic: Arithmetic) -> AbstractContextManager[None]:
    """A block within which a model multiplies as `arithmetic` says."""
    from ..kernels.exact import exact_arithmetic  # torch takes a while, and command lines only want the names

    return exact_arithmetic(model) if arithmetic == Arithmetic.exact else nullcontext()


def arithmetic_of(model: Any, wanted: Arithmetic) -> Arithmetic:
    """The arithmetic that a model is scored in where `wanted` is asked for.

    LLM.int8() of bitsandbytes rounds activations whoever asks.
    """
    rounds = any(type(parameter).__name__ == "Int8Params" for parameter in model.parameters())
    return Arithmetic.decoding if rounds else wanted
