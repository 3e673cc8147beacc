"""The installed peers on a tiny model: each writes it, loads it and answers."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers.chatglm import ChatGLMCpp, own_threads
from benchmarks.peers.peer import OwnProcess, lacking
from benchmarks.peers.published import Published
from benchmarks.peers.registry import all_peers
from benchmarks.peers.sizes import Sizes
from fastglm.errors import HostError, UsageError

SIZES = Sizes(layers=2, hidden=64, heads=2, kv_heads=2, inner=256, vocabulary=512, context=64)
GATED = replace(SIZES, kv_heads=1, gated=True)
PROMPT = [5, 300, 17, 9, 200, 11]
OWN = [name for name, peer in all_peers().items() if isinstance(peer, OwnProcess) and name != "published"]

# A model in the interface of the published code that answers with the token after the last one.
MODEL = """
from types import SimpleNamespace

import torch
from transformers import PreTrainedModel

from .configuration_chatglm import ChatGLMConfig


class ChatGLMForConditionalGeneration(PreTrainedModel):
    config_class = ChatGLMConfig

    def __init__(self, config):
        super().__init__(config)
        self.dense = torch.nn.Linear(config.hidden_size, config.inner_hidden_size)
        self.input_layernorm = torch.nn.LayerNorm(config.hidden_size)
        print("loaded")  # must not reach who listens

    def stream_generate(self, input_ids, max_length, do_sample, eos_token_id):
        assert self.dense.weight.std() < 0.1 and self.input_layernorm.weight.min() == 1
        assert (do_sample, eos_token_id) == (False, -1)
        while input_ids.shape[1] < max_length - 1:
            input_ids = torch.cat((input_ids, input_ids[:, -1:] + 1), 1)
            yield input_ids
"""
CONFIG = """
from transformers import PretrainedConfig


class ChatGLMConfig(PretrainedConfig):
    model_type = "chatglm"
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like that of the published code."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "modeling_chatglm.py").write_text(MODEL)
    (folder / "configuration_chatglm.py").write_text(CONFIG)
    auto = {
        "AutoConfig": "configuration_chatglm.ChatGLMConfig",
        "AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration",
    }
    (folder / "config.json").write_text(json.dumps({"model_type": "chatglm", "auto_map": auto}))
    return folder


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("sizes", [SIZES, GATED], ids=["plain", "gated"])
def test_a_tiny_model_is_written_and_answers(name: str, sizes: Sizes, tmp_path: Path) -> None:
    peer = all_peers()[name]
    assert isinstance(peer, OwnProcess)
    if sizes.gated and "llama" not in name:
        with pytest.raises(UsageError, match="layers like those of ChatGLM-6B only"):
            peer.write(sizes, tmp_path)
        return
    if reason := peer.missing():
        pytest.skip(reason)
    peer.write(sizes, tmp_path)
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert peer.bits / 8 * sizes.weights < size < 3 * (sizes.weights + sizes.embedding)
    engine = peer.load(tmp_path, sizes, own_threads() if "chatglm" in name else 1)
    assert any(character.isdigit() for character in engine.notes[0])
    answer = list(engine.generate(PROMPT, 4))
    assert len(answer) == 4
    assert all(0 <= token < sizes.vocabulary for token in answer)
    assert list(engine.generate([*PROMPT[:-1], 400], 4)) != answer
    assert list(engine.generate(PROMPT, 4)) == answer  # nothing is left of the answer before
    if "llama" in name:  # the others attend to the prompt in both directions: a token of an answer differs
        assert list(engine.generate([*PROMPT, *answer[:3]], 1)) == answer[3:]


def test_chatglm_cpp_is_not_measured_with_other_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    with pytest.raises(UsageError, match="takes 8 threads here and cannot be told otherwise: use --threads 8"):
        ChatGLMCpp("q4_0", 4.5).load(tmp_path, SIZES, 2)


def test_the_published_code_answers_in_its_own_python(code: Path, tmp_path: Path) -> None:
    peer = Published(code, sys.executable)
    assert peer.missing() is None
    place = tmp_path / "published"
    place.mkdir()
    peer.write(SIZES, place)
    engine = Published().load(place, SIZES, 1)
    assert [note.split()[0] for note in engine.notes] == ["published", "transformers", "torch"]
    assert list(engine.generate([5, 6], 3)) == [7, 8, 9]
    assert list(engine.generate([5], 1)) == [6]
    with pytest.raises(HostError, match="the published code ended with status 1"):
        list(engine.generate(["five"], 1))  # type: ignore[list-item]


def test_missing_packages_and_files_are_named(tmp_path: Path) -> None:
    assert lacking("abacus", "json", "counters") == "abacus and counters not installed: pip install 'fastglm[peers]'"
    assert lacking("json") is None
    assert "no folder was named" in str(Published().missing())
    assert Published(tmp_path, sys.executable).missing() == f"{tmp_path} has no modeling_chatglm.py"
    (tmp_path / "modeling_chatglm.py").touch()
    assert Published(tmp_path, "nopython").missing() == "nopython does not have torch and transformers"
