"""bitsandbytes under transformers' `generate`; it is also one of this project's variants."""

from pathlib import Path

from fastglm.hosting.host import Host
from fastglm.progress.progress import OnProgress
from fastglm.variants.variants import bitsandbytes_reason


class BitsAndBytes:
    """The bitsandbytes variant of that name, as a peer."""

    def __init__(self, name: str) -> None:
        self.name = name

    def missing(self) -> str | None:
        """See `Peer`."""
        return bitsandbytes_reason("cpu")

    def start(self, model: str, folder: Path, threads: int, progress: OnProgress) -> Host:
        """See `Peer`."""
        return Host.start(model, self.name, "cpu", progress=progress, threads=threads)
