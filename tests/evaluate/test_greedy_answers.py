"""Answers side by side equal the answers alone."""

import fastglm
from fastglm.evaluate.answers import QUESTIONS_AT_ONCE, answers
from fastglm.history import of_rounds

QUESTIONS = [
    ([], "你好！"),
    ([], "12+30=?"),
    ([("12+30=?", "12+30=42。")], "再加7呢？"),
    ([], "What is the capital of France?"),
    ([("你好！", "你好！"), ("法国的首都是哪里？", "法国的首都是巴黎。")], "那日本呢？"),
]
ASKED = [of_rounds(history, question) for history, question in QUESTIONS]


def test_a_batch_gives_what_the_chat_gives(demo) -> None:
    model, tokenizer = demo
    alone = [
        model.chat(tokenizer, question, history, do_sample=False, max_length=200)[0] for history, question in QUESTIONS
    ]
    assert answers(model, tokenizer, ASKED, 100) == alone
    assert answers(*fastglm.load("demo", "fast"), ASKED, 100) == alone


def test_many_questions_are_asked_part_by_part(demo) -> None:
    model, tokenizer = demo
    seen = []
    many = [ASKED[n % 2] for n in range(QUESTIONS_AT_ONCE + 6)]
    found = answers(model, tokenizer, many, 60, progress=seen.append)
    assert len(set(found[::2])) == len(set(found[1::2])) == 1
    assert found[0] != found[1]
    assert [(p.done, p.total) for p in seen] == [(QUESTIONS_AT_ONCE, len(many)), (len(many), len(many))]


def test_an_answer_without_an_end_is_none(demo) -> None:
    assert answers(*demo, ASKED[:2], 2) == [None, None]


def test_sampling_depends_on_its_seed_alone(demo) -> None:
    wish = [of_rounds([], "讲一个关于兔子的故事。")] * 4
    first = answers(*demo, wish, 40, temperature=3.0, seed=1)
    assert first == answers(*demo, wish, 40, temperature=3.0, seed=1)
