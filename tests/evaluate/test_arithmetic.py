"""The arithmetic of scores: chosen by name, kept for a block, and reported as used."""

from contextlib import suppress

import pytest
import torch
from torch import nn

import fastglm
from fastglm.errors import UsageError
from fastglm.evaluate.arithmetic import Arithmetic, arithmetic_of, read_arithmetic, scoring
from fastglm.kernels.exact import is_exact


class Int8Params(nn.Parameter):
    """The class name of LLM.int8() weights in bitsandbytes."""


def test_an_arithmetic_is_read_by_its_name() -> None:
    assert [read_arithmetic(str(name)) for name in Arithmetic] == list(Arithmetic)
    with pytest.raises(UsageError, match=r"no arithmetic 'Exact': choose from exact, decoding\."):
        read_arithmetic("Exact")


def test_a_block_ends_as_it_began_also_where_it_fails() -> None:
    model, _ = fastglm.load("demo", "int8")
    for arithmetic in Arithmetic:
        seen = []
        with suppress(RuntimeError), scoring(model, arithmetic):
            seen.append(is_exact(model))
            raise RuntimeError
        assert seen == [arithmetic == Arithmetic.exact]
        assert not is_exact(model)


def test_weights_that_always_multiply_rounded_activations_are_not_called_exact() -> None:
    plain = nn.Linear(2, 2)
    assert [arithmetic_of(plain, wanted) for wanted in Arithmetic] == list(Arithmetic)
    plain._parameters["weight"] = Int8Params(torch.zeros(2, 2))
    assert arithmetic_of(plain, Arithmetic.exact) == Arithmetic.decoding
