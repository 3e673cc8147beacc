"""Measures of open answers, which are not right or wrong: their variety and their repetitions."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

_UNIT = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3400-\u4dbf\u4e00-\u9fff]+(?:['’][^\W_]+)*")
_SENTENCE = re.compile(r"[^.!?。！？\n]+")


def units(text: str) -> list[str]:
    """The units of a text: single Chinese characters and whole other words, in lower case, without punctuation."""
    return _UNIT.findall(text.lower())


def distinct(texts: Iterable[str], n: int, tokenize: Callable[[str], Sequence[str]] = units) -> float:
    """The share of different n-grams among all n-grams of the texts; 0 if there are none.

    Li et al., A Diversity-Promoting Objective Function for Neural Conversation Models, NAACL 2016, section 5 (arXiv
    1510.03055). No n-gram crosses from one text to the next.
    """
    grams = Counter(
        tuple(tokens[start : start + n]) for tokens in map(tokenize, texts) for start in range(len(tokens) - n + 1)
    )
    return len(grams) / grams.total() if grams else 0.0


def repeated_sentences(text: str) -> list[str]:
    """The sentences or lines that occur more than once in a text, each listed once and without its closing mark."""
    sentences = Counter(filter(units, map(str.strip, _SENTENCE.findall(text))))
    return [sentence for sentence, times in sentences.items() if times > 1]
