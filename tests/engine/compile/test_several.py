"""The step of several rows, compiled in the background: no request waits for it, and answers stay the same."""

import threading
from contextlib import nullcontext
from unittest.mock import Mock

import pytest
import torch
from recorded import folder

import fastglm
from fastglm.engine import GREEDY, BatchEngine, FastEngine
from fastglm.engine.compile import prepare
from fastglm.engine.compile.several import SeveralRowsStep
from fastglm.engine.compile.step import CompiledStep
from fastglm.engine.runner import runner_of
from fastglm.errors import DeviceError
from fastglm.kernels.exact import exact_arithmetic

MODEL = str(folder("chatglm"))
PROMPTS = [[5, 6, 7, 86, 89], [*range(5, 70), 86, 89], [9, 86, 89]]


def tokens(model):
    return BatchEngine(model).answer(PROMPTS, 40, GREEDY)


def with_step(monkeypatch, build, variant="original"):
    """A model whose step of several rows is built by a function."""
    model = fastglm.load(MODEL, variant)[0]
    plain = prepare.plain_step(model)
    step = SeveralRowsStep(plain, lambda: build(plain))
    monkeypatch.setitem(prepare._several, model, step)
    return model, step


def test_no_step_waits_for_the_compiler(monkeypatch):
    may_end, rows = threading.Event(), []

    def build(plain):
        may_end.wait(30)

        def compiled(ids, *inputs):
            rows.append(len(ids))
            return plain(ids, *inputs)

        return compiled

    model, step = with_step(monkeypatch, build)
    expected = [list(FastEngine(model).generate(prompt, 40, GREEDY, ())) for prompt in PROMPTS]
    assert step._thread is None, "nobody asked for several rows"
    assert tokens(model) == expected
    assert not rows
    may_end.set()
    prepare.finish_several(model)
    assert tokens(model) == expected
    assert rows == [3] * 39


def test_a_compiler_that_fails_is_reported_once_and_leaves_the_operators(monkeypatch, caplog):
    def build(_):
        raise DeviceError("no space")

    model, _ = with_step(monkeypatch, build)
    first = tokens(model)
    prepare.finish_several(model)
    assert tokens(model) == first
    (message,) = caplog.messages
    assert message.endswith("runs as single operators: no space")


def test_the_step_is_built_once_and_takes_up_to_sixteen_rows_of_one_token():
    built, plain = [], Mock(return_value="plain")

    def build():
        built.append(True)
        return lambda *_: "compiled"

    step = SeveralRowsStep(plain, build)
    for rows, tokens_ in ((17, 1), (2, 2)):
        assert step(torch.zeros(rows, tokens_)) == "plain"
    assert step._thread is None, "such steps are no use of it"
    step(torch.zeros(2, 1))
    step.begin().join()
    kinds = {shape: step(torch.zeros(shape)) for shape in [(2, 1), (3, 1), (16, 1), (17, 1), (2, 2)]}
    assert kinds == {(2, 1): "compiled", (3, 1): "compiled", (16, 1): "compiled", (17, 1): "plain", (2, 2): "plain"}
    assert built == [True]


@pytest.mark.parametrize(
    ("variant", "changed"),
    [
        ("int8", exact_arithmetic),
        ("fast", lambda model: nullcontext(model.to(torch.bfloat16))),
        ("fast", lambda model: nullcontext(model.half().float())),
    ],
)
def test_exact_arithmetic_and_converted_weights_leave_it_out(monkeypatch, variant, changed):
    rows = []

    def build(plain):
        def compiled(ids, *inputs):
            rows.append(len(ids))
            return plain(ids, *inputs)

        return compiled

    model, _ = with_step(monkeypatch, build, variant)
    prepare.finish_several(model)
    tokens(model)
    assert rows == [3] * 39
    with changed(model):
        tokens(model)
    assert len(rows) == 39


@pytest.mark.soak
@pytest.mark.usefixtures("compiling")
@pytest.mark.parametrize("variant", ["fast", "int4"])
def test_the_step_gives_the_logits_of_the_operators_for_any_number_of_rows(variant):
    model = fastglm.load(MODEL, variant)[0]
    prepare.finish_several(model)
    step = prepare._several[model]
    assert isinstance(step._step, CompiledStep)
    runner = runner_of(model)
    for count in (2, 3, 8, 16):
        prompts = [torch.arange(5, 8 + 7 * number) % 80 for number in range(count)]
        slots, _ = runner.prefill(prompts, [100] * count)
        ids = torch.arange(10, 10 + count)[:, None]
        for _ in range(3):
            found = runner.step(slots, ids)[0].clone()
            for slot in slots:
                runner.rewind(slot, 1)
            compiled, step._step = step._step, step._plain
            torch.testing.assert_close(found, runner.step(slots, ids)[0], rtol=1e-3, atol=1e-3)
            step._step = compiled
        runner.free(slots)
