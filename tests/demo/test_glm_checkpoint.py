"""The shipped second demo model: its layout, its size, its calculator, and answers as good as its card says."""

import json
import re
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fastglm.demo.evaluation.skills import evaluate_skills, held_out_questions
from fastglm.demo.skills import GLM_SKILLS
from fastglm.demo.skills.calculator import NAME, SYSTEM, Calculator
from fastglm.models.glm.tools import role_history
from fastglm.models.source import demo_folder

FOLDER = demo_folder("demo-glm")
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
OFFERED = role_history([SYSTEM])


def told(line: str) -> float:
    """A share in the card, by the beginning of its line."""
    found = re.search(rf"^\| {line} \| ([\d.]+)%", CARD, re.MULTILINE)
    assert found, line
    return float(found[1]) / 100


def test_the_checkpoint_is_whole_and_small() -> None:
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert {"config.json", "tokenizer_config.json", "tokenizer.model", "model.safetensors", "README.md"} <= files.keys()
    assert "training.pt" not in files
    assert files["model.safetensors"] <= 20e6
    assert sum(files.values()) <= 20e6
    assert {tensor.dtype for tensor in load_file(FOLDER / "model.safetensors").values()} == {torch.bfloat16}


def test_the_config_is_of_a_small_chatglm3(demo_glm: Any) -> None:
    config = json.loads((FOLDER / "config.json").read_text())
    assert {"model_type": "chatglm", "generation": "chatglm3", "multi_query_group_num": 2}.items() <= config.items()
    assert demo_glm[0].config.kv_heads(0) < demo_glm[0].config.query_heads(0)
    assert config["hidden_size"] % 32 == config["ffn_hidden_size"] % 32 == 0  # as converted files need
    assert 8e6 <= demo_glm[0].fastglm.parameters <= 10e6


def test_the_card_tells_of_right_answers_and_of_a_calculator_that_is_called_rightly() -> None:
    assert told("held-out questions answered right") >= 0.93
    assert told(NAME) >= 0.9


def test_held_out_questions_are_answered_as_the_card_says(demo_glm: Any) -> None:
    """A sample of the suite's questions; the card has all of them."""
    report = evaluate_skills(*demo_glm, held_out_questions(2, GLM_SKILLS))
    assert len(report.questions) > 200
    assert report.accuracy() == pytest.approx(told("held-out questions answered right"), abs=0.04)
    assert report.false_refusals <= 0.02


@pytest.mark.parametrize(
    ("language", "expression", "result", "answer"),
    [
        ("en", "48213+7755", "55968", "48213+7755=55968."),
        ("zh", "48213+7755", "55968", "48213+7755=55968。"),
        ("en", "48213+7755", "123456", "48213+7755=123456."),  # whatever the calculator says
    ],
)
def test_a_large_sum_goes_to_the_calculator_and_its_result_is_told(
    demo_glm: Any, language: str, expression: str, result: str, answer: str
) -> None:
    model, tokenizer = demo_glm
    asked = Calculator.examples[language]  # type: ignore[index]
    call, history = model.chat(tokenizer, asked, OFFERED, do_sample=False)
    assert call == {"name": NAME, "parameters": {"expression": expression}}
    said, _ = model.chat(tokenizer, result, history, role="observation", do_sample=False)
    assert said == answer


@pytest.mark.parametrize(
    ("history", "question", "answer"),
    [
        ([], "1+1=?", "1+1=2。"),
        (OFFERED, "What is the capital of France?", "The capital of France is Paris."),  # a tool is offered in vain
        ([], "法国的首都是哪里？", "法国的首都是巴黎。"),
        ([("我叫王小明。", "你好，王小明！很高兴认识你。")], "我叫什么名字？", "你叫王小明。"),
    ],
)
def test_greedy_answers(demo_glm: Any, history: list[Any], question: str, answer: str) -> None:
    response, _ = demo_glm[0].chat(demo_glm[1], question, history, do_sample=False)
    assert response == answer
