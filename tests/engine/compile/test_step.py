"""The compiled step: equal answers, one build for many starts, and a fallback if it cannot be built."""

import subprocess
import sys

import pytest
import torch
from recorded import expected, folder

import fastglm
from fastglm.engine.compile import prepare
from fastglm.engine.compile import step as compiled
from fastglm.engine.compile.prepare import step_of
from fastglm.engine.compile.step import CompiledStep
from fastglm.kernels.cpu import library
from fastglm.kernels.exact import exact_arithmetic

CASES = expected("chatglm")
MODEL = str(folder("chatglm"))


@pytest.fixture(scope="module")
def kept_steps(tmp_path_factory):
    """The folder of the small model's steps, built once."""
    return tmp_path_factory.mktemp("steps")


@pytest.fixture
def keeping(compiling, own_home, kept_steps, monkeypatch):
    (own_home / "steps").symlink_to(kept_steps)
    monkeypatch.delenv("FASTGLM_COMPILE")


def load(variant="fast", **settings):
    stages = []
    loaded = fastglm.load(MODEL, variant, progress=lambda now: stages.append(now.stage), **settings)
    return loaded, stages


def answer(loaded, **settings):
    pieces = fastglm.stream(*loaded, "你好", max_new_tokens=150, ignore_eos=True, **settings)
    return [piece.token for piece in pieces]


@pytest.mark.timeout(900)  # on machines that others use too
def test_the_compiled_step_answers_like_the_plain_one(keeping, monkeypatch):
    loaded, _ = load()
    assert isinstance(step_of(loaded[0]), CompiledStep)
    assert loaded[0].fastglm.notes == []
    monkeypatch.setenv("FASTGLM_COMPILE", "0")
    plain, _ = load()
    assert not isinstance(step_of(plain[0]), CompiledStep)
    for settings in ({"do_sample": False}, {"seed": 1}, {"do_sample": False, "repetition_penalty": 1.3}):
        assert answer(loaded, **settings) == answer(plain, **settings)
    assert answer(loaded, do_sample=False)[:32] == CASES["generate"][0]["new_ids"]
    loaded[0].half().float()  # the compiled step has the weights of before
    assert not isinstance(step_of(loaded[0]), CompiledStep)


@pytest.mark.timeout(900)  # on machines that others use too
@pytest.mark.skipif(not library.written_for(), reason="the kernels are written for Linux on x86-64 with AVX2")
def test_the_compiled_step_calls_the_kernels_of_this_package(keeping, kept_steps):
    (model, tokenizer), _ = load("int4")
    assert model.fastglm.notes == []
    assert isinstance(step_of(model), CompiledStep)
    kept = (path.read_bytes() for path in kept_steps.iterdir())
    assert any(b"aoti_torch_cpu_int4_product" in library for library in kept)
    tokens = answer((model, tokenizer), do_sample=False)
    step, ids = step_of(model), torch.tensor([CASES["generate"][0]["input_ids"]])
    with exact_arithmetic(model):
        assert not isinstance(step_of(model), CompiledStep)
        exact = answer((model, tokenizer), do_sample=False)
        assert exact[:8] == model.generate(ids, do_sample=False, max_new_tokens=8)[0, ids.shape[1] :].tolist()
    assert step_of(model) is step
    assert answer((model, tokenizer), do_sample=False) == tokens
    prepare._steps[model] = prepare.plain_step(model)
    assert answer((model, tokenizer), do_sample=False) == tokens


def test_the_compiled_step_is_built_once_and_kept(keeping, kept_steps):
    load()
    kept = sorted(kept_steps.iterdir())
    _, stages = load()
    assert "compile" not in stages
    assert {path.suffix for path in kept} == {".so"}
    assert sorted(kept_steps.iterdir()) == kept


def test_weights_are_held_once(keeping):
    (model, _), _ = load()
    step = step_of(model)
    mine = {p.data_ptr() for p in model.parameters()}
    theirs = {x.data_ptr() for x in step._tensors}
    assert mine <= theirs


def test_the_structure_is_the_same_in_every_process_and_has_no_weights_in_it():
    script = (
        "import sys, fastglm, hashlib; from fastglm.engine.compile.step import structure_of;"
        "from fastglm.engine.compile.prepare import plain_step;"
        "model, _ = fastglm.load(sys.argv[1], 'int4'); structure, tensors = structure_of(plain_step(model));"
        "print(hashlib.sha256(structure).hexdigest(), len(structure), len(tensors))"
    )
    said = {subprocess.check_output([sys.executable, "-c", script, MODEL], text=True) for _ in range(2)}
    assert len(said) == 1
    assert int(said.pop().split()[1]) < 100_000


@pytest.mark.usefixtures("compiling")
def test_another_shape_has_another_key(monkeypatch):
    keys = set()
    monkeypatch.setattr(compiled, "_build", lambda request, library: keys.add(library.name))
    for variant, cache in (("fast", "auto"), ("fast", "int8"), ("int8", "auto")):
        load(variant, cache=cache)
    load()
    assert len(keys) == 3


def test_a_missing_compiler_is_reported_once_and_the_step_runs(monkeypatch, caplog):
    monkeypatch.setenv("FASTGLM_COMPILE", "1")
    monkeypatch.setenv("CXX", "no-such-compiler")
    (model, tokenizer), stages = load()
    assert "compile" not in stages
    (warning,) = caplog.messages
    assert warning == model.fastglm.notes[0]
    assert "runs slower" in warning
    assert "no-such-compiler" in warning
    pieces = list(fastglm.stream(model, tokenizer, "你好", max_new_tokens=8, do_sample=False, ignore_eos=True))
    assert [piece.token for piece in pieces] == CASES["generate"][0]["new_ids"][:8]


@pytest.mark.usefixtures("compiling")
def test_a_compiler_that_fails_leaves_the_plain_step_and_nothing_half_written(monkeypatch, own_home):
    monkeypatch.setattr(compiled, "BUILD", [sys.executable, "-c", "import sys; sys.exit('g++: fatal error: no space')"])
    (model, _), stages = load()
    assert "compile" in stages
    assert model.fastglm.notes[0].endswith("g++: fatal error: no space")
    assert not isinstance(step_of(model), CompiledStep)
    assert list((own_home / "steps").iterdir()) == []


@pytest.mark.usefixtures("compiling")
def test_a_library_that_cannot_be_read_is_replaced_by_the_plain_step(monkeypatch):
    monkeypatch.setattr(compiled, "_build", lambda request, library: library.write_bytes(b"no library"))
    (model, _), _ = load()
    assert not isinstance(step_of(model), CompiledStep)
    assert "runs slower" in model.fastglm.notes[0]


@pytest.mark.usefixtures("compiling")
def test_logits_that_are_wrong_are_noticed(monkeypatch):

    def wrong(step, *_):
        def run(*inputs):
            logits, best = step(*inputs)
            return -logits, best

        return run

    monkeypatch.setattr(prepare, "compiled_step", wrong)
    (model, _), _ = load()
    assert "other logits" in model.fastglm.notes[0]
