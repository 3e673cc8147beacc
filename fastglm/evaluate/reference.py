"""What the original makes of given questions, computed once and kept: variants are compared with it on any machine."""

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
from .layerwise_answers import streamed_answers
from .likelihood import batches_of
from .reference_file import FINALS, Kept, Subject, read, rounded

STATES_AT_ONCE = 16_384  # tokens whose states are in memory together, while the weights pass once
SAVED_EVERY = 60.0  # seconds, of answers as they come
CACHE_SHARE = 3  # keys and values of streamed answers take this part of the free memory


class Reference:
    """The original's last states at the known answers of `examples`, and its own greedy answers to their prompts.

    From the states and the checkpoint's head its logits are computed anew, over the whole vocabulary.

    Kept in `FASTGLM_HOME/references`, under a name made of the checkpoint's weights and what is asked: a file that
    another machine made for the same serves as well. What is not kept is computed layer by layer, with the weights
    read from disk.
    """

    batches: list[Batch]  # of the examples; every variant is asked these

    def __init__(self, checkpoint: Checkpoint, examples: Sequence[Example], longest: int, device: torch.device) -> None:
        """
        Args:
            longest: tokens of the original's own answers.
            device: to compute on, in the precision that `original` has there.
        """
        self.checkpoint, self.examples, self.longest, self.device = checkpoint, examples, longest, device
        self.dtype = default_dtype(device)
        self.batches = list(batches_of(examples, checkpoint.pad))
        targets = sum(len(batch.targets) for batch in self.batches)
        asked = _asked(examples, self.batches, longest)
        sizes = checkpoint.config.vocab_size, checkpoint.config.hidden_size
        self.head = Head(checkpoint)
        self._subject = Subject(checkpoint.content_hash(), asked, len(examples), targets, *sizes)
        self._kept: Kept | None = None

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return folder("references") / f"{self._subject.checkpoint[:24]}-{self._subject.questions[:24]}.safetensors"

    @property
    def made(self) -> str:
        """In which precision, and on what."""
        return self._whole().made

    @property
    def answered(self) -> int:
        """How many of its answers are kept."""
        found = self._found()
        return len(found.answers) if found else 0

    @property
    def complete(self) -> bool:
        """Tell whether states and answers are all kept."""
        found = self._found()
        return found is not None and found.finals is not None and len(found.answers) == len(self.examples)

    @property
    def size(self) -> int:
        """Bytes of the states and the head, which are nearly all of the file that `write` writes."""
        states = self._subject.targets * (2 * self._subject.hidden + 8)
        return states + self.head.weight().nbytes

    def finals(self, progress: OnProgress | None = None) -> FinalStates:
        """States of all batches. Raises CheckpointError: the checkpoint is quantised or broken, or the kept file is."""
        found = self._whole(progress).finals
        assert found is not None  # computed by now
        return found

    def answers(self, tokenizer: Any, progress: OnProgress | None = None) -> list[str | None]:
        """To every example's prompt; None where an answer did not end. Raises CheckpointError as `finals` does."""
        found = dict(self._whole(progress).answers)
        missing = [number for number in range(len(self.examples)) if number not in found]
        if missing:
            self._tell(progress, len(found))
            model, saved = LayerwiseModel(self.checkpoint, self.device), time.monotonic()
            prompts = [self.examples[number].prompt for number in missing]
            room = free_memory(self.device) // CACHE_SHARE
            for place, ids in streamed_answers(model, prompts, self.longest, room):
                found[missing[place]] = answer_text(model.empty, tokenizer, ids)
                self._tell(progress, len(found))
                if time.monotonic() - saved > SAVED_EVERY:
                    self._keep(self.finals(), found)
                    saved = time.monotonic()
            self._keep(self.finals(), found)
        return [found[number] for number in range(len(self.examples))]

    def keep_answers(self, answers: Sequence[str | None]) -> None:
        """Keeps answers that the original gave when it was loaded, unless there are some."""
        if not self.complete:
            self._keep(self.finals(), dict(enumerate(answers)))

    def write(self, path: Path) -> None:
        """Writes what is kept to a file for another machine, with the head."""
        self._whole().write(path, self._subject, self.head.weight())

    def adopt(self, path: Path) -> None:
        """Keeps what another machine wrote, in place of what is kept. Raises CheckpointError: what is wrong with it.

        Of a file of an earlier version, which has no states, the answers alone.
        """
        self._kept = read(path, self._subject, "export it again from this checkpoint, with these questions")
        self._kept.write(self.path, self._subject)

    def _found(self) -> Kept | None:
        """The content of the file as it is; read anew until its states are there, which another process may make."""
        if (self._kept is None or self._kept.finals is None) and self.path.is_file():
            self._kept = read(self.path, self._subject, "remove it, it will be made again")
        return self._kept

    def _whole(self, progress: OnProgress | None = None) -> Kept:
        """The content of the file, once its states are there."""
        if not self._has_states():
            made_once(self.path, self._has_states, self._make, progress)
        found = self._found()
        assert found is not None  # it was made, here or by another process
        return found

    def _has_states(self) -> bool:
        found = self._found()
        return found is not None and found.finals is not None

    def _make(self, progress: OnProgress) -> None:
        """Computes the states; answers that are kept without them stay."""
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
    """SHA-256 of what is asked and expected, and of the order that the logits come in."""
    digest = hashlib.sha256(repr((longest, [(example.tokens, example.context) for example in examples])).encode())
    for batch in batches:
        digest.update(batch.targets.numpy().tobytes())
    return digest.hexdigest()


def _groups(batches: Sequence[Batch]) -> list[list[Batch]]:
    """Batches that are in memory together."""
    groups: list[list[Batch]] = []
    room = 0
    for batch in batches:
        if batch.input_ids.numel() > room:
            groups.append([])
            room = STATES_AT_ONCE
        groups[-1].append(batch)
        room -= batch.input_ids.numel()
    return groups
