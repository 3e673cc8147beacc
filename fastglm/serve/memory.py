"""The memory of the server's own process."""

import contextlib
import ctypes
import gc
import sys


def give_back_memory() -> None:
    """Return freed memory to the system at once. Refused bodies lie in circles of errors, which Python would keep until
    many more objects exist, and beside other requests' objects; the next large body then takes new memory.
    """
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # a C library without it
            ctypes.CDLL(None).malloc_trim(0)
