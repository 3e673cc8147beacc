"""Log-probabilities of chosen tokens, and of the likeliest ones at their places."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

MOST = 20  # likeliest tokens, as in OpenAI's API


class Logprobs(NamedTuple):
    """Log-probabilities at the place of a token, from the model's logits as they are."""

    chosen: float  # of the token itself
    top: tuple[tuple[int, float], ...]  # the likeliest tokens, with theirs


class Told(NamedTuple):
    """Log-probabilities on the device: of the chosen token, [1], and values and ids of the likeliest, [count] each."""

    chosen: Tensor
    values: Tensor
    ids: Tensor

    def read(self) -> Logprobs:
        """Read them, which waits for the device."""
        top = zip(self.ids.tolist(), self.values.tolist(), strict=True)
        return Logprobs(self.chosen.item(), tuple(top))


class Listener(Protocol):
    """A request that may ask for log-probabilities (`sampling.Choice`)."""

    likeliest: int | None  # number of likeliest tokens to tell; None: nothing is told
    told: Told | None


def tell(listeners: Sequence[Listener], logits: Tensor, token: Tensor) -> None:
    """Tell requests the log-probabilities at the places of their next tokens.

    Args:
        logits: [rows, vocabulary].
        token: [rows, 1]; a negative one is none.
    """
    rows = [row for row, each in enumerate(listeners) if each.likeliest is not None]
    if not rows:
        return
    known = logits[rows].float().log_softmax(-1)
    chosen = known.gather(1, token[rows].clamp(min=0))
    values, ids = known.topk(max(listeners[row].likeliest or 0 for row in rows))
    for place, row in enumerate(rows):
        count = listeners[row].likeliest
        listeners[row].told = Told(chosen[place], values[place, :count], ids[place, :count])
