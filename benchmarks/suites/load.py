"""How long loading takes, with nothing of the files in memory and again with all of them, and how large they are."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.run.host_rotation import Lineup
from benchmarks.run.session import Session
from benchmarks.run.workload import Workload
from fastglm.hosting.host import Host


def steps(workload: Workload) -> int:
    """The first load, then cold and warm ones in pairs."""
    return 1 + workload.repeats


def measure(bench: Session) -> None:
    """`disk_size`; `load_time` with a cold disk cache (where the system lets go of files) and with a warm one."""
    with bench.lineup("blocks") as lineup:
        bench.arranged(lineup)
        for variant in bench.standing:
            if bench.record.has(variant, "disk_size", {}):
                bench.skip(steps(bench.workload))
                continue
            files: list[Path] = []
            bench.attempt(lineup, variant, partial(_first, bench, files))
            for _ in range(bench.workload.repeats):
                _again(bench, lineup, variant, files)
            if files and variant in bench.standing:
                bench.record.add(variant, "disk_size", {}, 0, sum(file.stat().st_size for file in files))
            bench.record.save(everything=True)


def _first(bench: Session, files: list[Path], variant: str, host: Host, _fresh: bool) -> None:
    """A variant that is made on first use is there afterwards. Random weights have no files."""
    if host.info.folder:
        files += files_of(Path(host.info.folder))
    bench.reporter.step()


def _again(bench: Session, lineup: Lineup, variant: str, files: list[Path]) -> None:
    """Once cold, where that can be, and once warm."""
    lineup.drop(variant)
    for cache in ("cold", "warm") if forget(files) else ("warm",):
        if variant in bench.standing:
            bench.disk_cache = cache
            bench.attempt(lineup, variant, lambda *_: None)
            bench.disk_cache = None
            lineup.drop(variant)
    bench.reporter.step()


def files_of(folder: Path) -> list[Path]:
    """All files in a folder and below."""
    return [path for path in folder.rglob("*") if path.is_file()]


def forget(files: Sequence[Path]) -> bool:
    """Let the system drop what it holds of files in memory; False where it cannot be asked to, or there are none."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)  # what is not yet on the disk cannot be dropped
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
    return bool(files)
