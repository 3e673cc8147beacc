"""The texts of the app in English and Chinese: one Fluent file per language, beside this one."""

from functools import cache
from pathlib import Path

import streamlit as st
from fluent.runtime import FluentBundle, FluentResource

from dashboard.markup import Markdown, plain

LANGUAGES = {"en": "English", "zh": "中文"}


@cache
def bundle(language: str) -> FluentBundle:
    """The messages of a language."""
    messages = FluentBundle([language], use_isolating=False)
    messages.add_resource(FluentResource((Path(__file__).parent / f"{language}.ftl").read_text(encoding="utf-8")))
    return messages


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
    messages = bundle(language())
    message = messages.get_message(key)
    if message.value is None:
        raise LookupError(f"no text for {key}")
    shown = {
        name: value if isinstance(value, Markdown | int | float) else plain(value) for name, value in values.items()
    }
    text, errors = messages.format_pattern(message.value, shown)
    if errors:
        raise LookupError(f"the text for {key} lacks a value: {errors[0]}")
    return Markdown(text)
