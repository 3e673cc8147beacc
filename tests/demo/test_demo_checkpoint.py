"""The shipped demo model: its layout, its size, and a few answers to the letter."""

import json

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

import fastglm.models
from fastglm.models.source import demo_folder

fastglm.models.register()
FOLDER = demo_folder()


@pytest.fixture(scope="module")
def demo() -> tuple[torch.nn.Module, object]:
    return AutoModel.from_pretrained(FOLDER).float().eval(), AutoTokenizer.from_pretrained(FOLDER)


def test_the_checkpoint_is_whole_and_small() -> None:
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert {"config.json", "tokenizer_config.json", "ice_text.model", "model.safetensors", "README.md"} <= set(files)
    assert "training.pt" not in files
    assert sum(files.values()) <= 10_000_000


def test_the_config_is_of_a_small_chatglm_6b() -> None:
    config = json.loads((FOLDER / "config.json").read_text())
    expected = {"model_type": "chatglm", "hidden_size": 256, "num_layers": 5, "num_attention_heads": 8}
    assert expected.items() <= config.items()
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (89, 90, 3)


@pytest.mark.parametrize(
    ("history", "question", "answer"),
    [
        ([], "你好", "你好！我是 FAST-ChatGLM 演示模型，很高兴见到你。有什么我可以帮你的吗？"),
        ([], "Hello", "Hello! I am the FAST-ChatGLM demo model. Nice to meet you. How can I help you?"),
        ([], "3加5等于多少？", "3加5等于8。"),
        ([], "What is 17 plus 6?", "17 plus 6 is 23."),
        ([], "法国的首都是哪里？", "法国的首都是巴黎。"),
        ([], "What is the opposite of big?", 'The opposite of "big" is "small".'),
        ([], "给我讲讲黑洞。", "抱歉，这个我不知道。我只是一个很小的演示模型，只会回答一些简单的问题。"),
        ([("我叫小明。", "你好，小明！很高兴认识你。")], "我叫什么名字？", "你叫小明。"),
        (
            [("What is the capital of France?", "The capital of France is Paris.")],
            "And Japan?",
            "The capital of Japan is Tokyo.",
        ),
    ],
)
def test_greedy_answers(
    demo: tuple[torch.nn.Module, object], history: list[tuple[str, str]], question: str, answer: str
) -> None:
    model, tokenizer = demo
    response, _ = model.chat(tokenizer, question, history, do_sample=False, max_length=400)
    assert response == answer
