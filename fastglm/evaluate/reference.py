"""Reference of given questions: the original's states and answers, computed once and stored; variants are compared with
it on any machine.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..models.checkpoint import Checkpoint
from ..models.head import FinalStates, Head
from ..models.layerwise import LayerwiseModel
from ..models.packing import Batch, Example
from ..progress.progress import OnProgress, Progress
from ..system.devices import default_dtype, free_memory
from ..system.home import folder
from ..system.making import made_once
from .answers import answer_text
from .layerwise_answers import layerwise_answers
from .likelihood import batches_of
from .reference_file import FINALS, Kept, Subject, read, rounded

STATES_AT_ONCE = 16_384  # tokens whose states are in memory together while the weights are read once
SAVED_EVERY = 60.0  # seconds between writes of answers during their generation
CACHE_SHARE = 3  # share of the free memory for keys and values of streamed answers


class Reference:
    """The original's last states at the known answers of `examples`, and its own greedy answers to their prompts.

    Its logits over the whole vocabulary are computed again from the states and the checkpoint's head.

    Stored in `FASTGLM_HOME/references`, under a name made from the checkpoint's weights and the questions, so a file
    from another machine serves as well. Missing parts are computed layer by layer, with the weights read from disk.
    """

    batches: list[Batch]  # batches of the examples; every variant is scored on these

    def __init__(self, checkpoint: Checkpoint, examples: Sequence[Example], longest: int, device: torch.device) -> None:
        """Create a reference; nothing is read or computed yet.

        Args:
            longest: tokens of the original's own answers.
            device: to compute on, in the precision that `original` has there.
        """
        self.checkpoint, self.examples, self.longest, self.device = checkpoint, examples, longest, device
        self.dtype = default_dtype(device)
        self.batches = list(batches_of(examples, checkpoint.config))
        targets = sum(len(batch.targets) for batch in self.batches)
        asked = _asked(examples, self.batches, longest)
        sizes = checkpoint.config.vocab_size, checkpoint.config.hidden_size
        self.head = Head(checkpoint)
        self._subject = Subject(checkpoint.content_hash(), asked, len(examples), targets, *sizes)
        self._kept: Kept | None = None

    @property
    def path(self) -> Path:
        """The path of the stored file."""
        return folder("references") / f"{self._subject.checkpoint[:24]}-{self._subject.questions[:24]}.safetensors"

    @property
    def made(self) -> str:
        """The precision and the device of its states."""
        return self._whole().made

    @property
    def answered(self) -> int:
        """The number of stored answers."""
        found = self._found()
        return len(found.answers) if found else 0

    @property
    def complete(self) -> bool:
        """Tell whether all states and answers are stored."""
        found = self._found()
        return found is not None and found.finals is not None and len(found.answers) == len(self.examples)

    @property
    def size(self) -> int:
        """Bytes of the states and the head, which are nearly all of the file that `write` writes."""
        states = self._subject.targets * (2 * self._subject.hidden + 8)
        return states + self.head.weight().nbytes

    def finals(self, progress: OnProgress | None = None) -> FinalStates:
        """States of all batches. Raises CheckpointError if the checkpoint is quantized or broken, or the stored file
        is.
        """
        found = self._whole(progress).finals
        assert found is not None  # computed by now
        return found

    def answers(self, tokenizer: Any, progress: OnProgress | None = None) -> list[str | None]:
        """Answers to every example's prompt; None for an answer that did not end. Raises CheckpointError as `finals`
        does.
        """
        found = dict(self._whole(progress).answers)
        missing = [number for number in range(len(self.examples)) if number not in found]
        if missing:
            self._tell(progress, len(found))
            model, saved = LayerwiseModel(self.checkpoint, self.device), time.monotonic()
            prompts = [self.examples[number].prompt for number in missing]
            room = free_memory(self.device) // CACHE_SHARE
            for place, ids in layerwise_answers(model, prompts, self.longest, room):
                found[missing[place]] = answer_text(model.empty, tokenizer, ids)
                self._tell(progress, len(found))
                if time.monotonic() - saved > SAVED_EVERY:
                    self._keep(self.finals(), found)
                    saved = time.monotonic()
            self._keep(self.finals(), found)
        return [found[number] for number in range(len(self.examples))]

    def keep_answers(self, answers: Sequence[str | None]) -> None:
        """Store answers that the loaded original gave, unless there are some already."""
        if not self.complete:
            self._keep(self.finals(), dict(enumerate(answers)))

    def write(self, path: Path) -> None:
        """Write the stored content to a file for another machine, with the head."""
        self._whole().write(path, self._subject, self.head.weight())

    def adopt(self, path: Path) -> None:
        """Store another machine's file, in place of the present one. Raises CheckpointError with the file's fault.

        A file of an earlier version has no states, so only its answers are stored.
        """
        self._kept = read(path, self._subject, "export it again from this checkpoint, with these questions")
        self._kept.write(self.path, self._subject)

    def _found(self) -> Kept | None:
        """The present content of the file, read again until it has states, which another process may be computing."""
        if (self._kept is None or self._kept.finals is None) and self.path.is_file():
            self._kept = read(self.path, self._subject, "remove it, it will be made again")
        return self._kept

    def _whole(self, progress: OnProgress | None = None) -> Kept:
        """The content of the file, once it has states."""
        if not self._has_states():
            made_once(self.path, self._has_states, self._make, progress)
        found = self._found()
        assert found is not None  # this process or another one made it
        return found

    def _has_states(self) -> bool:
        found = self._found()
        return found is not None and found.finals is not None

    def _make(self, progress: OnProgress) -> None:
        """Compute the states; stored answers without states stay."""
        found = self._found()
        self._keep(self._compute(progress), dict(found.answers) if found else {})

    def _keep(self, finals: FinalStates, answers: dict[int, str | None]) -> None:
        made = f"{str(self.dtype).removeprefix('torch.')} on {self.device.type}"
        if self._kept and self._kept.finals:
            made = self._kept.made
        elif self._kept and self._kept.answers:
            made = f"{self._kept.made}, probabilities in {made}"
        self._kept = Kept(made, finals, dict(answers))
        self._kept.write(self.path, self._subject)

    def _tell(self, progress: OnProgress | None, answered: int) -> None:
        if progress:
            progress(Progress("original's answers", answered, len(self.examples), "questions"))

    def _compute(self, progress: OnProgress | None) -> FinalStates:
        model = LayerwiseModel(self.checkpoint, self.device)
        groups = _groups(self.batches)
        found: list[FinalStates] = []
        for number, group in enumerate(groups):

            def on_layer(done: int, layers: int, before: int = number) -> None:
                if progress:
                    progress(Progress("original", before * layers + done, len(groups) * layers, "layers"))

            found.append(model.finals(group, on_layer))
        states, best, losses = (torch.cat([getattr(part, name).cpu() for part in found]) for name in FINALS)
        return FinalStates(rounded(states), best, losses)


def _asked(examples: Sequence[Example], batches: Sequence[Batch], longest: int) -> str:
    """SHA-256 of the questions with their expected answers, and of the order of the logits."""
    digest = hashlib.sha256(repr((longest, [(example.tokens, example.context) for example in examples])).encode())
    for batch in batches:
        digest.update(batch.targets.numpy().tobytes())
    return digest.hexdigest()


def _groups(batches: Sequence[Batch]) -> list[list[Batch]]:
    """Group batches that are in memory together."""
    groups: list[list[Batch]] = []
    room = 0
    for batch in batches:
        if batch.input_ids.numel() > room:
            groups.append([])
            room = STATES_AT_ONCE
        groups[-1].append(batch)
        room -= batch.input_ids.numel()
    return groups
