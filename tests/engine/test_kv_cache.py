"""The preallocated cache and its slots: growing, moving, stepping back, int8, and memory that is short."""

import weakref

import pytest
import torch

from fastglm.capacity import ROOM, STEP, capacity_after, whole_steps
from fastglm.engine import kv_cache as caches
from fastglm.engine.kv_cache import KVCache, PromptRows, Window
from fastglm.engine.slots import Slots
from fastglm.errors import MemoryShortError
from fastglm.system.memory import room_for

FOLLOWING = torch.tensor([[[4, 4], [7, 8]]])  # the position stays, the block position advances


def states(tokens, seed=0):
    """Keys, or values, of one layer: [1, heads, tokens, head_dim]."""
    return torch.randn(1, 2, tokens, 8, generator=torch.Generator().manual_seed(seed))


def prefilled(prompt, is_int8=False, capacity=STEP):
    """The slots of a cache, one of which is taken by a prompt."""
    cache = KVCache([2], 8, torch.float32, torch.device("cpu"), is_int8)
    slots = Slots([cache])
    (slot,) = slots.take(1, capacity)
    k, v = states(prompt), states(prompt, 1)
    enter(cache, slot, k, v)
    return slots, k, v


def enter(cache, slot, k, v, following=FOLLOWING):
    kept = PromptRows(cache, [slot.row], [0]).update(k, v, 0)
    assert all(map(torch.equal, kept, (k, v)))  # attention uses a prompt without rounding
    cache.begin([slot.row], [k.shape[2]], following)
    slot.length = k.shape[2]


def write(slots, k, v):
    """Write like a step into the taken slots; returns the keys and values of the window."""
    (cache,), count = slots._caches, k.shape[2]
    longest = max(slot.length for slot in slots.taken) + count
    slots.reserve(longest)
    place, position, stride, columns, *held = cache.inputs(0, len(slots.taken), longest)
    window = Window(held, place[:, None] + torch.arange(count), columns.shape[0], cache.is_int8)
    seen = window.update(k, v, 0)
    place += count
    position += count * stride
    for slot in slots.taken:
        slot.length += count
    return seen


@pytest.mark.parametrize("count", [1, 3])
def test_a_cache_grows_without_losing_anything(count):
    slots, *seen = prefilled(10)
    (cache,), (slot,) = slots._caches, slots.taken
    for number in range(3 * STEP):
        new = states(count, number)
        seen = [torch.cat((x, new), 2) for x in seen]
        found = write(slots, new, new)
        assert found[0].shape[2] == whole_steps(slot.length) <= cache.capacity
    assert all(torch.equal(x[:, :, : slot.length], y) for x, y in zip(found, seen, strict=True))
    assert int(cache.place) == slot.length == 10 + 3 * STEP * count


def test_stepping_back_forgets_the_last_tokens_only():
    slots, k, v = prefilled(10)
    (cache,), (slot,) = slots._caches, slots.taken
    write(slots, states(5, 2), states(5, 3))
    slots.rewind(slot, 3)
    slot.length -= 3
    assert (int(cache.place), cache.position.flatten().tolist()) == (12, [4, 9])
    keys, values = write(slots, states(1, 4), states(1, 5))
    assert torch.equal(keys[:, :, :13], torch.cat((k, states(5, 2)[:, :, :2], states(1, 4)), 2))
    assert torch.equal(values[:, :, :13], torch.cat((v, states(5, 3)[:, :, :2], states(1, 5)), 2))


def test_positions_go_on_as_those_of_the_plan():
    slots, *_ = prefilled(10)
    for block in (7, 8, 9):
        assert slots._caches[0].position.flatten().tolist() == [4, block]
        write(slots, states(1), states(1))


def test_int8_is_near_and_takes_its_share():
    (plain, *_), (packed, *_) = (prefilled(STEP, is_int8) for is_int8 in (False, True))
    new = states(1, 2), states(1, 3)  # the buffers grow
    for kept, y in zip(write(packed, *new), write(plain, *new), strict=True):
        x = kept.whole()
        assert x.shape == y.shape == (1, 2, 2 * STEP, 8)
        assert (x - y).abs().max() <= y.abs().max() / 127 / 2
    assert packed.memory / plain.memory == (8 + 4) / (4 * 8)


@pytest.mark.parametrize(("prompt", "answer"), [(1, 1), (10, 64), (64, 64), (65, 128), (50, 270), (1, 193), (1, 194)])
@pytest.mark.parametrize("prefix", [0, 8])
def test_the_capacity_at_the_end_is_known_before(prompt, answer, prefix):
    slots, *_ = prefilled(prefix + prompt, capacity=whole_steps(prefix + prompt + min(answer, ROOM)))
    for length in range(prefix + prompt + 1, prefix + prompt + answer):
        slots.reserve(length)
    assert slots._caches[0].capacity == capacity_after(prompt, answer, prefix)


def test_without_memory_the_message_says_so_and_nothing_is_lost(monkeypatch):
    slots, k, v = prefilled(STEP)
    pad, calls = torch.nn.functional.pad, []

    def fails(*arguments):
        calls.append(arguments)
        if len(calls) > 1:  # the values, when the keys are larger already
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
            )
        return pad(*arguments)

    monkeypatch.setattr(caches.torch.nn.functional, "pad", fails)
    with pytest.raises(MemoryShortError, match="keys and values of 128 tokens: clear the conversation"):
        slots.reserve(STEP + 1)
    (cache,) = slots._caches
    assert [x.shape for x in cache.held] == [(1, 2, STEP, 8)] * 2
    assert all(torch.equal(x, y) for x, y in zip(cache.held, (k, v), strict=True))
    with pytest.raises(MemoryShortError, match=r"keys and values of 2 × 64 tokens: ask less at once"):
        slots.take(1, STEP)
    assert len(slots.taken) == 1


def test_other_failures_are_not_reported_as_lack_of_memory(monkeypatch):
    slots, *_ = prefilled(STEP)
    monkeypatch.setattr(caches.torch.nn.functional, "pad", lambda *_: torch.zeros(1) @ torch.zeros(2))
    with pytest.raises(RuntimeError, match="size"):
        slots.reserve(STEP + 1)


def test_slots_of_different_lengths_grow_move_and_end_apart():
    cache = KVCache([2], 8, torch.float32, torch.device("cpu"))
    slots, prompts = Slots([cache]), [(states(n, n), states(n, n + 1)) for n in (3, 7, 10)]
    taken = slots.take(3, STEP)
    assert cache.slots == 4
    for slot, (k, v) in zip(taken, prompts, strict=True):
        enter(cache, slot, k, v, FOLLOWING + slot.row)
    new = torch.cat([states(1, 20 + row) for row in range(3)])
    write(slots, new, new)
    slots.free(taken[0])
    assert slots.taken == [taken[2], taken[1]]
    assert [slot.row for slot in taken[1:]] == [1, 0]
    assert cache.place.tolist() == [11, 8, 0, 0]
    assert cache.position[:2, :, 0].tolist() == [[6, 10], [5, 9]]
    (late,) = slots.take(1, 3 * STEP)  # all grow
    k, v = states(130), states(130, 1)
    enter(cache, late, k, v)
    keys, values = write(slots, new, new)
    assert keys.shape == (3, 2, 3 * STEP, 8)
    first = [new[row : row + 1] for row in (2, 1)]
    wanted = [(torch.cat((prompts[2][n], first[0]), 2), torch.cat((prompts[1][n], first[1]), 2)) for n in (0, 1)]
    for found, prompt, (longest, middle) in zip((keys, values), (k, v), wanted, strict=True):
        for slot, before in ((taken[2], longest), (taken[1], middle), (late, prompt)):
            whole = torch.cat((before, new[slot.row : slot.row + 1]), 2)[0]
            assert torch.equal(found[slot.row, :, : slot.length], whole)


def test_nothing_is_left_of_a_request_that_has_gone():
    cache = KVCache([2], 8, torch.float32, torch.device("cpu"))
    slots = Slots([cache])
    taken = slots.take(2, STEP)
    for slot in taken:
        enter(cache, slot, states(9) * torch.inf if slot.row else states(9), states(9))
    slots.free(taken[0])
    slots.free(taken[1])
    assert not any(x.any() for x in cache.held)


def test_memory_that_only_seems_to_be_there_is_not_taken(monkeypatch):
    slots, *_ = prefilled(STEP)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": slots.memory}))
    slots.reserve(STEP + 1)  # it doubles
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": slots.memory - 1}))
    with pytest.raises(MemoryShortError, match=f"keys and values of {4 * STEP} tokens"):
        slots.reserve(2 * STEP + 1)


def test_fewer_slots_are_made_where_there_is_no_memory_for_a_power_of_two(monkeypatch):
    slots, *_ = prefilled(STEP)
    slots.take(1, STEP)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": slots.memory - 1}))
    slots.take(1, STEP)
    assert slots._caches[0].slots == 3


def test_a_failed_growth_is_let_go_with_its_memory():
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
