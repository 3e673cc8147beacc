"""The published code, from a folder that contains it, in a Python with the old transformers that still run it.

This Python is a child process of the host, which passes its tokens on.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import OwnProcess
from benchmarks.peers.sizes import Sizes
from fastglm.errors import HostError
from fastglm.models.source import demo_folder
from fastglm.models.tokenizer_files import read_tokenizer

_WORKER = Path(__file__).with_name("published_worker.py")
_PLACE = "place.json"
_CODE = "modeling_chatglm.py"


@dataclass(frozen=True, slots=True)
class Published(OwnProcess):
    """`code` is a folder with modeling_chatglm.py and its config.json, `python` the program that runs it."""

    code: Path | None = None
    python: str = ""
    name: str = "published"
    bits: float = 0.0

    def missing(self) -> str | None:
        """See `Peer`."""
        if self.code is None:
            return "no folder was named: --published FOLDER --published-python PYTHON"
        if not (self.code / _CODE).is_file():
            return f"{self.code} has no {_CODE}"
        found = self._ask("import torch, transformers; print(transformers.__version__)")
        return None if found else f"{self.python} does not have torch and transformers"

    def write(self, sizes: Sizes, folder: Path) -> None:
        """Write the folder of its code; weights are drawn by the process that uses them. Raises `UsageError` for a
        model with gated layers.
        """
        sizes.check_plain()
        (folder / _PLACE).write_text(json.dumps({"code": str(self.code), "python": self.python}), encoding="utf-8")

    def load(self, folder: Path, sizes: Sizes, threads: int) -> "Elsewhere":
        """See `OwnProcess`."""
        place = json.loads((folder / _PLACE).read_text(encoding="utf-8"))
        return Elsewhere(place["python"], place["code"], sizes, threads)

    def _ask(self, program: str) -> str:
        try:
            done = subprocess.run([self.python, "-c", program], capture_output=True, text=True, timeout=120, check=True)
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout.strip()


class Elsewhere:
    """The worker process, which exchanges lines of JSON and ends with its input."""

    def __init__(self, python: str, code: str, sizes: Sizes, threads: int) -> None:
        tokenizer: Any = read_tokenizer(demo_folder())
        special = {
            "bos_token_id": tokenizer.bos_token_id,
            "mask_token_id": tokenizer.convert_tokens_to_ids("[MASK]"),
            "gmask_token_id": tokenizer.gmask_token_id,
        }
        self._process = subprocess.Popen(
            [python, str(_WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self.notes = self._tell(code=code, threads=threads, sizes=asdict(sizes), special=special)["notes"]

    def generate(self, prompt: list[int], tokens: int) -> Iterator[int]:
        """See `Engine`."""
        yield self._tell(prompt=prompt, tokens=tokens)["token"]
        for _ in range(tokens - 1):
            yield self._hear()["token"]

    def _tell(self, **request: Any) -> Any:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise HostError(f"the published code ended with status {self._process.wait()}")
        return json.loads(line)
