"""The calculator of the second demo model: its calls, its results, and their check."""

from itertools import islice
from random import Random

import pytest

from fastglm.demo.examples import encoded
from fastglm.demo.glm_vocabulary import VOCABULARY_FILE, write_vocabulary
from fastglm.demo.skills.calculator import NAME, SYSTEM
from fastglm.demo.training.glm import GLMDemo
from fastglm.models.glm.calls import read_call
from fastglm.models.glm.sp_tokenizer import GLMSentencePieceTokenizer
from fastglm.models.source import demo_folder

CALCULATOR = GLMDemo.skills[-1]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> GLMSentencePieceTokenizer:
    out = tmp_path_factory.mktemp("vocabulary")
    write_vocabulary(demo_folder() / "ice_text.model", out)
    return GLMSentencePieceTokenizer(str(out / VOCABULARY_FILE), generation="chatglm3")


def drawn(count: int):
    rng = Random(0)
    return (CALCULATOR.draw(rng, None) for _ in range(count))


def test_calls_and_results_are_true() -> None:
    calls = results = others = 0
    for sample in drawn(300):
        assert sample.messages[0] == SYSTEM
        if sample.calls:
            calls += 1
            expression = read_call("chatglm3", sample.answer)["expression"]
            assert sample.closing == ()
        elif sample.closing:
            results += 1
            said, observed = sample.closing
            expression = read_call("chatglm3", said.content)["expression"]
            assert (said.metadata, observed.role) == (NAME, "observation")
            assert eval(expression) == int(observed.content)
            assert sample.answer[:-1] == f"{expression.replace('*', '×')}={observed.content}"
        else:
            others += 1
            continue
        assert all(number in sample.question for number in expression.replace("*", "-").replace("+", "-").split("-"))
    assert min(calls, results, others) > 30


def test_every_sample_fits_a_row(tokenizer: GLMSentencePieceTokenizer) -> None:
    assert max(len(encoded(tokenizer, sample, 1000).tokens) for sample in drawn(500)) <= GLMDemo.plan.row


def test_a_call_is_learned_with_its_name_as_chatglm3_writes_it(tokenizer: GLMSentencePieceTokenizer) -> None:
    sample = next(sample for sample in drawn(50) if sample.calls)
    targets = encoded(tokenizer, sample, 256).targets
    assert targets[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(targets[:-1]).replace(" ", "") == f"{NAME}\n{sample.answer}".replace(" ", "")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("calculator\n```python\ntool_call(expression='12345+6')\n```", True),
        ('calculator\n ```python\ntool_call(expression = "12345+6")\n```', True),
        ("calculator\n```python\ntool_call(expression='12345+7')\n```", False),
        ("weather\n```python\ntool_call(expression='12345+6')\n```", False),
        ("calculator\n```python\nopen('x')\n```", False),
        ("12345+6=12351.", False),
    ],
)
def test_a_call_is_checked_by_its_expression(answer: str, right: bool) -> None:
    assert CALCULATOR.check(answer, "```python\ntool_call(expression='12345+6')\n```") is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [("12345+6=12351.", True), ("It is 12351.", True), ("12345+6=12350.", False), ("12345+6=12351", False)],
)
def test_a_result_is_checked_by_its_number(answer: str, right: bool) -> None:
    assert CALCULATOR.check(answer, "12345+6=12351.") is right


def test_held_out_operands_are_never_trained_on() -> None:
    rng = Random(1)
    held_out = {CALCULATOR.draw(rng, "new operands").operand for _ in range(100)}
    assert held_out.isdisjoint(sample.operand for sample in islice(drawn(500), 500))
