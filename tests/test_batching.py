"""Batches hold as many sequences as fit, the shortest first, each exactly once."""

import pytest

from fastglm.batching import batches


@pytest.mark.parametrize(
    ("most", "expected"),
    [(9, [[3, 0, 5, 1], [4], [2]]), (2, [[3, 0], [5, 1], [4], [2]])],  # 4 × 1002 tokens; the longest alone
)
def test_a_batch_has_a_bound_of_tokens_and_of_sequences(most: int, expected: list[list[int]]) -> None:
    assert list(batches([902, 1002, 9002, 4, 1020, 952], 4096, most)) == expected


def test_nothing_needs_no_batch() -> None:
    assert list(batches([], 10)) == []
