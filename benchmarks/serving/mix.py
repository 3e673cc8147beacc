"""The mix of prompt lengths: how often each is asked, and texts of about so many tokens."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from fastglm.errors import UsageError

MOST = 100  # parts of a length in a mix


@dataclass(frozen=True, slots=True)
class Mix:
    """Prompt lengths in tokens, each with its number of parts."""

    parts: tuple[tuple[int, int], ...] = ((32, 1), (128, 1), (512, 1))

    @classmethod
    def read(cls, text: str) -> "Mix":
        """Read a text such as `32,128,512` or `128:3,512:1`. Raises `UsageError`."""
        try:
            numbers = [tuple(map(int, part.split(":"))) for part in text.split(",")]
            parts = [(length, share[0] if share else 1) for length, *share in numbers]
        except ValueError:
            parts = []
        lengths = [length for length, _ in parts]
        fits = all(length >= 1 and 1 <= share <= MOST for length, share in parts)
        if not parts or not fits or len(set(lengths)) < len(lengths) or any(len(part) > 2 for part in numbers):
            raise UsageError(
                f"--prompts wants different lengths in tokens, such as 32,128,512, or with parts of 1 to {MOST}, such "
                f"as 128:3,512:1, not {text!r}"
            )
        return cls(tuple(parts))

    def __str__(self) -> str:
        equal = len({share for _, share in self.parts}) == 1
        return ",".join(str(length) if equal else f"{length}:{share}" for length, share in self.parts)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths in tokens, each once."""
        return tuple(length for length, _ in self.parts)

    def drawn(self, seed: str) -> Iterator[int]:
        """Lengths without end: every round holds all parts of the mix, in a random order."""
        draw, deck = random.Random(seed), [length for length, share in self.parts for _ in range(share)]
        while True:
            yield from draw.sample(deck, len(deck))


@dataclass(frozen=True, slots=True)
class Measure:
    """The tokens of a prompt by its characters, as a server counts them."""

    frame: float = 0.0  # tokens around the text
    each: float = 0.7  # tokens of a character; this value suits the mixed text if a server does not count

    @classmethod
    def between(cls, short: tuple[int, int], long: tuple[int, int]) -> "Measure":
        """The line through two prompts, each given by its characters and its tokens."""
        each = max((long[1] - short[1]) / (long[0] - short[0]), 0.01)
        return cls(max(short[1] - each * short[0], 0.0), each)

    def characters(self, tokens: int) -> int:
        """The characters of a prompt of so many tokens, one or more."""
        return max(round((tokens - self.frame) / self.each), 1)


def text(source: str, characters: int, mark: str, seed: str) -> str:
    """A prompt: `mark`, which no earlier prompt has, so that no server has read its beginning; then a piece of the
    source from a random place.
    """
    at = random.Random(seed).randrange(len(source))
    rest = max(characters - len(mark), 0)
    turned = source[at:] + source[:at]
    return (mark + turned * (1 + rest // len(turned)))[: max(characters, len(mark))]
