"""Answers that LangChain, LiteLLM and OpenAI's client get from a server are those of `fastglm.stream`.

The clients are installed into an environment of their own: together they are too large, and bound to too many versions
of others, for the one of all tests.
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from recorded import folder
from serving import served

import fastglm
from fastglm.hosting.protocol import HostKey
from fastglm.models.glm.calls import write_call

pytestmark = pytest.mark.soak
ROOT = Path(__file__).parents[3]
QUESTION, HISTORY, TOKENS = "你好", [{"role": "system", "content": "短。"}], 24  # those of asking.py


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the extra `clients`."""
    place = tmp_path_factory.mktemp("clients")
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["clients"]
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    found = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = subprocess.run([found, "-m", "pip", "install", "--quiet", *wanted], capture_output=True, text=True)
    if install.returncode and any(
        sign in install.stderr for sign in ("No matching distribution", "NewConnectionError")
    ):
        pytest.skip(f"no package index is in reach, from which the clients come: {install.stderr.splitlines()[-1]}")
    assert install.returncode == 0, install.stderr
    return found


def greedy(loaded: Any, prompt: Any, history: Any = None, **settings: Any) -> Any:
    return [*fastglm.stream(*loaded, prompt, history, do_sample=False, **settings)][-1]


def test_clients_get_the_answers_of_the_library(python: Path, home_of_module: None) -> None:
    pairs, third = folder("chatglm"), folder("chatglm3-32k")
    with served(HostKey(str(pairs), "fast", "cpu")) as one, served(HostKey(str(third), "fast", "cpu")) as two:
        urls = [str(client.base_url).rstrip("/") for client in (one, two)]
        arguments = [python, Path(__file__).with_name("asking.py"), urls[1], third.name, urls[0]]
        asked = subprocess.run(arguments, capture_output=True, text=True, timeout=600)
    assert asked.returncode == 0, asked.stderr
    found = json.loads(asked.stdout.splitlines()[-1])
    model, tokenizer = fastglm.load(pairs, "fast", "cpu")
    answer, history = model.chat(tokenizer, QUESTION, [], max_length=80, temperature=0)
    assert found.pop("ChatGLM") == [answer, model.chat(tokenizer, "2", history, max_length=80, temperature=0)[0]]
    loaded = fastglm.load(third, "fast", "cpu")
    assert found.pop("ChatGLM, of ChatGLM3") == greedy(loaded, QUESTION, max_length=80).text
    chat = greedy(loaded, QUESTION, HISTORY, max_new_tokens=TOKENS).text
    ids = loaded[1].build_inputs_with_special_tokens(loaded[1].encode_text(QUESTION))
    text = greedy(loaded, ids, max_new_tokens=TOKENS).text
    assert found.pop("openai, asynchronous") == [chat, chat]
    for name in list(found):
        if "a form" in name:
            assert found.pop(name) in ({"exact": True}, {"exact": False})
        elif name.endswith(("tools", "a tool")):
            for called, arguments in found.pop(name):
                assert called == "get_weather"
                assert arguments in ({"city": "a"}, {"city": "b"})
                assert write_call("chatglm3", json.dumps(arguments))
    assert found == {name: text if name == "OpenAI" or name.endswith("texts") else chat for name in found}
    assert len(found) == 11
