"""A history in all its forms: understood everywhere alike, or refused in one line."""

import pytest
from recorded import folder
from transformers import AutoModel, AutoTokenizer

import fastglm
from fastglm.errors import UsageError
from fastglm.history import as_history

PAIRS = [("你好", "您好！"), ("再见", "再会。")]
MESSAGES = [
    {"role": "user", "content": "你好"},
    {"role": "assistant", "content": "您好！"},
    {"role": "user", "content": "再见", "metadata": ""},
    {"role": "assistant", "content": "再会。"},
]
TAKEN = {
    "pairs": lambda: PAIRS,
    "lists": lambda: [list(pair) for pair in PAIRS],
    "tuple": lambda: tuple(PAIRS),
    "iterator": lambda: iter(PAIRS),
    "generator": lambda: (pair for pair in PAIRS),
    "zip": lambda: zip(["你好", "再见"], ["您好！", "再会。"], strict=True),
    "messages": lambda: MESSAGES,
    "iterator of messages": lambda: iter(MESSAGES),
}
REFUSED = [
    (["ab", "cd"], "Round 1 of the history is not a pair"),  # a text of two letters is not a pair of texts
    (["你好", "您好！", "再见", "再会。"], "is not a pair"),
    (("你好", "您好！"), "is not a pair"),
    ("你好", "The history is of str"),
    (b"ab", "The history is of bytes"),
    ({"role": "user", "content": "你好"}, "The history is of dict"),
    (7, "The history is of int"),
    ([("你好",)], "is not a pair"),
    ([("你好", "您好！", "再见")], "is not a pair"),
    ([{"你好", "您好！"}], "is not a pair"),
    ([PAIRS[0], ("再见", None)], "Round 2 of the history has a response that is not a text .None."),
    ([(None, "您好！")], "has a query that is not a text .None."),
    ([("你好", 5)], "not a text .int."),
    ([None], "is not a pair"),
    (MESSAGES[:3], "no answer"),
    (MESSAGES[1:], "Message 1 .* 'assistant', not 'user'"),
    ([{"role": "system", "content": "短。"}, *MESSAGES], "no system role"),
    ([MESSAGES[0], MESSAGES[0]], "Message 2 .* 'user', not 'assistant'"),
    ([MESSAGES[0], PAIRS[0]], "Message 2"),
    ([{"role": "user", "content": None}, MESSAGES[1]], "no text as its content"),
    ([{"query": "你好", "response": "您好！"}], "role None: roles are system, user, assistant, observation"),
]


@pytest.fixture(scope="module")
def loaded():
    return AutoModel.from_pretrained(folder("chatglm")).float().eval(), AutoTokenizer.from_pretrained(folder("chatglm"))


@pytest.mark.parametrize("form", TAKEN)
def test_forms_that_are_taken(loaded, form):
    model, tokenizer = loaded
    make = TAKEN[form]
    assert as_history(make()) == PAIRS
    assert model.prompt_ids(tokenizer, "好", make()) == model.prompt_ids(tokenizer, "好", PAIRS)
    settings = {"do_sample": False, "max_new_tokens": 3}
    response, history = model.chat(tokenizer, "好", make(), **settings)
    assert history == [*PAIRS, ("好", response)]
    assert [*model.stream_chat(tokenizer, "好", make(), **settings)][-1] == (response, history)
    assert [*fastglm.stream(model, tokenizer, "好", make(), **settings)][-1].text == response


def test_no_history(loaded):
    model, tokenizer = loaded
    for none in (None, [], (), iter(())):
        assert as_history(none) == []
        assert model.prompt_ids(tokenizer, "好", none)[0] == tokenizer.encode_message("好")


@pytest.mark.parametrize(("history", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_forms_that_are_refused(loaded, history, said):
    model, tokenizer = loaded
    for ask in (
        lambda: as_history(history),
        lambda: model.prompt_ids(tokenizer, "好", history),
        lambda: model.chat(tokenizer, "好", history),
        lambda: next(model.stream_chat(tokenizer, "好", history)),
        lambda: fastglm.stream(model, tokenizer, "好", history),
    ):
        with pytest.raises(UsageError, match=said) as refused:
            ask()
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("query", [None, 5, ["好"], b"ab"])
def test_a_query_that_is_no_text(loaded, query):
    model, tokenizer = loaded
    with pytest.raises(UsageError, match="query must be a text"):
        model.chat(tokenizer, query)
