"""The errors a user can meet. The text of each is one line: what is wrong, and what to do about it."""

LONGEST = 1000  # characters of a line that is told


def shortened(line: str) -> str:
    """A line with its middle left out where it is long: arguments and names that it repeats may be of any length."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 3 :]}"


class FastGLMError(Exception):
    """Base of everything this package raises on purpose; its text is ready to show."""


class UsageError(FastGLMError):
    """An argument that cannot be right (an unknown variant, a path that may not be opened)."""


class CheckpointError(FastGLMError):
    """A checkpoint that cannot be read: missing, truncated, or another model."""


class DeviceError(FastGLMError):
    """A device that is not there, or that cannot run what was asked of it."""


class MemoryShortError(FastGLMError):
    """Too little free memory; `needed` and `free` are bytes."""

    def __init__(self, message: str, needed: int = 0, free: int = 0) -> None:
        super().__init__(message)
        self.needed = needed
        self.free = free


class DiskShortError(FastGLMError):
    """Too little room on a disk."""


class HomeError(FastGLMError):
    """The folder that everything is kept in cannot be created or written."""


class ContextError(FastGLMError):
    """A single message that does not fit into the model's context."""


class DivergedError(FastGLMError):
    """A training whose loss is no number any more."""


class NumbersError(FastGLMError):
    """An answer whose logits are no numbers."""

    def __init__(
        self,
        message: str = "The model's logits became NaN or infinite, so that it has no answer: its weights are broken "
        "or too large for this dtype. Try dtype float32, or fetch the checkpoint again.",
    ) -> None:
        super().__init__(message)


class HostError(FastGLMError):
    """The process that runs a model could not start, or ended."""


class CancelledError(FastGLMError):
    """The work was stopped by its user."""
