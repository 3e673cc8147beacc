"""GPTQ against a direct solution of its layer problem in float64, and properties of its packed matrices."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fastglm.compress import gptq
from fastglm.compress.gptq import DAMPINGS, RANGES, Hessian, factorise, fit_grid
from fastglm.errors import CheckpointError
from fastglm.kernels.formats import FORMATS, Int4, WeightFormat
from fastglm.kernels.int4 import split

DOUBLE = torch.float64
INT4 = [Int4(32), Int4(64), Int4(128)]


def weights(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def inputs(count: int, columns: int, seed: int = 1) -> Tensor:
    """Inputs with correlation: a few directions carry most of the variance."""
    mixed = weights(count, columns, seed) @ weights(columns, columns, seed + 1)
    return mixed * torch.logspace(0, -1, columns) + 3 * weights(count, 3, seed + 2) @ weights(3, columns, seed + 3)


def hessian(x: Tensor, dtype: torch.dtype = DOUBLE) -> Tensor:
    found = Hessian(x.shape[1], dtype=dtype)
    for part in x.split(100):
        found.add(part)
    return found.matrix


def numbers(format: WeightFormat, parts: dict[str, Tensor], columns: int) -> Tensor:
    return (split(parts["weight"]) if isinstance(format, Int4) else parts["weight"])[:, :columns]


def losses(errors: Tensor, h: Tensor) -> Tensor:
    """Effect of errors [rows, columns] on the outputs, [rows]."""
    return ((errors.double() @ h) * errors).sum(1)


def loss(h: Tensor, weight: Tensor, format: WeightFormat, parts: dict[str, Tensor]) -> float:
    return losses(format.unpack(parts, weight.shape[1]) - weight, h).sum().item()


def damped(h: Tensor) -> Tensor:
    return h + DAMPINGS[0] * h.diagonal().mean() * torch.eye(len(h), dtype=DOUBLE)


def solve_directly(weight: Tensor, h: Tensor, format: WeightFormat) -> Tensor:
    """Solve column by column: the rest is the least-squares answer to everything rounded so far."""
    h = damped(h)
    order = h.diagonal().argsort(descending=True).tolist()
    grid = fit_grid(weight, factorise(h).importance, format)
    scale, zero = (part.double() for part in format.scale_and_zero(grid, torch.arange(len(h))))
    found = torch.empty(weight.shape, dtype=DOUBLE)
    for row, wanted in enumerate(weight.double()):
        moved = torch.zeros_like(wanted)  # change caused by rounding
        for place, column in enumerate(order):
            done, rest = order[:place], order[place:]
            shift = -torch.linalg.solve(h[rest][:, rest], h[rest][:, done] @ moved[done])
            number = ((wanted[column] + shift[0] - zero[row, column]) / scale[row, column]).round()
            found[row, column] = number.clamp(*format.limits)
            moved[column] = zero[row, column] + found[row, column] * scale[row, column] - wanted[column]
    return found


@pytest.mark.parametrize(("rows", "columns", "block"), [(1, 12, 128), (1, 40, 8), (3, 33, 5)])
@pytest.mark.parametrize("format", [Int4(32), FORMATS["int8"]], ids=lambda format: format.name)
def test_rounding_equals_the_direct_solution(
    rows: int, columns: int, block: int, format: WeightFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gptq, "BLOCK_COLUMNS", block)
    weight, h = weights(rows, columns), hessian(inputs(200, columns))
    found = gptq.quantise(weight, factorise(h), format)
    assert torch.equal(numbers(format, found, columns), solve_directly(weight, h, format).to(torch.int8))


@pytest.mark.parametrize("format", [Int4(32), FORMATS["int8"]], ids=lambda format: format.name)
def test_missing_outputs_are_compensated_like_the_direct_solution(format: WeightFormat) -> None:
    weight, x = weights(3, 33).double(), inputs(200, 33).double()
    wanted = x @ weight.T + 0.1 * inputs(200, 3, seed=7) + x @ weights(33, 3, seed=8).double() / 10
    h = hessian(x)
    # Least squares in the outputs, with further equations that keep the weights in place.
    kept = torch.eye(33, dtype=DOUBLE) * (DAMPINGS[0] * h.diagonal().mean() / 2).sqrt()
    moved = torch.linalg.lstsq(torch.cat((x, kept)), torch.cat((wanted, kept @ weight.T))).solution.T
    factors = factorise(h)
    found = weight + factors.solve(2 * (wanted - x @ weight.T).T @ x)
    torch.testing.assert_close(found, moved)
    packed = gptq.quantise(found, factors, format)
    assert torch.equal(numbers(format, packed, 33), solve_directly(moved, h, format).to(torch.int8))
    still = gptq.quantise(weight, factors, format)
    lack = [(x @ format.unpack(parts, 33).double().T - wanted).norm() for parts in (packed, still)]
    assert lack[0] < lack[1]


def test_the_factor_is_that_of_the_damped_inverse_in_activation_order() -> None:
    h = hessian(inputs(300, 20))
    factors = factorise(h)
    assert (h.diagonal()[factors.order].diff() <= 0).all()
    inverse = torch.linalg.inv(damped(h)[factors.order][:, factors.order])
    torch.testing.assert_close(factors.upper.T @ factors.upper, inverse)
    assert torch.equal(factors.upper, factors.upper.triu())


def test_the_loss_lies_between_rounding_to_nearest_and_the_best_rounding() -> None:
    h, format = hessian(inputs(100, 4)), Int4(32)
    grid = torch.tensor(list(product(range(-8, 8), repeat=4)), dtype=torch.int8)
    best = found = nearest = 0.0
    for seed in range(20):
        weight = weights(1, 4, seed)
        scale, zero = format.scale_and_zero(fit_grid(weight, factorise(h).importance, format), torch.arange(4))
        least = losses(grid * scale + zero - weight, h).min().item()
        reached = loss(h, weight, format, gptq.quantise(weight, factorise(h), format))
        assert reached > least * 0.999
        best, found, nearest = best + least, found + reached, nearest + loss(h, weight, format, format.pack(weight))
    assert found - best < 0.5 * (nearest - best)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    format=st.sampled_from([*INT4, FORMATS["int8"]]),
    rows=st.integers(16, 80),
    columns=st.integers(8, 200),
    tokens=st.sampled_from([50, 400]),
    seed=st.integers(0, 100),
)
def test_the_products_stay_closer_than_by_rounding_to_nearest(
    format: WeightFormat, rows: int, columns: int, tokens: int, seed: int
) -> None:
    weight, x = weights(rows, columns, seed), inputs(tokens, columns, seed + 1)
    found = gptq.quantise(weight, factorise(hessian(x, torch.float32)), format)
    spec = format.spec(rows, columns)
    assert {name: (tuple(part.shape), part.dtype) for name, part in found.items()} == spec
    h = hessian(x)
    assert loss(h, weight, format, found) < loss(h, weight, format, format.pack(weight))


@settings(max_examples=25, deadline=None)
@given(
    format=st.sampled_from(list(FORMATS.values())),
    rows=st.integers(1, 40),
    columns=st.integers(1, 300),
    seed=st.integers(),
)
def test_inputs_that_are_independent_leave_every_number_where_rounding_puts_it(
    format: WeightFormat, rows: int, columns: int, seed: int
) -> None:
    """Independent of the order of columns: scales are the fitted ones, and numbers lie in their columns."""
    weight = weights(rows, columns, seed % 1000)
    diagonal = torch.rand(columns, generator=torch.Generator().manual_seed(seed % 1000)) + 0.1
    factors = factorise(diagonal.diag())
    found = gptq.quantise(weight, factors, format)
    nearest = format.pack(weight, fit_grid(weight, factors.importance, format))
    assert all(torch.equal(found[name], part) for name, part in nearest.items())


def test_rows_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, factors, format = weights(50, 70), factorise(hessian(inputs(200, 70))), Int4(32)
    whole = gptq.quantise(weight, factors, format)
    monkeypatch.setattr(gptq, "BLOCK_ROWS", 7)
    assert all(torch.equal(part, whole[name]) for name, part in gptq.quantise(weight, factors, format).items())


def test_inputs_that_were_never_seen_are_rounded_to_nearest() -> None:
    format, weight = Int4(32), weights(8, 40)
    found = gptq.quantise(weight, factorise(torch.zeros(40, 40)), format)
    assert all(torch.equal(found[name], part) for name, part in gptq.nearest(weight, format).items())


@pytest.mark.parametrize("format", [*INT4, FORMATS["int8"]], ids=lambda format: format.name)
def test_a_range_is_the_one_that_costs_least(format: WeightFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gptq, "FITTED_ROWS", 4)
    weight = weights(10, 70)
    weight[:, 7] *= 3  # an outlier in a column of little importance
    importance = torch.ones(70).index_fill(0, torch.tensor([7]), 0.01)
    found = fit_grid(weight, importance, format)
    group = getattr(format, "group", 70)
    scale, zero = format.scale_and_zero(found, torch.arange(70))
    narrowed = 0
    for row, first in product(range(10), range(0, 70, group)):
        columns = slice(first, first + group)
        losses = []
        for share in RANGES:
            tried = format.scale_and_zero(format.grid(weight * share), torch.arange(70))
            step, middle = (part[row, columns] for part in tried)
            number = ((weight[row, columns] - middle) / step).round().clamp(*format.limits)
            loss = ((number * step + middle - weight[row, columns]) ** 2 * importance[columns]).sum()
            losses.append((loss.item(), step[0].item(), middle[0].item()))
        assert (scale[row, first].item(), zero[row, first].item()) == min(losses)[1:]
        narrowed += losses[0] > min(losses)
    assert narrowed


def test_a_hessian_that_fails_is_damped_more() -> None:
    indefinite = hessian(inputs(5, 40)) - 0.05 * hessian(inputs(5, 40)).diagonal().mean() * torch.eye(40, dtype=DOUBLE)
    assert factorise(indefinite).upper.isfinite().all()


def test_activations_out_of_range_are_told() -> None:
    with pytest.raises(CheckpointError, match="out of range: check its weights"):
        factorise(torch.full((4, 4), torch.inf))
