"""Sequences side by side: batches within a budget of tokens."""

from collections.abc import Iterator, Sequence
from sys import maxsize

TOKENS_AT_ONCE = 4096  # tokens of a batch: its activations take some hundred MB at the published width


def batches(lengths: Sequence[int], budget: int = TOKENS_AT_ONCE, most: int = maxsize) -> Iterator[list[int]]:
    """Yield the numbers of all sequences, shortest first, as many at a time as fit when padded to the longest of them.

    Args:
        lengths: tokens of each sequence; one longer than the budget stands alone.
        budget: tokens of a batch, including padding.
        most: sequences of a batch.
    """
    batch: list[int] = []
    for number in shortest_first(lengths):
        if batch and (len(batch) == most or (len(batch) + 1) * lengths[number] > budget):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def shortest_first(lengths: Sequence[int]) -> list[int]:
    """Numbers of all sequences in order of length; equal ones keep their order."""
    return sorted(range(len(lengths)), key=lengths.__getitem__)
