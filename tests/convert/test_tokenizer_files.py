"""Converted tokenizers give the recorded ids, and those of the library that the original is made for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import recorded
from mixed_texts import mixed_texts
from original_ids import original_ids, ranked_ids
from sentencepiece import SentencePieceProcessor
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from transformers import AddedToken, AutoTokenizer

from fastglm.convert import ranks
from fastglm.convert.conversion import convert
from fastglm.convert.kinds import Layout
from fastglm.convert.pieces import to_tokenizer
from fastglm.errors import CheckpointError
from fastglm.models.glm.fast_tokenizer import GLMFastTokenizer
from fastglm.models.source import demo_folder

Converted = Callable[[str], Path]
WITH_TEXTS = ("chatglm2", "chatglm3", "glm4")


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """Ids of a text in which control tokens have no names."""
    return tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)


@pytest.mark.parametrize("name", WITH_TEXTS)
def test_recorded_texts_have_their_ids(converted: Converted, name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted(name))
    for case in recorded.expected(name)["tokenizer"]:
        plain = case.get("ids_as_plain_text", case["ids_without_special"])
        assert plain_ids(tokenizer, case["text"]) == plain
        if plain == case["ids_without_special"] == tokenizer.encode(case["text"], add_special_tokens=False):
            assert tokenizer(case["text"])["input_ids"] == case["input_ids"]
            assert tokenizer.decode(plain) == case["decoded"]


@pytest.mark.parametrize("name", WITH_TEXTS)
def test_mixed_texts_have_the_ids_of_the_original(converted: Converted, name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted(name))
    original, ours = original_ids(recorded.folder(name)), AutoTokenizer.from_pretrained(recorded.folder(name))
    for text in mixed_texts(500, seed=16):
        assert plain_ids(tokenizer, text) == original(text) == ours.encode_text(text), text


@pytest.mark.parametrize("name", ["chatglm3", "glm4"])
def test_tokens_that_a_user_added_are_kept(tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    shutil.copytree(recorded.folder(name), source)
    ours = AutoTokenizer.from_pretrained(source)
    ours.add_tokens(["<词>", AddedToken("<ctl>", special=True)], special_tokens=False)
    ours.save_pretrained(source)
    converted = AutoTokenizer.from_pretrained(convert(source, Layout.glm, tmp_path / "out"))
    for text in ("你好<词>世界<词><词>", "a <词> b", "<ctl>x"):
        assert converted(text).input_ids == ours(text).input_ids


def test_unigram_models_have_the_ids_of_the_original() -> None:
    file = demo_folder() / "ice_text.model"
    model = ModelProto()
    model.ParseFromString(file.read_bytes())
    tokenizer, original = to_tokenizer(model, {}), SentencePieceProcessor(str(file))
    for text in mixed_texts(500, seed=17):
        for each in (text, text.replace("\n", "<n>").replace("  ", "<|blank_2|>")):
            assert tokenizer.encode(each).ids == original.encode(each), each


def test_user_defined_pieces_have_the_ids_of_the_original() -> None:
    model = ModelProto()
    model.ParseFromString((recorded.folder("chatglm3") / "tokenizer.model").read_bytes())
    for piece in ("<n>", "<n><n>", "==", "hello", "。！", "\n\n"):
        model.pieces.add(piece=piece, type=4)
    tokenizer, original = to_tokenizer(model, {}), SentencePieceProcessor(model_proto=model.SerializeToString())
    for text in mixed_texts(500, seed=19):
        each = text.replace("\t", "<n>")
        assert tokenizer.encode(each).ids == original.encode(each), each


def test_words_that_no_merges_give_and_long_numbers_have_the_ids_of_the_original() -> None:
    words = [bytes([byte]) for byte in range(256)] + [b"abc", b"12", b"123", b"34", b"the", b"th", b" th", b"'s", b"'S"]
    ranked = {word: rank for rank, word in enumerate(words)}
    tokenizer, original = ranks.to_tokenizer(ranked, {}), ranked_ids(ranked)
    for text in ("abc", "abcd", " abc", "1234", "12341234", "the the", "it's", "IT'S", "aabc abc\nabc", "你好12"):
        assert tokenizer.encode(text).ids == original(text), text


def _messages(case: dict[str, Any]) -> list[dict[str, Any]]:
    if "messages" in case:
        return case["messages"]
    history = [
        {"role": role, "content": text}
        for pair in case["history"]
        if isinstance(pair, list)
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ] or case["history"]
    return [*history, {"role": case.get("role", "user"), "content": case["query"]}]


@pytest.mark.parametrize("name", ["chatglm2", "chatglm3", "glm4"])
def test_conversations_have_their_recorded_ids(converted: Converted, name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted(name))
    cases = recorded.expected(name)["chat"]
    for case in cases:
        found = tokenizer.apply_chat_template(_messages(case), add_generation_prompt=True, return_dict=False)
        assert found == case["input_ids"]


def test_tools_of_chatglm3_have_their_recorded_ids(converted: Converted) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted("chatglm3"))
    model = SentencePieceProcessor(str(recorded.folder("chatglm3") / "tokenizer.model"))
    other = SentencePieceProcessor(str(recorded.folder("chatglm3-tools") / "tokenizer.model"))
    assert [model.id_to_piece(i) for i in range(700)] == [other.id_to_piece(i) for i in range(700)]
    for case in recorded.expected("chatglm3-tools")["chat"]:
        if "<|user|>" not in case["query"]:  # a plain tokenizer.json takes it for the control token
            found = tokenizer.apply_chat_template(_messages(case), add_generation_prompt=True, return_dict=False)
            assert found == case["input_ids"]


def test_templates_that_write_sop_are_replaced(tmp_path: Path) -> None:
    shutil.copytree(recorded.folder("chatglm3"), tmp_path / "source")
    config = json.loads((tmp_path / "source" / "tokenizer_config.json").read_text())
    config["chat_template"] = "[gMASK]sop{% for m in messages %}<|{{ m['role'] }}|>\n {{ m['content'] }}{% endfor %}"
    (tmp_path / "source" / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = AutoTokenizer.from_pretrained(convert(tmp_path / "source", Layout.glm, tmp_path / "out"))
    case = recorded.expected("chatglm3")["chat"][0]
    found = tokenizer.apply_chat_template(_messages(case), add_generation_prompt=True, return_dict=False)
    assert found == case["input_ids"]


@pytest.mark.parametrize("place", ["tokenizer_config.json", "chat_template.jinja", None])
def test_template_of_glm4_is_its_own_if_it_has_one(tmp_path: Path, place: str | None) -> None:
    shutil.copytree(recorded.folder("glm4"), tmp_path / "source")
    path = tmp_path / "source" / "tokenizer_config.json"
    config = json.loads(path.read_text())
    template = config.pop("chat_template") + "END"
    if place == "chat_template.jinja":
        (tmp_path / "source" / place).write_text(template)
    path.write_text(json.dumps(config | ({"chat_template": template} if place == path.name else {})))
    tokenizer = AutoTokenizer.from_pretrained(convert(tmp_path / "source", Layout.glm, tmp_path / "out"))
    case = recorded.expected("glm4")["chat"][2]
    text = tokenizer.apply_chat_template(case["messages"], add_generation_prompt=True, tokenize=False)
    assert text == case["text"] + ("END" if place else "")


def test_tools_may_be_an_argument(converted: Converted) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted("chatglm3"))
    tool = {"name": "add", "description": "加", "parameters": {"type": "object", "properties": {}}}
    system = "Answer the following questions as best as you can. You have access to the following tools:"
    said = [{"role": "user", "content": "1+1"}]
    wanted = tokenizer.apply_chat_template([{"role": "system", "content": system, "tools": [tool]}, *said])
    wrapped = [{"type": "function", "function": tool}]
    assert tokenizer.apply_chat_template(said, tools=wrapped) == wanted
    assert tokenizer.apply_chat_template([{"role": "system", "content": system}, *said], tools=wrapped) == wanted


@pytest.mark.parametrize(("kind", "said"), [(5, "apart"), (1, "and not '~'")])
def test_pieces_that_merges_cannot_give_are_refused(kind: int, said: str) -> None:
    model = ModelProto()
    model.ParseFromString((recorded.folder("chatglm3") / "tokenizer.model").read_bytes())
    model.pieces.add(piece="~~", type=kind, score=-999)
    with pytest.raises(CheckpointError, match=said):
        to_tokenizer(model, {})


@pytest.mark.parametrize("name", WITH_TEXTS)
def test_tokens_stand_for_the_bytes_of_the_original(converted: Converted, name: str) -> None:
    tokenizer = GLMFastTokenizer.from_pretrained(converted(name), generation=name)
    ours = AutoTokenizer.from_pretrained(recorded.folder(name))
    ids = range(len(ours) + 4)
    assert tokenizer.token_bytes(ids) == ours.token_bytes(ids)
