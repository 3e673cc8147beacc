"""Answers of a real model over HTTP are those of `fastglm.stream`."""

from typing import Any

import httpx
import pytest
from recorded import folder
from serving import served

import fastglm
from fastglm.hosting.protocol import HostKey

QUESTION = "你好"


@pytest.fixture(scope="module")
def loaded(home_of_module: None) -> tuple[Any, Any]:
    return fastglm.load(folder("chatglm3"), "fast", "cpu")


def text_of(loaded: tuple[Any, Any], prompt: Any, history: Any = None, **settings: Any) -> str:
    """The greedy answer of `fastglm.stream`."""
    return [*fastglm.stream(*loaded, prompt, history, do_sample=False, **settings)][-1].text


def test_the_published_answer_is_that_of_the_library(chatglm3: httpx.Client, loaded: tuple[Any, Any]) -> None:
    history: list[dict[str, str]] = []
    for prompt in (QUESTION, "再说一次", "ok"):
        content = chatglm3.post("/", json={"prompt": prompt, "history": history, "max_length": 80, "temperature": 0})
        assert content.status_code == 200, content.text
        assert content.json()["response"] == text_of(loaded, prompt, history, max_length=80)
        history = content.json()["history"]


def test_pairs_are_the_history_of_chatglm_6b(home_of_module: None) -> None:
    model, tokenizer = fastglm.load(folder("chatglm"), "fast", "cpu")
    history: list[tuple[str, str]] = []
    with served(HostKey(str(folder("chatglm")), "fast", "cpu")) as client:
        for prompt in (QUESTION, "2"):
            fields = {"prompt": prompt, "history": history, "max_length": 20_000, "temperature": 0}
            content = client.post("/", json=fields).json()  # beyond the context
            response, after = model.chat(tokenizer, prompt, history, max_length=20_000, temperature=0)
            assert content["response"] == response
            assert content["history"] == [list(pair) for pair in after]
            history = after
