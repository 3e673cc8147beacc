"""Autotuning: the choice follows times that are measured once, stored, and never trusted blindly."""

import json
import os
import pickle

import pytest
import torch
import torch.nn.functional as F

from fastglm.kernels import autotune, trial
from fastglm.kernels.autotune import FILE, ROWS, SEVERAL, MeasuredKernel, fastest, seconds, times_of
from fastglm.kernels.cpu.int8 import CpuInt8Kernel
from fastglm.kernels.formats import Int4, Int8
from fastglm.kernels.packed import QuantizedLinear
from fastglm.kernels.select import kernel_for

WAYS = f"operator, unpacked; {trial.NAME}"
KEY = f"CpuInt8Kernel int8 64 × 64: {WAYS}"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(autotune, "_known", {})


@pytest.fixture
def measured(monkeypatch):
    """The shapes that were measured; the times are invented."""
    asked = []

    def measure(kernel, rows, columns):
        asked.append((kernel.format.name, rows, columns))
        return {"operator": [1.0, 4.0, 16.0, 64.0, 256.0], "unpacked": [20.0, 20.0, 21.0, 24.0, 36.0]}

    monkeypatch.setattr(autotune, "_measure", measure)
    return asked


def forget():
    autotune._known.clear()


def test_between_measured_rows_times_are_on_a_line():
    times = [1.0, 4.0, 16.0, 64.0, 256.0]
    assert [seconds(times, n) for n in (1, 2, 10, 100, 512)] == pytest.approx([1, 2, 10, 100, 256])
    both = {"operator": times, "unpacked": [20.0, 20.0, 21.0, 24.0, 36.0]}
    assert [fastest(both, n) for n in (1, 4, 16, 21, 22, 64, 4096)] == ["operator"] * 4 + ["unpacked"] * 3


def test_times_are_measured_once_for_a_shape_and_remembered(own_home, measured):
    kernel = CpuInt8Kernel(Int8())
    first = times_of(kernel, 96, 1000)
    assert times_of(kernel, 128, 1024) == first
    forget()
    assert times_of(kernel, 128, 1024) == first
    assert measured == [("int8", 128, 1024)]
    times_of(kernel, 1 << 17, 1 << 14)
    times_of(kernel, 4096, 4096)
    assert measured[1:] == [("int8", 1024, 4096)]
    [(machine, known)] = json.loads((own_home / FILE).read_text(encoding="utf-8")).items()
    assert torch.__version__ in machine
    assert set(known) == {f"CpuInt8Kernel int8 128 × 1024: {WAYS}", f"CpuInt8Kernel int8 1024 × 4096: {WAYS}"}
    assert os.listdir(own_home) == [FILE]


def test_other_thread_counts_are_other_machines(own_home, measured, monkeypatch):
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        times_of(CpuInt8Kernel(Int8()), 64, 64)
    assert len(measured) == 2
    assert len(json.loads((own_home / FILE).read_text(encoding="utf-8"))) == 2


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", b"\xff\xfe", '{"MACHINE": 3}']
    + [f'{{"MACHINE": {{"{KEY}": {found}}}}}' for found in ("{}", '{"unpacked": [1.0]}', '{"unpacked": "abcde"}')],
)
def test_a_file_that_is_broken_is_made_anew(own_home, measured, content):
    if isinstance(content, str):
        content = content.replace("MACHINE", autotune._machine(torch.get_num_threads())).encode()
    (own_home / FILE).write_bytes(content)
    times_of(CpuInt8Kernel(Int8()), 64, 64)
    assert len(measured) == 1
    forget()
    times_of(CpuInt8Kernel(Int8()), 64, 64)
    assert len(measured) == 1


def test_ways_that_are_no_more_are_not_taken(own_home, measured):
    times_of(CpuInt8Kernel(Int8()), 64, 64)
    path = own_home / FILE
    path.write_text(path.read_text(encoding="utf-8").replace('"unpacked"', '"magic"'), encoding="utf-8")
    forget()
    assert set(times_of(CpuInt8Kernel(Int8()), 64, 64)) == {"operator", "unpacked"}
    assert len(measured) == 2


def test_with_one_way_more_or_less_all_are_measured_again(own_home, measured):
    extra = {}

    class More(CpuInt8Kernel):
        def ways(self):
            return super().ways() | extra

    times_of(More(Int8()), 64, 64)
    extra["native"] = None
    times_of(More(Int8()), 64, 64)
    extra.clear()
    times_of(More(Int8()), 64, 64)
    forget()
    times_of(More(Int8()), 64, 64)
    assert len(measured) == 2


def test_without_a_place_to_write_it_lasts_as_long_as_the_process(tmp_path, measured, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path / "file" / "home"))
    for _ in range(2):
        times_of(CpuInt8Kernel(Int8()), 64, 64)
    assert len(measured) == 1


def test_times_that_another_process_wrote_first_hold(own_home, measured, monkeypatch):
    kernel, make_up = CpuInt8Kernel(Int8()), autotune._measure

    def meanwhile(*shape):
        theirs = {autotune._machine(torch.get_num_threads()): {KEY: {"operator": [2.0] * len(ROWS)}}}
        (own_home / FILE).write_text(json.dumps(theirs), encoding="utf-8")
        return make_up(*shape)

    monkeypatch.setattr(autotune, "_measure", meanwhile)
    assert times_of(kernel, 64, 64) == {"operator": [2.0] * len(ROWS)}


class Faulty(CpuInt8Kernel):
    def ways(self):
        def fails(*_):
            raise RuntimeError("no such operator")

        def wrong(*args):
            return self._unpacked(*args) * 1.1

        return {"unpacked": self._unpacked, "fails": fails, "wrong": wrong}


def test_a_way_that_fails_or_is_wrong_is_left_out():
    assert set(times_of(Faulty(Int8()), 64, 128)) == {"unpacked"}


@pytest.mark.parametrize("format", [Int8(), Int4(32), Int4(128), Int4(None)], ids=lambda format: format.name)
@pytest.mark.parametrize(("rows", "columns"), [(64, 128), (512, 256), (256, 4096)])
def test_every_way_that_is_right_is_tried(monkeypatch, format, rows, columns):
    monkeypatch.setattr(autotune, "ROWS", (1, 16))
    kernel = kernel_for(format, torch.device("cpu"), torch.float32)
    assert set(times_of(kernel, rows, columns)) == {"operator", "unpacked"}


def rounded(x, limit, group):
    """Round to integers in ± `limit`, with a scale for each group of columns."""
    grouped = F.pad(x, (0, -x.shape[1] % group)).unflatten(1, (-1, group))
    scale = grouped.abs().amax(2, keepdim=True).clamp(min=1e-30) / limit
    return ((grouped / scale).round() * scale).flatten(1)[:, : x.shape[1]]


@pytest.mark.parametrize("columns", [64, 512, 4096])
@pytest.mark.parametrize(
    ("format", "round_", "passes"),
    [
        (Int8(), lambda x: x, True),
        (Int8(), lambda x: x.bfloat16(), True),
        (Int8(), lambda x: rounded(x, 32767, x.shape[1]), True),
        (Int8(), lambda x: rounded(x, 127, x.shape[1]), False),  # one scale a row
        (Int8(), lambda x: rounded(x, 127, 128), False),
        (Int8(), lambda x: rounded(x, 63, 32), False),
        (Int8(), lambda x: x.clamp(-100, 100), False),
        (Int4(128), lambda x: rounded(x, 127, 128), True),
        (Int4(128), lambda x: rounded(x, 7, 128), False),
    ],
)
def test_rounding_activations_may_cost_no_more_than_rounding_weights(format, round_, passes, columns):
    products = trial.Trial(format, 128, columns)
    weight = format.unpack(products.parts, columns).double()
    assert products.passed(lambda x: round_(x).double() @ weight.T) is passes


def test_overflowing_sums_are_noticed():
    products = trial.Trial(Int8(), 64, 512)
    weight = Int8().unpack(products.parts, 512).double()
    exact = lambda x: x.double() @ weight.T  # noqa: E731
    limit = 0.9 * exact(products._x.abs()).max()
    assert products.passed(exact)
    assert not products.passed(lambda x: exact(x).clamp(-limit, limit))


def test_times_of_an_older_trial_are_measured_again_and_dropped(own_home, measured):
    machine, older = autotune._machine(torch.get_num_threads()), "CpuInt8Kernel int8 64 × 64: operator, unpacked"
    stored = {machine: {older: {"operator": [1.0] * len(ROWS)}}, "another machine": {older: {}}}
    (own_home / FILE).write_text(json.dumps(stored), encoding="utf-8")
    times_of(CpuInt8Kernel(Int8()), 64, 64)
    assert len(measured) == 1
    kept = json.loads((own_home / FILE).read_text(encoding="utf-8"))
    assert set(kept[machine]) == {KEY}
    assert kept["another machine"] == stored["another machine"]


def test_the_chosen_way_multiplies(measured, monkeypatch):
    taken = []
    monkeypatch.setattr(
        MeasuredKernel, "multiply", lambda *args, own=MeasuredKernel.multiply: taken.append(len(args[1])) or own(*args)
    )
    layer = QuantizedLinear(Int8(), 128, 96, bias=False)
    layer.set_parts(layer.format.pack(torch.randn(96, 128)))
    layer.exact = False
    for n in (1, 100):
        layer(torch.randn(n, 128))
    assert layer._kernel._fastest == {1: "operator", 100: "unpacked"}
    assert taken == [1, 100]


def test_a_file_that_may_not_be_read_does_no_harm(own_home, measured):
    (own_home / FILE).mkdir()
    times_of(CpuInt8Kernel(Int8()), 64, 64)
    assert os.listdir(own_home) == [FILE]
    assert (own_home / FILE).is_dir()


def test_a_pickle_holds_what_was_chosen_and_not_how_long_it_took(measured, monkeypatch):
    """The pickle's content names the file of a compiled step."""
    linear = QuantizedLinear(Int8(), 64, 64, bias=True)
    linear.exact = False
    with torch.inference_mode():
        expected = linear(torch.ones(1, 64))
        pickles = []
        for slower in (1.0, 2.0):
            kernel = linear.prepare(torch.float32)
            kernel._times = {name: [slower * t for t in times] for name, times in kernel._times.items()}
            pickles.append(pickle.dumps(kernel))
            linear(torch.ones(3, 64))  # products of other numbers of rows leave the pickle as it is
        assert pickles[0] == pickles[1]
        linear._kernel = pickle.loads(pickles[0])
        assert torch.equal(linear(torch.ones(1, 64)), expected)
        linear(torch.ones(300, 64))  # chosen again
    assert set(linear._kernel._fastest) == {1, SEVERAL, 300}
