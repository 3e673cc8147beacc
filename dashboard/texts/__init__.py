"""The texts of the app in English and Chinese: one Fluent file per language, beside this one."""

from collections.abc import Iterable
from pathlib import Path

import streamlit as st

from benchmarks import captions
from dashboard.markup import Markdown, plain

LANGUAGES = {"en": "English", "zh": "中文"}


def language() -> str:
    """The visitor's choice, otherwise the browser's language, otherwise English."""
    chosen = st.session_state.get("language") or st.query_params.get("language")
    if chosen in LANGUAGES:
        return str(chosen)
    return "zh" if (st.context.locale or "").lower().startswith("zh") else "en"


def say(key: str, **values: object) -> Markdown:
    """The message `key` in the visitor's language, as Markdown; values that are not Markdown are shown literally.

    Raises LookupError for an unknown key.
    """
    shown = {
        name: value if isinstance(value, Markdown | int | float) else plain(value) for name, value in values.items()
    }
    return Markdown(captions.fill(captions.messages(language(), Path(__file__).parent), key, shown))


def together(sentences: Iterable[str]) -> Markdown:
    """Sentences one after the other, which Chinese writes without a space between them."""
    return Markdown(say("sentence-space").join(sentences))
