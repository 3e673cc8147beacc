"""bitsandbytes, which is among our own variants, as it runs under transformers' `generate`."""

from pathlib import Path

from fastglm.hosting.host import Host
from fastglm.progress.progress import OnProgress
from fastglm.variants.variants import bitsandbytes_reason


class BitsAndBytes:
    """A variant of that name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def missing(self) -> str | None:
        """See `Peer`."""
        return bitsandbytes_reason("cpu")

    def start(self, model: str, folder: Path, threads: int, progress: OnProgress) -> Host:
        """See `Peer`."""
        return Host.start(model, self.name, "cpu", progress=progress, threads=threads)
