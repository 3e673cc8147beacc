"""Captions that pages share with the reports of `benchmarks`, in the visitor's language."""

from benchmarks import captions
from benchmarks.measure.caveat import Remark
from dashboard.markup import Markdown, plain
from dashboard.texts import language


def meaning(metric: str) -> str:
    """The meaning of a metric; for one that only another version knows, its name."""
    return captions.meaning(metric, language()) or metric


def words(remark: Remark) -> Markdown:
    """A remark on figures. Raises LookupError for one that has no sentence."""
    return Markdown(remark.text(language(), plain))
