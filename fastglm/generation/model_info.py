"""Facts about a loaded variant; without torch, for clients of the process that holds it."""

from dataclasses import dataclass, field

# With fewer parameters a second thread gained nothing in decoding, and cost a factor of three as soon as another
# program used a core: threads then wait for each other at every operator.
_SMALL = 12_000_000


def wants_one_thread(parameters: int, engine: str) -> bool:
    """Tell whether a model should decode on one thread of a CPU; checking several drafted tokens at once occupies
    more.
    """
    return parameters < _SMALL and engine != "speculative"


@dataclass(frozen=True, slots=True)
class LoadedInfo:
    """Facts of a loading: memory in bytes, time in seconds, context in tokens."""

    model: str
    variant: str
    engine: str
    device: str
    dtype: str
    parameters: int
    weights_memory: int
    load_time: float
    context_length: int
    folder: str | None = None  # the folder of the weights; None for random ones
    cache: str = "auto"  # format of keys and values; auto: the dtype
    notes: list[str] = field(default_factory=list)
    adapter: str | None = None  # the folder of what fine-tuning made for the model
