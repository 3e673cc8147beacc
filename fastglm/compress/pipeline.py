"""A recipe applied to a model, step by step, so that a killed compression continues with the interrupted step.

The steps' folders lie in `<out>.work` beside the record so far. The last one becomes `out` in one move, with the record
of its making.
"""

import hashlib
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import CancelledError, UsageError
from ..models.base import ModelConfig
from ..models.checkpoint import Checkpoint
from ..progress.progress import OnProgress, Progress
from ..system.devices import resolve_device
from ..system.files import put, read_json
from ..system.home import make_parents, make_private
from ..text_files import Text
from . import manifest
from .calibration import calibration_examples
from .checkpoint_writer import check_room, open_plain
from .gptq_checkpoint import gptq_examples
from .manifest import checkpoint_files, hash_files, write_json
from .recipe import Recipe
from .scores import score
from .size import predict_size
from .steps import Distil, PruneVocabulary, Quantise, StepContext
from .text_split import Split, Texts

STATE = "state.json"


class Pipeline:
    """A model, a recipe, and the progress of its steps."""

    def __init__(
        self,
        model: str,
        source: Path,
        recipe: Recipe,
        out: Path,
        texts: Texts | None,
        device: str = "auto",
        progress: OnProgress | None = None,
    ) -> None:
        """Check everything before any file is written.

        Raises:
            UsageError: `out` exists, the model is quantized or too small for a step, texts are missing or too few, or
            the unfinished work there belongs to another compression.
            CheckpointError, DeviceError: the model or the device cannot be used.
            DiskShortError: the disk has no space for all steps together.
        """
        recipe.check_texts(texts is not None)
        self.model, self.source, self.recipe, self.out = model, source, recipe, out.absolute()
        self.device, self.progress = str(resolve_device(device)), progress
        self.work = self.out.with_name(self.out.name + ".work")
        self.checkpoint = open_plain(source, self.out)
        self.texts = None if texts is None else Split(texts)
        configs = recipe.configs(self.checkpoint.config)
        self._check_calibration()
        self.files = hash_files(checkpoint_files(self.checkpoint), progress)
        self.state = self._read_state()
        self._check_room(configs)

    def run(self) -> Path:
        """Run the unfinished steps.

        Raises:
            CancelledError: the user stopped it with Ctrl-C.
            FastGLMError: an error of a step. In both cases finished work stays, as the error's text or its note says.
        """
        make_parents(self.work)
        make_private(self.work)
        try:
            self._carry_out()
        except BaseException as error:
            note = self._leave()
            if isinstance(error, KeyboardInterrupt | CancelledError):
                raise CancelledError(" ".join(["Stopped.", *note])) from None
            for line in note:
                error.add_note(line)
            raise
        shutil.rmtree(self.work, ignore_errors=True)
        return self.out

    def _carry_out(self) -> None:
        if self.texts and "scores" not in self.state:
            self.state["scores"] = score(self.source, self.texts.held_out, self.device, self._tell("the model"))
            self._save()
        for number in range(1, len(self.recipe.steps) + 1):
            if len(self.state["steps"]) < number:
                self._step(number)
            self._score(number)
        last = self._folder(len(self.recipe.steps))
        write_json(last / manifest.FILE, self._record(last))
        put(last, self.out)

    def _step(self, number: int) -> None:
        step, out, began = self.recipe.steps[number - 1], self._folder(number), time.perf_counter()
        shutil.rmtree(out, ignore_errors=True)  # complete, but killed before this was recorded
        tell = self._tell(f"step {number} of {len(self.recipe.steps)}")
        given = StepContext(
            source=self._folder(number - 1),
            teacher=self._teacher(number),
            out=out,
            texts=self.texts,
            seed=self.recipe.seed,
            device=self.device,
            progress=tell,
        )
        tell(Progress(step.name, 0, 0))
        report = step.run(given)
        seconds = round(time.perf_counter() - began, 1)
        self.state["steps"].append({"step": step.name, "seconds": seconds, "size": _size(out), "report": report})
        self._save()
        given.state.unlink(missing_ok=True)

    def _score(self, number: int) -> None:
        """Score the model after a step."""
        record = self.state["steps"][number - 1]
        if not self.texts or "scores" in record:
            return
        tell = self._tell(f"step {number} of {len(self.recipe.steps)}")
        found = score(self._folder(number), self.texts.held_out, self.device, tell)
        if found and isinstance(self.recipe.steps[number - 1], PruneVocabulary):
            self._score_within(number, self.texts.held_out, tell)
        record["scores"] = found
        self._save()

    def _score_within(self, number: int, held_out: list[Text], tell: OnProgress) -> None:
        """Score the model and all earlier steps again over the tokens that step `number` left, so that scores are
        comparable.
        """
        for before, place in enumerate([self.state, *self.state["steps"][: number - 1]]):
            within = score(self._folder(before), held_out, self.device, tell, self._folder(number))
            place |= {"scores": within, "scores_over_all_tokens": place["scores"]}

    def _record(self, made: Path) -> dict[str, Any]:
        """The manifest of the result."""
        steps = self.state["steps"]
        paths = [path for path in made.iterdir() if path.name != manifest.FILE]
        return {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "recipe": self.recipe.as_dict(),
            "parents": manifest.parents(self.model, self.source, self.files),
            "versions": manifest.versions(),
            "device": self.device,
            "texts": self.texts and {"given": self.state["of"]["texts"], "held_out": len(self.texts.held_out)},
            "sizes": {
                "before": _size(self.source, checkpoint_files(self.checkpoint), self.checkpoint.config),
                "after": _size(made, paths),
            },
            "scores": self._scores(),
            "steps": steps,
            "files": hash_files(paths, self._tell("the end")),
        }

    def _scores(self) -> dict[str, Any] | None:
        """Scores before and after all steps, over the same tokens; if some were removed, `over` names the remaining
        ones.
        """
        if not self.state.get("scores"):
            return None
        found = {"before": self.state["scores"], "after": self.state["steps"][-1]["scores"]}
        if over_all := self.state.get("scores_over_all_tokens"):
            found["over"] = "the tokens that prune-vocabulary kept: what came before is renormalised over them"
            found["before_over_all_tokens"] = over_all
        return found

    def _folder(self, number: int) -> Path:
        """The folder of a step's checkpoint; before the first step, the model's."""
        return self.work / f"{number}-{self.recipe.steps[number - 1].name}" if number else self.source

    def _teacher(self, number: int) -> Path:
        """The last student before a step, or the whole model."""
        students = [n for n, step in enumerate(self.recipe.steps[: number - 1], 1) if _is_student(step)]
        return self._folder(students[-1] if students else 0)

    def _tell(self, where: str) -> OnProgress:
        def tell(progress: Progress) -> None:
            if self.progress:
                self.progress(replace(progress, stage=f"{where}: {progress.stage}"))

        return tell

    def _check_calibration(self) -> None:
        """Raise UsageError if there are too few texts for a step."""
        if self.texts and any(isinstance(step, Quantise) for step in self.recipe.steps):
            gptq_examples(self.checkpoint, self.texts.fit)
        elif self.texts and any(step.calibrates for step in self.recipe.steps):
            calibration_examples(self.checkpoint, self.texts.calibrate)

    def _check_room(self, configs: list[ModelConfig]) -> None:
        """Check the disk for all remaining steps together."""
        to_come = list(zip(self.recipe.steps, configs, strict=True))[len(self.state["steps"]) :]
        check_room(self.out, sum(predict_size(config).bytes + step.scratch(config) for step, config in to_come))

    def _read_state(self) -> dict[str, Any]:
        """Read the state of finished steps. Raises UsageError if it belongs to another compression."""
        recipe = self.recipe.as_dict()
        texts = self.texts and (self.texts.given if isinstance(self.texts.given, str) else _hash(self.texts.given))
        own = {"recipe": [recipe["seed"], recipe["steps"]], "model": self.files, "texts": texts}
        if not (self.work / STATE).is_file():
            return {"of": own, "steps": []}
        state = read_json(self.work / STATE)
        if others := [name for name in own if state.get("of", {}).get(name) != own[name]]:
            raise UsageError(
                f"{self.work} holds work that was stopped with another {' and '.join(others)}: "
                "remove that folder, or name another one to make."
            )
        whole = 0
        while whole < len(state["steps"]) and self._folder(whole + 1).is_dir():
            whole += 1
        return state | {"steps": state["steps"][:whole]}

    def _save(self) -> None:
        write_json(self.work / STATE, self.state)

    def _leave(self) -> list[str]:
        """Remove the work if no step has a result; otherwise return a line that names the kept work."""
        done, steps = len(self.state["steps"]), len(self.recipe.steps)
        if not done and not any(self.work.glob("*.state")):
            shutil.rmtree(self.work, ignore_errors=True)
            return []
        where = f"at step {done + 1} of {steps}" if done < steps else "at its end"
        return [f"What is done is kept in {self.work}: the same command goes on {where}."]


def _is_student(step: object) -> bool:
    return isinstance(step, Distil) and step.student is not None


def _size(folder: Path, paths: list[Path] | None = None, config: ModelConfig | None = None) -> dict[str, int]:
    """Parameters of a checkpoint, and bytes of its files."""
    parameters = predict_size(config or Checkpoint(folder).config).parameters
    return {"parameters": parameters, "bytes": sum(path.stat().st_size for path in paths or folder.iterdir())}


def _hash(texts: object) -> str:
    return hashlib.sha256(repr(texts).encode("utf-8", "surrogatepass")).hexdigest()
