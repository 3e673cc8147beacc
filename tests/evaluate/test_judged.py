"""Judging a variant question by question: the same figures as over all at once."""

from pathlib import Path

import pytest
from recorded import folder

import fastglm
from fastglm.errors import ContextError
from fastglm.evaluate.answers import answers
from fastglm.evaluate.judged import judge, judge_streamed
from fastglm.evaluate.likelihood import likelihood
from fastglm.models.packing import encode
from fastglm.progress import Progress

QUESTIONS = [
    ([("12+30=?", "12+30=42。")], "再加7呢？", "42+7=49。"),
    ([], "What is the capital of France?", "The capital of France is Paris."),
    ([], "你好！", "你好！"),
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path))
    return tmp_path


def test_each_question_has_its_own_figures() -> None:
    model, tokenizer = fastglm.load("demo")
    seen: list[Progress] = []
    found = judge(model, tokenizer, QUESTIONS, 16, seen.append)
    for question, judged in zip(QUESTIONS, found, strict=True):
        alone = likelihood(model, [encode(tokenizer, *question, 200)])
        assert (judged.tokens, judged.nats) == (alone.tokens, pytest.approx(alone.nats, rel=1e-4))
        assert judged.answer == answers(model, tokenizer, [question[:2]], 16)[0]
    assert {"answer", "original"} <= {news.stage for news in seen}


def test_a_compressed_variant_differs_from_the_original() -> None:
    model, tokenizer = fastglm.load("demo", "int4")
    for judged in judge(model, tokenizer, QUESTIONS, 4):
        assert judged.kl is not None
        assert judged.kl > 0
        assert judged.agreed is not None
        assert 0 <= judged.agreed <= judged.tokens


def test_the_original_does_not_differ_from_itself_and_is_computed_once(home: Path) -> None:
    model, tokenizer = fastglm.load("demo")
    for _ in range(2):
        seen: list[Progress] = []
        found = judge(model, tokenizer, QUESTIONS, 4, seen.append)
        assert [judged.agreed for judged in found] == [judged.tokens for judged in found]
        assert max(judged.kl or 0 for judged in found) < 1e-4
    assert "original" not in {news.stage for news in seen}
    assert len(list((home / "references").iterdir())) == 1


def test_a_checkpoint_published_quantised_has_no_original() -> None:
    model, tokenizer = fastglm.load(str(folder("chatglm-int4")))
    (judged,) = judge(model, tokenizer, QUESTIONS[2:], 4)
    assert judged.nats > 0
    assert (judged.kl, judged.agreed) == (None, None)


def test_without_room_it_is_judged_alike() -> None:
    streamed, made = judge_streamed("demo", "cpu", QUESTIONS, 16)
    assert made == "float32 on cpu"
    loaded = judge(*fastglm.load("demo"), QUESTIONS, 16)
    for mine, theirs in zip(streamed, loaded, strict=True):
        assert (mine.answer, mine.tokens, mine.agreed) == (theirs.answer, theirs.tokens, theirs.tokens)
        assert mine.nats == pytest.approx(theirs.nats, abs=1e-5 * mine.tokens)  # differences of logits in fp32
        assert mine.kl == 0


def test_answers_of_the_loaded_original_serve_where_there_is_no_room() -> None:
    loaded = judge(*fastglm.load("demo"), QUESTIONS, 16)
    seen: list[Progress] = []
    streamed, _ = judge_streamed("demo", "cpu", QUESTIONS, 16, seen.append)
    assert [judged.answer for judged in streamed] == [judged.answer for judged in loaded]
    assert not seen


def test_a_question_that_does_not_fit_is_told() -> None:
    with pytest.raises(ContextError, match=r"there is room for .*: leave it out, or shorten it"):
        judge_streamed("demo", "cpu", [([], "长" * 5000, "短")], 4)
