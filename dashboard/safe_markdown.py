"""Drawing of texts from models and visitors without trusting them: no raw HTML, no image, no link."""

import html
import re
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import streamlit as st
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

_STYLE = """<style>
.answer { overflow-wrap: anywhere; }
.answer :is(h1, h2, h3, h4, h5, h6) { font-size: 1.15rem; padding: 0.5rem 0; }
.answer table { border-collapse: collapse; }
.answer :is(th, td) { border: 1px solid #8a919b66; padding: 0.25rem 0.75rem; text-align: left; }
.answer :is(pre, code) { background: #8a919b22; border-radius: 0.3rem; }
.answer pre { padding: 0.75rem; white-space: pre-wrap; }
.answer pre code { background: none; }
.answer blockquote { border-left: 3px solid #8a919b66; margin-left: 0; padding-left: 1rem; }
</style>"""
_LANGUAGE = re.compile(r"[\w+#.-]+")


class _Renderer(RendererHTML):
    """Shows pictures and links as their text and address; code blocks in lists have no colours."""

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        token = tokens[idx]
        return _addressed(self.renderInlineAsText(token.children, options, env), str(token.attrGet("src")))

    def link_open(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        env.setdefault("addresses", []).append(str(tokens[idx].attrGet("href")))
        return ""

    def link_close(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        address = env["addresses"].pop()
        return "" if tokens[idx].info == "auto" else _addressed("", address)

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        return f"<pre><code>{html.escape(tokens[idx].content)}</code></pre>\n"


def _addressed(text: str, address: str) -> str:
    return f"{html.escape(text)} ({html.escape(address)})"


_PARSER = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable(["table", "strikethrough"])


def parts(text: str) -> Iterator[tuple[str | None, str]]:
    """Split a text in Markdown into prose (None, HTML that loads nothing) and blocks of code (language, code).

    An unclosed block extends to the end of the text, as in an unfinished answer.
    """
    env: dict[str, Any] = {}
    prose: list[Token] = []
    for token in _PARSER.parse(text, env):
        if token.level == 0 and token.type in ("fence", "code_block"):
            if prose:
                yield None, _PARSER.renderer.render(prose, _PARSER.options, env)
                prose = []
            named = _LANGUAGE.match(token.info)
            yield named[0] if named else "", token.content.removesuffix("\n")
        else:
            prose.append(token)
    if prose:
        yield None, _PARSER.renderer.render(prose, _PARSER.options, env)


def draw(text: str) -> None:
    """Draw a model's answer: Markdown and code."""
    for language, body in parts(text):
        if language is None:
            st.html(f'{_STYLE}<div class="answer">{body}</div>')
        else:
            st.code(body, language or None, wrap_lines=True)


def draw_plain(text: str) -> None:
    """Draw a visitor's text exactly as typed."""
    st.html(f'<div style="white-space: pre-wrap; overflow-wrap: anywhere">{html.escape(text)}</div>')


def parting(left: str, right: str) -> int | None:
    """The index of the first different character of two texts; None if they are equal."""
    if left == right:
        return None
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def draw_parting(text: str, at: int | None) -> None:
    """Draw a text exactly, with everything from `at` on marked as different from another text."""
    body = html.escape(text)
    if at is not None:
        body = (
            f"{html.escape(text[:at])}"
            '<mark style="background: color-mix(in srgb, #e69f00 32%, transparent); color: inherit">'
            f"{html.escape(text[at:]) or '∎'}</mark>"
        )
    st.html(f'<div style="white-space: pre-wrap; overflow-wrap: anywhere">{body}</div>')
