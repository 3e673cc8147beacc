"""Scoring a variant question by question gives the same figures as all questions at once."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import folder
from sentencepiece import sentencepiece_model_pb2 as proto

import fastglm
from fastglm.compress.prune import prune_vocabulary
from fastglm.errors import ContextError
from fastglm.evaluate.answers import answers
from fastglm.evaluate.arithmetic import Arithmetic
from fastglm.evaluate.likelihood import likelihood
from fastglm.evaluate.scoring import judge, judge_streamed
from fastglm.history import of_rounds
from fastglm.models.packing import Example, encode
from fastglm.models.source import demo_folder
from fastglm.progress.progress import Progress
from fastglm.text_files import Text

QUESTIONS = [
    (of_rounds([("12+30=?", "12+30=42。")], "再加7呢？"), "42+7=49。"),
    (of_rounds([], "What is the capital of France?"), "The capital of France is Paris."),
    (of_rounds([], "你好！"), "你好！"),
]


def test_each_question_has_its_own_figures() -> None:
    model, tokenizer = fastglm.load("demo")
    seen: list[Progress] = []
    found = judge(model, tokenizer, QUESTIONS, 16, progress=seen.append)
    for question, judged in zip(QUESTIONS, found.questions, strict=True):
        example = encode(tokenizer, *question, 200)
        alone = likelihood(model, [example])
        assert len(judged.losses) == alone.tokens
        assert sum(judged.losses) == pytest.approx(alone.nats, rel=1e-4)
        for count in range(len(example.targets)):  # token by token, in the order of the answer
            part = likelihood(model, [Example(example.tokens[: example.context + 2 + count], example.context)])
            assert sum(judged.losses[: count + 1]) == pytest.approx(part.nats, abs=1e-4)
        assert judged.answer == answers(model, tokenizer, [question[0]], 16)[0]
    assert {"answer", "original"} <= {news.stage for news in seen}


@pytest.mark.parametrize("arithmetic", Arithmetic)
def test_a_compressed_variant_differs_from_the_original(arithmetic: Arithmetic) -> None:
    model, tokenizer = fastglm.load("demo", "int4")
    found = judge(model, tokenizer, QUESTIONS, 4, arithmetic)
    assert (found.arithmetic, found.precision, found.vocabulary) == (arithmetic, "float32 on cpu", None)
    for judged in found.questions:
        assert judged.kl is not None
        assert len(judged.kl) == len(judged.losses)
        assert max(judged.kl) > 0
        assert judged.agreed is not None
        assert 0 <= judged.agreed <= len(judged.losses)


def test_exact_figures_do_not_depend_on_what_is_asked_beside() -> None:
    model, tokenizer = fastglm.load("demo", "int8")
    together = judge(model, tokenizer, QUESTIONS, 4).questions
    for question, judged in zip(QUESTIONS, together, strict=True):
        (alone,) = judge(model, tokenizer, [question], 4).questions
        assert judged.losses == pytest.approx(alone.losses, abs=2e-4)


def test_the_original_does_not_differ_from_itself_and_is_computed_once(own_home: Path) -> None:
    model, tokenizer = fastglm.load("demo")
    for _ in range(2):
        seen: list[Progress] = []
        found = judge(model, tokenizer, QUESTIONS, 4, progress=seen.append).questions
        assert [judged.agreed for judged in found] == [len(judged.losses) for judged in found]
        assert max(max(judged.kl or [1]) for judged in found) < 3e-7
    assert "original" not in {news.stage for news in seen}
    assert len(list((own_home / "references").iterdir())) == 1


def test_a_checkpoint_published_quantised_has_no_original() -> None:
    model, tokenizer = fastglm.load(str(folder("chatglm-int4")))
    (judged,) = judge(model, tokenizer, QUESTIONS[2:], 4).questions
    assert sum(judged.losses) > 0
    assert (judged.kl, judged.agreed) == (None, None)


def test_a_variant_with_a_vocabulary_of_its_own_is_not_compared(tmp_path: Path) -> None:
    texts = [Text([], messages[-1].content, answer) for messages, answer in QUESTIONS]
    made = tmp_path / "models" / "pruned"
    prune_vocabulary(demo_folder(), made, texts)
    model, tokenizer = fastglm.load(str(made))
    model.fastglm = replace(model.fastglm, model="demo", variant="pruned")  # as if the demo had such a variant
    found = judge(model, tokenizer, QUESTIONS, 16)
    assert found.vocabulary == model.config.vocab_size
    for judged in found.questions:
        assert sum(judged.losses) > 0
        assert (judged.kl, judged.agreed) == (None, None)
    assert [judged.answer for judged in found.questions] == [
        judged.answer for judged in judge(*fastglm.load("demo"), QUESTIONS, 16).questions
    ]


def test_tokens_of_the_same_number_that_mean_others_are_another_vocabulary(tmp_path: Path) -> None:
    place = tmp_path / "mixed"
    shutil.copytree(demo_folder(), place)
    model_file = proto.ModelProto.FromString((place / "ice_text.model").read_bytes())
    first, second = (next(p for p in model_file.pieces if p.piece == name) for name in ("4", "5"))
    first.piece, second.piece = second.piece, first.piece
    (place / "ice_text.model").write_bytes(model_file.SerializeToString())
    model, tokenizer = fastglm.load(str(place))
    model.fastglm = replace(model.fastglm, model="demo", variant="pruned")
    found = judge(model, tokenizer, QUESTIONS[:1], 4)
    assert found.vocabulary == model.config.vocab_size
    assert found.questions[0].kl is None


def test_a_streamed_original_is_judged_like_a_loaded_one() -> None:
    streamed = judge_streamed("demo", "cpu", QUESTIONS, 16)
    assert (streamed.precision, streamed.arithmetic) == ("float32 on cpu", Arithmetic.exact)
    loaded = judge(*fastglm.load("demo"), QUESTIONS, 16)
    for mine, theirs in zip(streamed.questions, loaded.questions, strict=True):
        assert (mine.answer, mine.agreed) == (theirs.answer, len(theirs.losses))
        assert mine.losses == pytest.approx(theirs.losses, abs=1e-5)  # tolerance: differences of logits in fp32
        assert mine.kl is not None
        assert set(mine.kl) == {0}


def test_answers_of_the_loaded_original_serve_where_there_is_no_room() -> None:
    loaded = judge(*fastglm.load("demo"), QUESTIONS, 16)
    seen: list[Progress] = []
    streamed = judge_streamed("demo", "cpu", QUESTIONS, 16, seen.append)
    assert [judged.answer for judged in streamed.questions] == [judged.answer for judged in loaded.questions]
    assert not seen


def test_a_question_that_does_not_fit_is_told() -> None:
    with pytest.raises(ContextError, match=r"there is room for .*: leave it out, or shorten it"):
        judge_streamed("demo", "cpu", [(of_rounds([], "长" * 5000), "短")], 4)
