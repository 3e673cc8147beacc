"""The loader: its facts about a loaded model, its refusals, and its memory use during loading."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from recorded import folder

import fastglm
from fastglm.errors import DeviceError, MemoryShortError, UsageError
from fastglm.models.source import find_source
from fastglm.system import devices
from fastglm.system.devices import DeviceCard, device_card, resolve_device
from fastglm.variants.load import load
from fastglm.variants.offers import offers
from fastglm.variants.variants import VARIANTS, get_variant

GOLDEN = str(folder("chatglm"))


def card(**fields):
    known = {"kind": "cpu", "name": "x", "memory_total": 1, "memory_free": 1, "cores": 1, "threads": 1}
    return DeviceCard(**{**known, **fields})


def test_facts_of_the_loaded_model_are_told():
    model, _ = load(GOLDEN, "int8")
    info = model.fastglm
    assert (info.variant, info.engine, info.device, info.dtype) == ("int8", "fast", "cpu", "float32")
    assert info.parameters == load(GOLDEN)[0].fastglm.parameters == sum(p.numel() for p in load(GOLDEN)[0].parameters())
    assert info.weights_memory < 0.4 * load(GOLDEN)[0].fastglm.weights_memory
    assert info.load_time > 0
    assert info.context_length == 256


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("file", "breaks"),
    [
        ("model-00001.safetensors", Path.unlink),
        ("model-00001.safetensors", _cut),
        ("model.safetensors.index.json", Path.unlink),
        ("model.safetensors.index.json", _cut),
        ("config.json", _cut),
        ("config.json", Path.unlink),
        ("ice_text.model", Path.unlink),
    ],
)
def test_a_kept_variant_that_is_broken_is_made_anew(file: str, breaks: Callable[[Path], object]) -> None:
    kept = Path(load(GOLDEN, "int8")[0].fastglm.folder)
    whole = {path.name: path.read_bytes() for path in kept.iterdir()}
    breaks(kept / file)
    assert Path(load(GOLDEN, "int8")[0].fastglm.folder) == kept
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == whole
    assert [path.name for path in kept.parent.iterdir()] == ["int8"]


def test_a_kept_variant_that_is_whole_is_used_as_it_is() -> None:
    kept = Path(load(GOLDEN, "int8")[0].fastglm.folder)
    times = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    load(GOLDEN, "int8")
    assert {path: path.stat().st_mtime_ns for path in kept.iterdir()} == times


def test_progress_is_told_while_loading():
    seen = []
    load(GOLDEN, progress=seen.append)
    assert seen[-1].fraction == 1
    assert len(seen) > 10


MADE_HERE = [variant.name for variant in VARIANTS.values() if not (variant.recipe or variant.drafts)]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("variant", MADE_HERE)
def test_half_precision_answers(variant, dtype):
    if VARIANTS[variant].bitsandbytes:
        pytest.importorskip("bitsandbytes")
    model, tokenizer = load(GOLDEN, variant, dtype=dtype)
    pieces = list(fastglm.stream(model, tokenizer, "你好", max_new_tokens=4, do_sample=False, ignore_eos=True))
    assert len(pieces) == 4
    assert model.fastglm.dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"variant": "int5"}, UsageError, "Unknown variant 'int5'; known are original, fast"),
        ({"dtype": "int9"}, UsageError, "Unknown dtype"),
        ({"device": "tpu"}, DeviceError, "Unknown device"),
        ({"device": "xpu"}, DeviceError, "not supported"),
        ({"model": "no/such/folder"}, Exception, "no such folder"),
    ],
)
def test_bad_arguments_are_named(arguments, error, said):
    with pytest.raises(error, match=said):
        load(**{"model": GOLDEN, **arguments})


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_missing_card_is_named():
    with pytest.raises(DeviceError, match="No CUDA device"):
        load(GOLDEN, device="cuda")


def test_too_little_memory_is_said_before_loading(monkeypatch):
    monkeypatch.setattr("fastglm.models.loading.free_memory", lambda _: 1000)
    seen = []
    with pytest.raises(MemoryShortError, match=r"needs [\d.]+ MB on cpu, [\d.]+ MB are free") as raised:
        load(GOLDEN, progress=seen.append)
    assert raised.value.needed > raised.value.free == 1000
    assert seen == []


@pytest.mark.parametrize("variant", ["fast", "int8", "int4", "bnb-int8"])
def test_a_shape_runs_in_every_format(variant):
    if VARIANTS[variant].bitsandbytes:
        pytest.importorskip("bitsandbytes")
    model, tokenizer = load("shape:chatglm-6b@1", variant, dtype="bfloat16")
    assert model.config.num_layers == 1
    block = 4096 * (3 * 4096 + 4096 + 2 * 16384) + (3 * 4096 + 4096 + 16384 + 4096) + 4 * 4096
    assert model.fastglm.parameters == 130528 * 4096 + block + 2 * 4096
    pieces = list(fastglm.stream(model, tokenizer, [5, 6, 7], max_new_tokens=2, do_sample=False, ignore_eos=True))
    assert len(pieces) == 2


def test_variants_say_where_they_run():
    assert get_variant("int4").engine == "fast"
    old = {offer.name: offer for offer in offers(card(kind="cuda", compute_capability="7.5"), find_source(GOLDEN))}
    assert "slower reference path" in old["int4"].note
    assert old["int8"].note is None
    new = {offer.name: offer for offer in offers(card(kind="cuda", compute_capability="8.6"), find_source(GOLDEN))}
    assert new["int4"].note is None
    quantised = {offer.name: offer for offer in offers(card(), find_source(GOLDEN), quantised=True)}
    assert "quantised already" in quantised["int8"].reason
    assert quantised["fast"].reason is None


def test_the_device_card_describes_this_machine():
    found = device_card("cpu")
    assert found.kind == "cpu"
    assert found.name
    assert 0 < found.memory_free <= found.memory_total
    assert resolve_device("cpu").type == "cpu"
    done = subprocess.run(
        [sys.executable, "-m", "fastglm.system.devices", "tpu"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "Unknown device" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_bandwidth_of_memory_is_measured_where_there_is_room(monkeypatch):
    monkeypatch.setattr(devices, "BUFFER", 2**20)
    assert devices.device_card("cpu").bandwidth is None
    assert devices.device_card("cpu", bandwidth=True).bandwidth > 2**20
    monkeypatch.setattr(devices, "free_memory", lambda device: 3 * 2**20)
    assert devices.device_card("cpu", bandwidth=True).bandwidth is None


def test_importing_needs_neither_the_app_nor_what_is_optional():
    unwanted = ("streamlit", "sqlalchemy", "plotly", "pandas", "bitsandbytes")
    code = f"import sys, fastglm; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
