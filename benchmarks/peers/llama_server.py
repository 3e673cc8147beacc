"""llama.cpp's server, a program that its project publishes and that `FASTGLM_LLAMA_SERVER` or `PATH` names."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import llama
from benchmarks.peers.peer import lacking
from benchmarks.peers.server import PeerServer
from benchmarks.peers.sizes import Sizes

PROGRAM = "FASTGLM_LLAMA_SERVER"


class LlamaServer(PeerServer):
    """llama.cpp's server with weights in `q4_0` or `q8_0`, and a slot for each client."""

    def __init__(self, format: str, bits: float) -> None:
        self.name, self.bits = f"llama-server-{format}", bits
        self._format = format

    def missing(self) -> str | None:
        """See `Peer`."""
        if not shutil.which(_program()):
            return f"{_program()} is no program: put llama-server of llama.cpp on PATH, or name it by {PROGRAM}"
        return lacking("gguf")

    def write(self, sizes: Sizes, folder: Path) -> None:
        """See `WithFiles`."""
        llama.write(sizes, self._format, folder / llama.MODEL)

    def command(self, folder: Path, port: int, clients: int, tokens: int, threads: int) -> Sequence[str]:
        """See `PeerServer`. Old prompts are not kept in memory, because none comes again."""
        options = {
            "model": folder / llama.MODEL,
            "alias": self.name,
            "host": "127.0.0.1",
            "port": port,
            "parallel": clients,
            "ctx-size": clients * tokens,
            "threads": threads,
            "threads-batch": threads,
            "cache-ram": 0,
        }
        return [
            _program(),
            "--cont-batching",
            *(f"{part}" for name in options for part in (f"--{name}", options[name])),
        ]


def _program() -> str:
    return os.environ.get(PROGRAM) or "llama-server"
