"""The generation of a checkpoint, from the hints of its folder, in the order of certainty."""

import json

import pytest
from recorded import folder
from transformers import AutoConfig

from fastglm.errors import CheckpointError
from fastglm.models.glm.config import GLMConfig
from fastglm.models.glm.generation import GENERATIONS, decide

ROLES = {"additional_special_tokens": ["<|user|>", "<|observation|>"]}
RANKS = {"added_tokens_decoder": {"9": {"content": "<|endoftext|>"}, "10": {"content": "<|user|>"}}}
CODE = {
    "chatglm2": 'prompt += "[Round {}]\\n\\n问：{}\\n\\n答：{}"',
    "chatglm3": 'role_special_tokens = ["<|system|>", "<|user|>"]',
    "glm4": 'import tiktoken\nself.special_tokens = ["<|user|>"]',
}
CHATGLM = {"model_type": "chatglm", "multi_query_group_num": 2, "layernorm_epsilon": 1e-5}
GLM4 = {"layernorm_epsilon": 1.5625e-07}


def decided(tmp_path, fields, tokenizer=None, code=None):
    """The decision on a folder with these files."""
    made = tmp_path / "checkpoint"
    made.mkdir()
    if tokenizer is not None:
        (made / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    if code is not None:
        (made / "tokenization_chatglm.py").write_text(code)
    return decide({**CHATGLM, **fields}, made)


@pytest.mark.parametrize(
    ("fields", "tokenizer", "code", "wanted"),
    [
        ({"generation": "chatglm2", "seq_length": 8192}, ROLES, CODE["glm4"], "chatglm2"),
        ({}, {"generation": "chatglm2"}, CODE["chatglm2"], "chatglm2"),
        ({}, ROLES, None, "chatglm3"),
        (GLM4, RANKS, None, "glm4"),
        ({}, {"chat_template": "{% for m in messages %}[Round {{ n }}]"}, None, "chatglm2"),
        ({}, {"chat_template": "<|user|>{{ message }}"}, None, "chatglm3"),
        ({}, {}, CODE["chatglm2"], "chatglm2"),
        ({}, {}, CODE["chatglm3"], "chatglm3"),
        (GLM4, {}, CODE["glm4"], "glm4"),
        ({"rotary_percent": 0.5}, {}, CODE["chatglm2"], "codegeex2"),
        ({"rotary_percent": 0.5}, None, None, "codegeex2"),
        (GLM4, None, None, "glm4"),
        ({"rope_ratio": 50, "seq_length": 32768}, {}, CODE["chatglm3"], "chatglm3"),
        ({"rope_ratio": 16, "transformers_version": "4.41.2"}, {}, CODE["chatglm2"], "chatglm2"),
        ({"transformers_version": "4.41.2", "seq_length": 32768}, ROLES, None, "chatglm3"),
        ({"rotary_percent": 0.5, "transformers_version": "4.41.2"}, {"added_tokens_decoder": {}}, None, "codegeex2"),
        ({**GLM4, "transformers_version": "4.44.0", "seq_length": 1048576}, RANKS, None, "glm4"),
    ],
)  # fmt: skip
def test_a_folder_that_tells_is_believed_without_a_word(tmp_path, fields, tokenizer, code, wanted):
    assert decided(tmp_path, fields, tokenizer, code) == (wanted, None)


@pytest.mark.parametrize(
    ("fields", "wanted", "by"),
    [
        ({"transformers_version": "4.27.1", "seq_length": 32768}, "chatglm2", "transformers_version"),
        ({"transformers_version": "4.30.2", "seq_length": 32768}, "chatglm3", "transformers_version"),
        ({"transformers_version": "5.0.0", "seq_length": 8192}, "chatglm3", "its context"),
        ({"transformers_version": "5.0.0", "rope_ratio": 16}, "chatglm2", "its context"),
        ({"_name_or_path": "THUDM/chatglm2-6b"}, "chatglm2", "its name"),
        ({"transformers_version": "5.0.0"}, "chatglm3", "a field of its config"),
        ({"rope_ratio": 50, "_name_or_path": "THUDM/chatglm2-6b"}, "chatglm3", "its context"),
    ],
)
def test_an_assumption_is_said_in_a_line(tmp_path, fields, wanted, by):
    found, line = decided(tmp_path, fields, {})
    assert found == wanted
    assert f"a {GENERATIONS[wanted].title} checkpoint, by {by}" in line
    assert "set generation to" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("fields", "tokenizer", "code", "wanted", "against"),
    [
        ({"transformers_version": "4.27.1"}, {}, CODE["chatglm3"], "chatglm3", "transformers_version in its config"),
        ({"transformers_version": "4.30.2"}, {}, CODE["chatglm2"], "chatglm2", "transformers_version in its config"),
        ({"rope_ratio": 50}, {}, CODE["chatglm2"], "chatglm2", "its context"),
        ({"_name_or_path": "chatglm2-6b"}, ROLES, None, "chatglm3", "its name"),
        ({}, ROLES, CODE["chatglm2"], "chatglm3", "tokenization_chatglm.py"),
        ({"rotary_percent": 0.5}, ROLES, None, "chatglm3", "a field of its config"),
        (GLM4, {}, CODE["chatglm3"], "chatglm3", "a field of its config"),
        ({}, RANKS, None, "glm4", "a field of its config"),
        ({}, {"generation": "chatglm2"}, CODE["chatglm3"], "chatglm2", "tokenization_chatglm.py"),
        ({"transformers_version": "4.27.1", "seq_length": 8192}, None, None, "chatglm2", "its context"),
    ],
)
def test_the_first_of_hints_that_disagree_counts(tmp_path, fields, tokenizer, code, wanted, against):
    found, line = decided(tmp_path, fields, tokenizer, code)
    assert found == wanted
    assert f"although {against} says otherwise" in line
    assert "\n" not in line


def test_the_name_of_a_model_in_the_cache_of_a_hub_counts(tmp_path):
    place = tmp_path / "models--me--ChatGLM2-6B-mine" / "snapshots" / "0123456789"
    place.mkdir(parents=True)
    assert decide(CHATGLM, place)[0] == "chatglm2"


@pytest.mark.parametrize("value", [5, ["chatglm2"], {}, "", "chatglm"])
def test_values_that_are_no_generation_are_refused_or_passed_over(tmp_path, value):
    with pytest.raises(CheckpointError, match="known are chatglm2"):
        decide({**CHATGLM, "generation": value})
    assert decided(tmp_path, {}, {"generation": value}, CODE["chatglm2"]) == ("chatglm2", None)


# By recorded folder: its generation, and the one that its config alone tells after transformers has saved it again.
AGAIN = {
    "chatglm2": ("chatglm2", "chatglm3"),
    "chatglm2-32k": ("chatglm2", "chatglm2"),
    "chatglm3": ("chatglm3", "chatglm3"),
    "chatglm3-32k": ("chatglm3", "chatglm3"),
    "codegeex2": ("codegeex2", "codegeex2"),
    "glm4": ("glm4", "glm4"),
}


@pytest.mark.parametrize("name", AGAIN)
def test_a_recorded_folder_is_told_fresh_and_when_it_was_saved_again(name, tmp_path):
    wanted, from_config = AGAIN[name]
    fields = json.loads((folder(name) / "config.json").read_text())
    assert decide(fields, folder(name))[0] == wanted
    saved = {key: value for key, value in fields.items() if key not in ("_name_or_path", "auto_map")}
    saved |= {"transformers_version": "4.41.2", "architectures": ["ChatGLMForConditionalGeneration"]}
    assert decided(tmp_path, saved, {"added_tokens_decoder": {}})[0] == from_config
    (tmp_path / "checkpoint" / "tokenization_chatglm.py").write_text(CODE.get(wanted, CODE["chatglm2"]))
    assert decide(saved, tmp_path / "checkpoint")[0] == wanted
    GLMConfig.from_dict({**saved, "generation": wanted}).save_pretrained(tmp_path / "ours")
    assert AutoConfig.from_pretrained(tmp_path / "ours").generation == wanted
    assert AutoConfig.from_pretrained(tmp_path / "ours").assumed is None


def test_code_beside_a_checkpoint_is_not_run(tmp_path):
    decided(tmp_path, {}, {}, f"open({str(tmp_path / 'run')!r}, 'w')\n{CODE['chatglm2']}")
    assert not (tmp_path / "run").exists()


def test_an_unknown_generation_is_refused_by_name():
    with pytest.raises(CheckpointError, match="'chatglm5'; known are chatglm2, chatglm3, glm4, codegeex2"):
        decide({"generation": "chatglm5"})


def test_the_caller_of_auto_config_can_say_it(tmp_path):
    told = AutoConfig.from_pretrained(folder("chatglm3-32k"), generation="chatglm2")
    assert (told.generation, told.rules.ratio, told.assumed) == ("chatglm2", "position", None)
    told.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert (again.generation, again.assumed) == ("chatglm2", None)
