"""Open answers: their variety and their repetitions."""

import pytest

from fastglm.demo.evaluation.texts import distinct, repeated_sentences, units


def test_units_are_chinese_characters_and_whole_words() -> None:
    assert units("小兔子 said: it’s 12 o'clock，好吗？") == [*"小兔子", "said", "it’s", "12", "o'clock", *"好吗"]
    assert units("月亮moon圆\n…… !") == ["月", "亮", "moon", "圆"]


def test_words_are_the_same_in_either_case() -> None:
    assert units("The CAT") == units("the cat")


@pytest.mark.parametrize(
    ("texts", "n", "share"),
    [
        (["a b a b"], 1, 2 / 4),
        (["a b a b"], 2, 2 / 3),
        (["a b", "a b"], 2, 1 / 2),  # counted over the whole list, not text by text
        (["a", "b"], 2, 0.0),  # no n-gram crosses from text to text
        (["月亮月亮"], 1, 2 / 4),
        ([], 1, 0.0),
    ],
)
def test_distinct_is_the_share_of_different_n_grams(texts: list[str], n: int, share: float) -> None:
    assert distinct(texts, n) == pytest.approx(share)


def test_distinct_counts_what_the_given_function_makes_of_a_text() -> None:
    assert distinct(["a b a b"], 1, list) == pytest.approx(3 / 7)


def test_sentences_that_come_twice_are_named_once() -> None:
    assert repeated_sentences("He ran. She sat! He ran. He ran? End.") == ["He ran"]
    assert repeated_sentences("天黑了。它睡了。天黑了！") == ["天黑了"]
    assert repeated_sentences("月亮弯弯，\n我看着它。\n月亮弯弯，\n它看着我。") == ["月亮弯弯，"]


def test_marks_alone_are_no_sentence() -> None:
    assert repeated_sentences("Oh... no... yes.") == []
    assert repeated_sentences("* . * . *") == []
