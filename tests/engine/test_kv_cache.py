"""The preallocated cache: growing, stepping back, int8, and too little memory."""

import weakref

import pytest
import torch

from fastglm.capacity import ROOM, STEP, capacity_after
from fastglm.engine import kv_cache as caches
from fastglm.engine.kv_cache import NEVER, Rows, StaticCache, Window
from fastglm.errors import MemoryShortError
from fastglm.system.memory import room_for

FOLLOWING = torch.tensor([[[4, 4], [7, 8]]])  # the position stays, the block position advances


def states(tokens, seed=0):
    """Keys, or values, of one layer: [1, heads, tokens, head_dim]."""
    return torch.randn(1, 2, tokens, 8, generator=torch.Generator().manual_seed(seed))


def prefilled(prompt, is_int8=False, capacity=STEP):
    cache = StaticCache([2], 8, capacity, torch.float32, torch.device("cpu"), is_int8)
    k, v = states(prompt), states(prompt, 1)
    assert all(map(torch.equal, cache.update(k, v, 0), (k, v)))  # attention uses a prompt without rounding
    cache.prefilled(prompt, FOLLOWING)
    return cache, k, v


def write(cache, k, v):
    """Use the cache like a step; returns the keys and values of the window."""
    place, position, stride, columns, *held = cache.advance(k.shape[2])
    window = Window(held, place + torch.arange(k.shape[2]), columns.shape[0], cache.is_int8)
    seen = window.update(k, v, 0)
    place += k.shape[2]
    position += k.shape[2] * stride
    return seen


@pytest.mark.parametrize("count", [1, 3])
def test_it_grows_without_losing_anything(count):
    cache, *seen = prefilled(10)
    for number in range(3 * STEP):
        new = states(count, number)
        seen = [torch.cat((x, new), 2) for x in seen]
        found = write(cache, new, new)
        assert found[0].shape[2] == cache.window <= cache.capacity
        assert cache.window - cache.length < STEP
    assert all(torch.equal(x[:, :, : cache.length], y) for x, y in zip(found, seen, strict=True))
    assert int(cache.place) == cache.length == 10 + 3 * STEP * count


def test_stepping_back_forgets_the_last_tokens_only():
    cache, k, v = prefilled(10)
    write(cache, states(5, 2), states(5, 3))
    cache.rewind(3)
    assert (int(cache.place), cache.length, cache.position.flatten().tolist()) == (12, 12, [4, 9])
    keys, values = write(cache, states(1, 4), states(1, 5))
    assert torch.equal(keys[:, :, :13], torch.cat((k, states(5, 2)[:, :, :2], states(1, 4)), 2))
    assert torch.equal(values[:, :, :13], torch.cat((v, states(5, 3)[:, :, :2], states(1, 5)), 2))


def test_positions_go_on_as_those_of_the_plan():
    cache, *_ = prefilled(10)
    for block in (7, 8, 9):
        assert cache.position.flatten().tolist() == [4, block]
        write(cache, states(1), states(1))


def test_int8_is_near_and_takes_its_share():
    (plain, *_), (packed, *_) = (prefilled(STEP, is_int8) for is_int8 in (False, True))
    new = states(1, 2), states(1, 3)  # the buffers grow
    for kept, y in zip(write(packed, *new), write(plain, *new), strict=True):
        x = kept.whole()
        assert x.shape == y.shape == (1, 2, 2 * STEP, 8)
        assert (x - y).abs().max() <= y.abs().max() / 127 / 2
    assert packed.memory / plain.memory == (8 + 4) / (4 * 8)


@pytest.mark.parametrize(("prompt", "answer"), [(1, 1), (10, 64), (64, 64), (65, 128), (50, 270), (1, 193), (1, 194)])
def test_the_capacity_at_the_end_is_known_before(prompt, answer):
    cache, *_ = prefilled(prompt, capacity=prompt + min(answer, ROOM))
    for _ in range(answer - 1):
        cache.advance()
    assert cache.capacity == capacity_after(prompt, answer)


def test_where_there_is_no_memory_the_message_says_so(monkeypatch):
    cache, *_ = prefilled(STEP)

    def pad(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(caches.torch.nn.functional, "pad", pad)
    with pytest.raises(MemoryShortError, match="keys and values of 128 tokens: clear the conversation"):
        cache.advance()


def test_other_failures_are_not_taken_for_it(monkeypatch):
    cache, *_ = prefilled(STEP)
    monkeypatch.setattr(caches.torch.nn.functional, "pad", lambda *_: torch.zeros(1) @ torch.zeros(2))
    with pytest.raises(RuntimeError, match="size"):
        cache.advance()


def test_rows_of_different_lengths_end_at_the_same_place():
    cache = StaticCache([2], 8, STEP, torch.float32, torch.device("cpu"), rows=3)
    prompts = [(states(n, n), states(n, n + 1)) for n in (3, 7, 10)]
    for row, (k, v) in enumerate(prompts):
        Rows(cache, slice(row, row + 1), 10 - k.shape[2]).update(k, v, 0)
    following = torch.cat([FOLLOWING + row for row in range(3)])
    cache.prefilled(10, following, torch.tensor([7, 3, 0]))
    assert [int((columns == NEVER).sum()) for columns in cache.columns] == [7, 3, 0]
    for columns, (k, _), held in zip(cache.columns.flatten(1), prompts, cache.held[0], strict=True):
        assert torch.equal(held[:, :10][:, columns[:10] != NEVER], k[0])
    cache.keep([0, 2])
    cache.advance(2 * STEP)  # it grows
    assert cache.held[0].shape == (2, 2, cache.capacity, 8)
    assert torch.equal(cache.held[0][1, :, :10], prompts[2][0][0])
    assert torch.equal(cache.position, following[[0, 2], :, :1])
    assert [int((columns == NEVER).sum()) for columns in cache.columns] == [7, 0]
    assert cache.columns.shape == (2, 1, 1, cache.capacity)


def test_memory_that_only_seems_to_be_there_is_not_taken(monkeypatch):
    cache, *_ = prefilled(STEP)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": cache.memory}))
    cache.advance()  # it doubles
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": cache.memory - 1}))
    with pytest.raises(MemoryShortError, match=f"keys and values of {4 * STEP} tokens"):
        cache.advance(STEP)


def test_what_failed_is_let_go_with_its_memory():
    kept = []

    def fails():
        taken = torch.zeros(9)
        kept.append(weakref.ref(taken))
        raise MemoryError

    try:
        with room_for("nine numbers", "count to eight"):
            fails()
    except MemoryShortError as error:
        told = error.with_traceback(None)
    assert str(told) == "There is no memory for nine numbers: count to eight."
    assert kept[0]() is None
