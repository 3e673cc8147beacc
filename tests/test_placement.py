"""Placement of layers on cards."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recorded import folder

from fastglm.errors import DeviceError, MemoryShortError
from fastglm.placement import plan, stages_of
from fastglm.system.devices import resolve_devices
from fastglm.variants.load import load

GOLDEN = str(folder("chatglm"))


def cards(*free):
    return [(torch.device("cuda", number), room) for number, room in enumerate(free)]


def shares(layers, ends, free, entries):
    """The used share of each card's free memory."""
    stages = stages_of(entries, len(layers))
    rooms = dict(free)
    bytes = {device: sum(layers[layer] for layer in there) for there, device in stages}
    bytes[stages[-1][1]] += ends
    return [bytes[device] / rooms[device] for device in bytes]


def test_equal_cards_share_the_layers_and_the_last_has_the_ends_too():
    assert plan([10] * 12, 20, cards(100, 100)) == {0: torch.device("cuda:0"), 7: torch.device("cuda:1")}
    assert plan([10] * 12, 20, cards(100, 100, 100)) == {0: torch.device("cuda:0"), 7: torch.device("cuda:1")}
    assert len(plan([10] * 12, 20, cards(100, 100, 100), fewest=3)) == 3


def test_a_card_that_has_no_room_is_left_out():
    assert plan([10] * 4, 5, cards(3, 60)) == {0: torch.device("cuda:1")}
    assert plan([10] * 4, 5, cards(30, 3, 30)) == {0: torch.device("cuda:0"), 2: torch.device("cuda:2")}


def test_a_model_that_fits_nowhere_has_no_plan():
    assert plan([10] * 4, 5, cards(20, 20)) is None
    assert plan([10] * 4, 5, cards(39, 14)) is None  # the last card must hold a layer beside the ends


@given(
    st.lists(st.integers(1, 100), min_size=1, max_size=40),
    st.integers(0, 300),
    st.lists(st.integers(1, 1500), min_size=1, max_size=6),
)
def test_every_layer_has_a_card_and_no_card_too_much(layers, ends, rooms):
    free = cards(*rooms)
    entries = plan(layers, ends, free)
    if entries is None:
        assert max(rooms[-1] - ends - layers[-1], 0) == 0 or sum(layers) + ends > sum(rooms) - max(layers) * len(rooms)
        return
    stages = stages_of(entries, len(layers))
    assert [layer for there, _ in stages for layer in there] == list(range(len(layers)))
    assert all(len(there) for there, _ in stages)
    used = [device.index for _, device in stages]
    assert used == sorted(set(used))
    assert max(shares(layers, ends, free, entries)) <= 1
    fewer = free[: used[-1]]
    assert not fewer or plan(layers, ends, fewer) is None


@given(st.integers(2, 60), st.integers(2, 5))
def test_equal_layers_on_equal_cards_differ_by_one_at_most(count, number):
    entries = plan([10] * max(count, number), 0, cards(*[10_000] * number), fewest=number)
    lengths = [len(there) for there, _ in stages_of(entries, max(count, number))]
    assert -(-max(count, number) // number) == max(lengths)


@pytest.fixture
def three_cards(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)


def test_devices_are_named_one_by_one_or_left_open(three_cards):
    assert [str(device) for device in resolve_devices("cuda:2, cuda:0")] == ["cuda:2", "cuda:0"]
    assert [str(device) for device in resolve_devices("auto")] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [str(device) for device in resolve_devices("cuda:1")] == ["cuda:1"]
    assert [str(device) for device in resolve_devices("cpu")] == ["cpu"]


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ("cuda:0,cuda:0", "different CUDA cards, such as cuda:0,cuda:1, not cuda:0,cuda:0"),
        ("cuda:0,cpu", "different CUDA cards"),
        ("cuda,cuda:1", "different CUDA cards"),
        ("cuda:0,cuda:3", "There is no cuda:3: this machine has 3"),
        ("cuda:0,", "Unknown device ''"),
    ],
)
def test_devices_that_cannot_be_spread_over_are_named(three_cards, devices, said):
    with pytest.raises(DeviceError, match=said):
        resolve_devices(devices)


def test_cards_too_small_together_are_said_before_loading(monkeypatch):
    monkeypatch.setattr("fastglm.variants.load.resolve_devices", lambda _: [torch.device("cuda", n) for n in range(2)])
    monkeypatch.setattr("fastglm.models.loading.free_memory", lambda device: 1000 * (1 + device.index))
    seen = []
    said = r"as fast needs .* MB with its cache, and does not fit on cuda:0 \(0\.0 MB free\), cuda:1 \(0\.0 MB free\), "
    with pytest.raises(MemoryShortError, match=said) as raised:
        load(GOLDEN, "fast", progress=seen.append)
    assert raised.value.needed > raised.value.free == 3000
    assert seen == []
