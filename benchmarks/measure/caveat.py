"""Remarks that readers should know before they believe figures: data, whose sentences are in the Fluent files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.captions import fill, messages
from fastglm.system.files import in_words

_SHARES = {**dict.fromkeys(("share", "mean", "most", "largest"), ".0%"), "wanted": ".1%", "by": "+.1%"}


@dataclass(frozen=True, slots=True)
class Remark:
    """The key of a sentence and the values in it; `run` if the sentence is about one of two runs."""

    key: str
    values: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""

    def text(self, language: str = "en", quote: Callable[[str], str] = str) -> str:
        """The sentence in a language; every value goes through `quote`, for example to escape Markdown.

        Raises LookupError for an unknown key or a missing value, ValueError or TypeError for a value of a wrong kind.
        """
        values = {name: quote(_shown(name, value)) for name, value in self.values.items()}
        about = f"{quote(self.run)}: " if self.run else ""
        return about + fill(messages(language), f"remark-{self.key.replace('_', '-')}", values)

    def __str__(self) -> str:
        """The sentence in English."""
        return self.text()


def _shown(name: str, value: Any) -> str:
    return in_words(value) if name in ("free", "total") else format(value, _SHARES.get(name, ""))
