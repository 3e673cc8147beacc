"""Strangers' text as Markdown is shown literally; tests/browser/test_markup.py checks the drawn page."""

import pytest
from markdown_it import MarkdownIt

from dashboard import texts
from dashboard.markup import Markdown, bold, code, plain


@pytest.mark.parametrize(
    "text",
    [
        "![x](http://a/b)",
        "[x](http://a/b)",
        "[x]: http://a/b",
        '<img src="http://a/b"> &amp; &#33;',
        "# no heading",
        "1. no list",
        "2) no list",
        "- no list",
        "+ no list",
        "---",
        "===",
        "> no quotation",
        "`code` ``more``",
        "**bold** __bold__ *x* _y_ ~~z~~",
        "| a | b |",
        "C:\\new\\_folder\\",
        "-1.5 % and 8.0 GB",
    ],
)
def test_a_text_is_shown_as_it_is(text: str) -> None:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    (begin, inline, end) = parser.parse(plain(text))
    assert (begin.type, end.type) == ("paragraph_open", "paragraph_close")
    kinds = {token.type for token in inline.children or []}
    assert kinds <= {"text", "text_special"}
    assert "".join(token.content for token in inline.children or []).replace("\u200b", "") == text


def test_patterns_that_streamlit_replaces_are_broken_up() -> None:
    for text in (
        "http://a.b",
        "www.a.b",
        "WWW.a.b",
        "me@a.b",
        ":smile:",
        ":material/home:",
        "a -> b",
        "a <= b",
        "a -- b",
    ):
        assert "\u200b" in plain(text), text
    for text in ("a:b", "12:30", "demo@5", "--model x", "a-b", "x -1"):
        assert "\u200b" not in plain(text), text


def test_many_lines_are_one() -> None:
    assert plain("a\n\n    b\t# c") == r"a b # c"
    assert bold(" ") == ""


def test_code_is_closed_by_nothing_in_it() -> None:
    assert code("a `b` ``c``") == "``` a `b` ``c`` ```"
    assert code("x\ny") == "`x y`"


def test_values_of_texts_are_plain_unless_they_are_markdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "language", lambda: "en")
    assert texts.say("job-resumes", run="![x](y)") == r"the rest of !\[x\](y)"
    assert texts.say("job-resumes", run=Markdown("**x**")) == "the rest of **x**"
    inner = texts.say("job-resumes", run="*")
    assert texts.say("job-resumes", run=inner) == r"the rest of the rest of \*"
