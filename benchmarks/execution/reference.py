"""Answers of `original` to the questions, in a file: made on a machine with enough memory, used on one without."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.run.device import alone
from benchmarks.run.isolated import elsewhere
from benchmarks.run.progress import Reporter
from benchmarks.run.questions import Question, held_out, read_texts
from benchmarks.suites.quality import LONGEST_ANSWER, streamed
from fastglm.compress.checkpoint_writer import check_room
from fastglm.errors import MemoryShortError
from fastglm.evaluate.reference import Reference
from fastglm.evaluate.scoring import Asked, encoded, judge
from fastglm.hosting.host import Host
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.source import find_source, find_trained
from fastglm.models.tokenizer_files import read_tokenizer
from fastglm.progress.progress import Progress
from fastglm.system.devices import resolve_device


@dataclass(frozen=True, slots=True)
class Interview:
    """A model's original and its questions."""

    model: str
    questions: Sequence[Question]
    device: str

    @classmethod
    def read(cls, model: str, questions: int, texts: Path | None, device: str) -> "Interview":
        """Make an interview from the held-out questions, or from a user's own. Raises `UsageError` and
        `DeviceError`.
        """
        find_trained(model)
        return cls(model, read_texts(texts) if texts else held_out(questions, model), str(resolve_device(device)))

    def check_room(self, file: Path) -> tuple[int, int]:
        """The bytes that `export` will write, and the head's part of them. Raises `DiskShortError`."""
        reference = self._reference()
        check_room(file, reference.size)
        return reference.size, reference.head.weight().nbytes

    def export(self, file: Path, reporter: Reporter) -> Reference:
        """Write the stored answers to `file`, after making missing ones. Raises `FastGLMError`."""
        reference = self._reference()
        if not reference.complete:
            self._make(reporter)
            reference = self._reference()
        reference.write(file)
        return reference

    def adopt(self, file: Path) -> Reference:
        """Store the answers that another machine wrote to `file`. Raises `CheckpointError` with the file's fault."""
        reference = self._reference()
        reference.adopt(file)
        return reference

    def _asked(self) -> list[Asked]:
        return [question.asked for question in self.questions]

    def _reference(self) -> Reference:
        checkpoint = Checkpoint(find_source(self.model).fetch())
        tokenizer = read_tokenizer(checkpoint.folder)
        examples = encoded(tokenizer, self._asked(), checkpoint.config.context)
        return Reference(checkpoint, examples, LONGEST_ANSWER, resolve_device(self.device))

    def _make(self, reporter: Reporter) -> None:
        """Make the answers with the original loaded, or layer by layer if memory is short."""

        def progress(news: Progress) -> None:
            reporter.at(f"{news.stage} ({news.done:.0f} of {news.total:.0f} {news.unit})", news.fraction)

        reporter.plan(1)
        asked = self._asked()
        with alone(self.device, f"reference of {self.model}", reporter):
            try:
                with Host.start(self.model, "original", self.device, progress=progress) as host:
                    host.apply(judge, asked, LONGEST_ANSWER, progress=progress)
            except MemoryShortError:
                elsewhere(streamed, progress, self.model, self.device, asked, LONGEST_ANSWER)
