"""The demo tokenizer has the published layout."""

import json
from pathlib import Path
from random import Random

import pytest
from sentencepiece import SentencePieceProcessor

from fastglm.demo.corpus import vocabulary_texts
from fastglm.demo.skills import StrangeWords
from fastglm.demo.tokenizer import VOCABULARY_FILE, train_tokenizer

GOLDEN = Path(__file__).parents[1] / "golden" / "chatglm"


SIZE = 4800


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return vocabulary_texts(0)


@pytest.fixture(scope="module")
def folder(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(texts, out, SIZE)
    return out


@pytest.fixture(scope="module")
def model(folder: Path) -> SentencePieceProcessor:
    return SentencePieceProcessor(str(folder / VOCABULARY_FILE))


def test_the_control_tokens_and_bytes_are_at_their_published_places(model: SentencePieceProcessor) -> None:
    golden = SentencePieceProcessor(str(GOLDEN / VOCABULARY_FILE))
    first = golden.piece_to_id("<0xFF>") + 1
    assert [model.id_to_piece(i) for i in range(first)] == [golden.id_to_piece(i) for i in range(first)]
    assert 4000 <= model.get_piece_size() <= SIZE


def test_the_config_says_what_the_published_one_says(folder: Path) -> None:
    published = json.loads((GOLDEN / "tokenizer_config.json").read_text())
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert set(published) - set(config) == {"auto_map"}
    assert {key for key in config if config[key] != published[key]} == {"name_or_path"}


def test_digits_and_chinese_characters_are_tokens_of_their_own(model: SentencePieceProcessor) -> None:
    assert model.encode("12+345", out_type=str) == ["▁", "1", "2", "+", "3", "4", "5"]
    assert model.encode("法国的首都。", out_type=str) == ["▁", "法", "国", "的", "首", "都", "。"]


def test_words_are_one_token_wherever_they_begin(model: SentencePieceProcessor) -> None:
    assert model.encode("What is apple?", out_type=str) == ["▁What", "▁is", "▁apple", "?"]
    second = model.encode("[Round 0]<n>问：What is red?<n>答：It is red.<n>[Round 1]<n>问：", out_type=str)
    assert second == [
        *("▁[Round", "▁", "0", "]", "<n>", "问：", "What", "▁is", "▁red", "?"),
        *("<n>", "答：", "It", "▁is", "▁red", ".", "<n>", "[Round", "▁", "1", "]", "<n>", "问："),
    ]


def test_words_in_quotation_marks_are_spelled(model: SentencePieceProcessor) -> None:
    assert model.encode('Reverse "apple".', out_type=str) == ["▁Reverse", "▁", '"', *"apple", '"', "."]


def test_made_up_words_are_not_learned(texts: list[str], model: SentencePieceProcessor) -> None:
    pieces = {model.id_to_piece(i) for i in range(model.get_piece_size())}
    rng = Random(0)
    strange = [StrangeWords().draw(rng, None).operand for _ in range(200)]
    assert not [word for word in strange if f"▁{word}" in pieces]


def test_every_text_survives(model: SentencePieceProcessor) -> None:
    for text in ("The quick brown fox: {x}~`@#", "龘👋", "I do not know that."):
        assert model.decode(model.encode(text)) == text


def test_training_again_gives_the_same_vocabulary(folder: Path, tmp_path: Path) -> None:
    train_tokenizer(vocabulary_texts(0), tmp_path, SIZE)
    assert (tmp_path / VOCABULARY_FILE).read_bytes() == (folder / VOCABULARY_FILE).read_bytes()
