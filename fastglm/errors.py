"""Errors that a user can meet. Each message is one line: the fault, and what to do about it."""

LONGEST = 1000  # characters of a message's line


def shortened(line: str) -> str:
    """Shorten a long line in its middle: arguments and names in it may have any length."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 3 :]}"


class FastGLMError(Exception):
    """Base of every error this package raises on purpose; its text is ready to show."""


class UsageError(FastGLMError):
    """An impossible argument, such as an unknown variant or a path that may not be opened."""


class CheckpointError(FastGLMError):
    """An unreadable checkpoint: missing, truncated, or of another model."""


class DeviceError(FastGLMError):
    """A device that does not exist, or cannot run the work."""


class MemoryShortError(FastGLMError):
    """Too little free memory; `needed` and `free` are bytes."""

    def __init__(self, message: str, needed: int = 0, free: int = 0) -> None:
        super().__init__(message)
        self.needed = needed
        self.free = free


class DiskShortError(FastGLMError):
    """Too little space on a disk."""


class HomeError(FastGLMError):
    """The home folder cannot be created or written."""


class ContextError(FastGLMError):
    """A single message that is too long for the model's context."""


class ToolCallError(FastGLMError):
    """An answer that calls a tool in a form that cannot be read."""


class DivergedError(FastGLMError):
    """A training whose loss became infinite or NaN."""


class NumbersError(FastGLMError):
    """An answer whose logits are infinite or NaN."""

    def __init__(
        self,
        message: str = "The model's logits became NaN or infinite, so that it has no answer: its weights are broken "
        "or too large for this dtype. Try dtype float32, or fetch the checkpoint again.",
    ) -> None:
        super().__init__(message)


class ServedError(FastGLMError):
    """A server has the device that somebody wants alone; the message names it, without advice."""


class HostError(FastGLMError):
    """The process that runs a model could not start, or ended."""


class CancelledError(FastGLMError):
    """Work that its user stopped."""
