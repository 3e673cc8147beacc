"""Random starts of two to four processes that make one variant; some of them are killed.

A seed decides their number, their starts and their kills; every failure's text contains it.
"""

import hashlib
import random
import threading
import time
from pathlib import Path

import pytest
from traces import check_nothing_is_left

from fastglm.compress.checkpoint_writer import is_whole
from fastglm.errors import FastGLMError, HostError
from fastglm.hosting import sweep
from fastglm.hosting.host import Host
from fastglm.hosting.protocol import HostKey
from fastglm.models.source import demo_folder

VARIANTS = ("int8", "int4")
LONGEST = 0.6  # seconds from the first start to the last kill, less than making the variant takes


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The hash of each variant, made by one process alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTGLM_HOME", str(tmp_path_factory.mktemp("alone")))
        found = {}
        for variant in VARIANTS:
            with Host.start("demo", variant, "cpu") as host:
                found[variant] = digest(Path(host.info.folder or ""))
    return found


def digest(folder: Path) -> str:
    content = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    return hashlib.sha256(repr(content).encode()).hexdigest()


class Start(threading.Thread):
    """One process that needs a variant."""

    def __init__(self, variant: str, begin: float, kill: float | None) -> None:
        super().__init__()
        self.variant, self.begin, self.kill = variant, begin, kill
        self.error: FastGLMError | None = None
        self.folder: Path | None = None
        self.made = 0  # the folder's inode number when it was loaded

    def run(self) -> None:
        time.sleep(self.begin)
        host = Host(HostKey("demo", self.variant, "cpu"))
        if self.kill is not None:
            threading.Timer(max(0.0, self.kill - self.begin), host._process.kill).start()
        try:
            host.load()
            self.folder = Path(host.info.folder or "")
            self.made = self.folder.stat().st_ino
        except FastGLMError as error:
            self.error = error
        if self.kill is not None:
            time.sleep(max(0.0, self.kill - self.begin))
        host.close()


def check(seed: int, home: Path, right: dict[str, str]) -> None:
    """Run one random start, and another after it."""
    chance, told = random.Random(seed), f"seed {seed}"
    variant, count = chance.choice(VARIANTS), chance.randint(2, 4)
    killed = chance.sample(range(count), chance.randint(0, count - 1))
    starts = [
        Start(variant, chance.uniform(0, 0.2), chance.uniform(0, LONGEST) if number in killed else None)
        for number in range(count)
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join(120)
        assert not start.is_alive(), f"{told}: a start hangs"
        assert start.error is None or start.kill is not None, f"{told}: {start.error}"
        assert start.error is None or isinstance(start.error, HostError), f"{told}: {start.error!r}"
    sweep._sweep.cache_clear()  # as in a separate process
    with Host.start("demo", variant, "cpu") as host:
        folder = Path(host.info.folder or "")
        answer = host.ask("你好", max_new_tokens=3, do_sample=False)
        assert answer.wait(60), told
        assert answer.state == "done", f"{told}: {answer.error}"
        sweep._sweep.cache_clear()
        sweep.sweep()
    made = {start.made for start in starts if start.made}
    assert made <= {folder.stat().st_ino}, f"{told}: more than one copy was made"
    assert is_whole(folder, demo_folder()), told
    assert digest(folder) == right[variant], told
    left = [path for path in (home / "variants").glob("*/*") if path != folder]
    assert not any(any(path.iterdir()) for path in left), told  # one that was never locked is empty, and goes later
    check_nothing_is_left(home, told)


@pytest.mark.parametrize("seed", range(10))
def test_processes_that_make_one_variant(seed: int, own_home: Path, right: dict[str, str]) -> None:
    check(seed, own_home, right)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 110))
def test_a_hundred_starts(seed: int, own_home: Path, right: dict[str, str]) -> None:
    check(seed, own_home, right)
