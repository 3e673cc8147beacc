"""The second demo model's vocabulary: ChatGLM3's layout, and the pieces of the first."""

from itertools import islice
from pathlib import Path

import pytest
from transformers import AutoTokenizer

import fastglm  # noqa: F401  (registers the tokenizer)
from fastglm.demo.corpus import training_samples
from fastglm.demo.glm_vocabulary import VOCABULARY_FILE, ids_in_first, write_vocabulary
from fastglm.models.chatglm.tokenizer import ChatGLM6BTokenizer
from fastglm.models.glm.sp_tokenizer import GLMSentencePieceTokenizer
from fastglm.models.source import demo_folder

FIRST = ChatGLM6BTokenizer(str(demo_folder() / "ice_text.model"), num_image_tokens=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vocabulary")
    write_vocabulary(demo_folder() / "ice_text.model", out)
    return out


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> GLMSentencePieceTokenizer:
    return GLMSentencePieceTokenizer(str(folder / VOCABULARY_FILE), generation="chatglm3")


def test_ordinary_texts_have_the_same_pieces(tokenizer: GLMSentencePieceTokenizer) -> None:
    same = ids_in_first(tokenizer, FIRST)
    for step in range(10):
        for sample in islice(training_samples(0, step), 40):
            for text in (sample.question, sample.answer):
                assert same[tokenizer.encode_text(text)].tolist() == FIRST.encode_text(text), text


def test_no_two_pieces_have_the_same_id_in_the_first(tokenizer: GLMSentencePieceTokenizer) -> None:
    known = [id for id in ids_in_first(tokenizer, FIRST).tolist() if id >= 0]
    assert len(known) == len({*known}) > 4200


def test_texts_come_back(tokenizer: GLMSentencePieceTokenizer) -> None:
    for text in ("床前明月光\n疑是地上霜", "a  b    c", "347+285=632。", "鑫🙂 <n> [gMASK]"):
        assert tokenizer.decode(tokenizer.encode_text(text)) == text


def test_transformers_reads_it(folder: Path, tokenizer: GLMSentencePieceTokenizer) -> None:
    found = AutoTokenizer.from_pretrained(folder)
    assert found.generation == "chatglm3"
    assert found.get_command("<|user|>") == tokenizer.get_command("<|user|>") == len(tokenizer) - 3
