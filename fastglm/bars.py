"""Progress in a terminal."""

from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from fastglm.progress import Progress


class Bars:
    """One bar a stage on standard error, gone at the end of the block; nothing where that is no terminal."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, progress: Progress) -> None:
        if self._bar is None or progress.stage != self._stage:
            if self._bar is not None:
                self._bar.close()
            self._stage = progress.stage
            self._bar = tqdm(
                desc=progress.stage,
                total=progress.total or None,
                unit=progress.unit or "it",
                unit_scale=progress.unit == "B",
                bar_format=None if progress.total else "{desc} …",
                leave=False,
                disable=None,
            )
        self._bar.set_postfix_str(progress.note, refresh=False)
        self._bar.update(progress.done - self._bar.n)
