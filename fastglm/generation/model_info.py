"""What is known of a loaded variant; without torch, for those who only talk to the process that holds it."""

from dataclasses import dataclass, field

# Parameters below which a second thread was measured to gain nothing in decoding, and to cost a factor of three as soon
# as another program takes a core: threads then wait for each other at every operator.
_SMALL = 12_000_000


def wants_one_thread(parameters: int, engine: str) -> bool:
    """Whether a model is to decode on one thread of a CPU; checking several drafted tokens at once is work for more."""
    return parameters < _SMALL and engine != "speculative"


@dataclass(frozen=True, slots=True)
class LoadedInfo:
    """What was loaded and how; memory in bytes, time in seconds, context in tokens."""

    model: str
    variant: str
    engine: str
    device: str
    dtype: str
    parameters: int
    weights_memory: int
    load_time: float
    context_length: int
    folder: str | None = None  # that the weights were read from; None for random ones
    cache: str = "auto"  # the format of keys and values; auto: the dtype
    notes: list[str] = field(default_factory=list)
