"""A vocabulary for a model with random weights, for peers that read and write text."""

from itertools import count, islice
from string import printable

from benchmarks.run.workload import TEXT

# A chat that is nothing but its messages' texts, so that no peer reads more tokens than another.
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def words(number: int) -> list[str]:
    """Different words: first every character of the measured prompts, so that each is a token, then made-up words."""
    characters = sorted(set(TEXT.read_text(encoding="utf-8")) | set(printable.strip()))
    made_up = (f"w{place:06}" for place in count())
    return [*characters, *islice(made_up, max(number - len(characters), 0))][:number]
