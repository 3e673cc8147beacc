"""Drawing what a model said, without trusting it: no raw HTML, no image that would be fetched from somewhere."""

import html
import re

import streamlit as st

_FENCE = re.compile(r"^(```+|~~~+)[ \t]*([\w+#.-]*)[^`\n]*$")


def parts(text: str) -> list[tuple[str | None, str]]:
    """Cut a text into prose (None, text) and fenced code (language, code).

    Code is drawn by a widget that knows no markdown, so it stays as it is; all else can be made harmless as a whole,
    and no two readings of the same text can differ on what is code. An unclosed fence goes to the end of the text.
    """
    found: list[tuple[str | None, list[str]]] = [(None, [])]
    closing = ""
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if closing and line.rstrip().startswith(closing) and not line.rstrip().strip(closing[0]):
            closing = ""
            found.append((None, []))
        elif fence and not closing:
            closing = fence[1]
            found.append((fence[2], []))
        else:
            found[-1][1].append(line)
    return [(kind, "\n".join(lines)) for kind, lines in found if kind is not None or "".join(lines).strip()]


def harmless(prose: str) -> str:
    """Markdown that fetches nothing: a zero-width space keeps "![" from being an image; HTML is shown as text."""
    return prose.replace("![", "!\u200b[")


def draw(text: str) -> None:
    """Draw a model's answer: markdown and code, harmless."""
    for language, body in parts(text):
        if language is None:
            st.markdown(harmless(body))
        else:
            st.code(body, language or None, wrap_lines=True)


def draw_plain(text: str) -> None:
    """Draw a visitor's words as they were typed."""
    st.html(f'<div style="white-space: pre-wrap; overflow-wrap: anywhere">{html.escape(text)}</div>')


def parting(left: str, right: str) -> int | None:
    """The index of the first character in which two texts differ; None where they are equal."""
    if left == right:
        return None
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def draw_parting(text: str, at: int | None) -> None:
    """Draw a text as it is, with all from `at` on marked as where it parts from another."""
    body = html.escape(text)
    if at is not None:
        body = (
            f"{html.escape(text[:at])}"
            '<mark style="background: color-mix(in srgb, #e69f00 32%, transparent); color: inherit">'
            f"{html.escape(text[at:]) or '∎'}</mark>"
        )
    st.html(f'<div style="white-space: pre-wrap; overflow-wrap: anywhere">{body}</div>')
