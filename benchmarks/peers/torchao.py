"""torchao's weight-only formats on `original`: transformers' eager engine without compilation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import lacking, versions
from fastglm.hosting.host import Host
from fastglm.progress.progress import OnProgress


class TorchAO:
    """torchao with weights in `int4` (groups of 128) or `int8` (per row), and activations in bfloat16 as its kernels
    require.
    """

    def __init__(self, format: str) -> None:
        self.name = f"torchao-{format}"
        self._format = format

    def missing(self) -> str | None:
        """See `Peer`."""
        return lacking("torchao")

    def start(self, model: str, folder: Path, threads: int, progress: OnProgress) -> Host:
        """See `Peer`."""
        host = Host.start(model, "original", "cpu", "bfloat16", progress=progress, threads=threads)
        try:
            held = host.apply(quantise, self._format, progress=progress)
        except BaseException:
            host.close()
            raise
        host.info = replace(host.info, variant=self.name, weights_memory=held, notes=versions("torchao"))
        return host


def quantise(model: Any, _tokenizer: Any, format: str, progress: OnProgress) -> int:
    """Let torchao pack the linear layers of a loaded model, including the head; return the bytes of the weights."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_
    from torchao.utils import get_model_size_in_bytes

    if format == "int8":
        quantize_(model, Int8WeightOnlyConfig())
    else:
        from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

        quantize_(model, PrototypeInt4WeightOnlyConfig(group_size=128))
    return int(get_model_size_in_bytes(model))
