"""The demo tokenizer has the published layout."""

import json
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor

from fastglm.demo.corpus import vocabulary_texts
from fastglm.demo.tokenizer import VOCABULARY_FILE, train_tokenizer

GOLDEN = Path(__file__).parents[1] / "golden" / "chatglm"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(vocabulary_texts(0), out, 1984)
    return out


@pytest.fixture(scope="module")
def model(folder: Path) -> SentencePieceProcessor:
    return SentencePieceProcessor(str(folder / VOCABULARY_FILE))


def test_the_control_tokens_and_bytes_are_at_their_published_places(model: SentencePieceProcessor) -> None:
    golden = SentencePieceProcessor(str(GOLDEN / VOCABULARY_FILE))
    first = golden.piece_to_id("<0xFF>") + 1
    assert [model.id_to_piece(i) for i in range(first)] == [golden.id_to_piece(i) for i in range(first)]
    assert model.get_piece_size() == 1984


def test_the_config_says_what_the_published_one_says(folder: Path) -> None:
    published = json.loads((GOLDEN / "tokenizer_config.json").read_text())
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert set(published) - set(config) == {"auto_map"}
    assert {key for key in config if config[key] != published[key]} == {"name_or_path"}


def test_digits_and_chinese_characters_are_tokens_of_their_own(model: SentencePieceProcessor) -> None:
    assert model.encode("12+345", out_type=str) == ["▁", "1", "2", "+", "3", "4", "5"]
    assert model.encode("法国的首都。", out_type=str) == ["▁", "法", "国", "的", "首", "都", "。"]
    assert max(len(model.id_to_piece(i)) for i in range(model.piece_to_id("<0xFF>") + 1, 1984)) >= 8  # English words


def test_every_text_survives(model: SentencePieceProcessor) -> None:
    for text in ("The quick brown fox: {x}~`@#", "龘👋", "I do not know that."):
        assert model.decode(model.encode(text)) == text


def test_training_again_gives_the_same_vocabulary(folder: Path, tmp_path: Path) -> None:
    train_tokenizer(vocabulary_texts(0), tmp_path, 1984)
    assert (tmp_path / VOCABULARY_FILE).read_bytes() == (folder / VOCABULARY_FILE).read_bytes()
