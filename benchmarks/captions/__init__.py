"""Captions of metrics and of remarks on figures: one Fluent file for each language, beside this module.

Reports and the command line read the English captions, pages those of the visitor's language. The library that reads
Fluent is loaded with the first caption: a machine that only measures can do without it.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fluent.runtime import FluentBundle


@cache
def messages(language: str, *folders: Path) -> "FluentBundle":
    """The messages of a language: those of this folder, or of the folders that are named."""
    from fluent.runtime import FluentBundle, FluentResource

    bundle = FluentBundle([language], use_isolating=False)
    for folder in folders or [Path(__file__).parent]:
        bundle.add_resource(FluentResource((folder / f"{language}.ftl").read_text(encoding="utf-8")))
    return bundle


def fill(bundle: "FluentBundle", key: str, values: Mapping[str, Any]) -> str:
    """The message `key` with the values in it. Raises LookupError if there is no such message, or it needs more values
    than given.
    """
    if (pattern := bundle.get_message(key).value) is None:
        raise LookupError(f"no text for {key}")
    text, errors = bundle.format_pattern(pattern, dict(values))
    if errors:
        raise LookupError(f"the text for {key} lacks a value: {errors[0]}")
    return str(text)


def meaning(metric: str, language: str = "en") -> str:
    """The meaning of a metric; an empty text for one that only another version knows."""
    key = f"meaning-{metric.replace('_', '-')}"
    return fill(messages(language), key, {}) if messages(language).has_message(key) else ""
