"""Memory that a process uses on its device, measured."""

import contextlib
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass

import psutil

from ..errors import MemoryShortError


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in use: on a GPU those of PyTorch's allocator, on a CPU the resident set of the whole process."""

    weights: int  # computed
    cache: int  # the KV cache of the last answer, computed
    current: int
    peak: int  # largest use since the start or the last reset
    reserved: int = 0  # largest amount that PyTorch has reserved on a GPU, used or not


class MemoryMeter:
    """Reads this process's memory on its model's devices: `device` is one name, or several cards with commas
    between.
    """

    def __init__(self, device: str, weights: int) -> None:
        self.device = device
        self.weights = weights
        self.cache = 0

    def read(self) -> Memory:
        return Memory(self.weights, self.cache, *self._measured())

    def _measured(self) -> tuple[int, int, int]:
        if self.device.startswith("cuda"):
            from torch import cuda

            cards = self.device.split(",")
            return (
                sum(map(cuda.memory_allocated, cards)),
                sum(map(cuda.max_memory_allocated, cards)),
                sum(map(cuda.max_memory_reserved, cards)),
            )
        if self.device.startswith("mps"):  # the system keeps no peak of its own
            from torch import mps

            return mps.current_allocated_memory(), mps.driver_allocated_memory(), mps.driver_allocated_memory()
        current = psutil.Process().memory_info().rss
        return current, max(current, _peak_resident()), 0

    def reset_peak(self) -> bool:
        """Start the peak anew from the present use. Returns False if the system cannot."""
        if self.device.startswith("cuda"):
            from torch import cuda

            for card in self.device.split(","):
                cuda.reset_peak_memory_stats(card)
            return True
        if self.device == "cpu":
            with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # see proc(5): this resets VmHWM
                return True
        return False

    def free_unused(self) -> None:
        """Give back the GPU memory that PyTorch keeps for later."""
        if self.device.startswith("cuda"):
            from torch import cuda

            cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on a CPU or another device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def room_for(what: str, way_out: str, needed: int = 0) -> AbstractContextManager[None]:
    """A block whose lack of memory becomes MemoryShortError, which says what ran out of memory and how to avoid it.

    Args:
        what: the work inside the block, for the message.
        way_out: advice for the user.
        needed: bytes of main memory, checked first: a system may promise more than it has and kill the process that
        uses it.
    """
    room = _Room(what, way_out)
    if needed and needed > psutil.virtual_memory().available:  # reading it takes as long as a tenth of a small step
        raise room.short()
    return room


class _Room(AbstractContextManager[None]):
    """A block that `room_for` gives; it may be entered again and again."""

    def __init__(self, what: str, way_out: str) -> None:
        self._what, self._way_out = what, way_out

    def short(self) -> MemoryShortError:
        """The error of a lack of memory."""
        return MemoryShortError(f"There is no memory for {self._what}: {self._way_out}.")

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or not is_out_of_memory(error):
            return
        error.__traceback__ = None  # its frames keep the memory in use
        raise self.short() from None


def _peak_resident() -> int:
    """The largest resident set so far, in bytes."""
    if sys.platform == "linux":
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # ru_maxrss is in bytes on macOS
