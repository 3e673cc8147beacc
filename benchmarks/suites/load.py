"""Loading time with no file in memory and again with all files in memory, and the files' size."""

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
    """Measure `disk_size`, and `load_time` with a cold disk cache (if the system can drop files from memory) and with a
    warm one.
    """
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
    """Load a variant for the first time, which makes it if needed. Random weights have no files."""
    if host.info.folder:
        files += files_of(Path(host.info.folder))
    bench.reporter.step()


def _again(bench: Session, lineup: Lineup, variant: str, files: list[Path]) -> None:
    """Load once cold, if possible, and once warm."""
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
    """Have the system drop files from memory; False if it cannot, or if there are none."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)  # data that are not yet on the disk cannot be dropped
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
    return bool(files)
