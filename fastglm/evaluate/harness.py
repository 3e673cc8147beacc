"""Tasks of lm-evaluation-harness (github.com/EleutherAI/lm-evaluation-harness), for any variant.

Needs the extra `eval`.
"""

import difflib
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager
from lm_eval.utils import handle_non_serializable, make_table

from ..errors import FastGLMError, UsageError
from ..progress.progress import OnProgress
from .arithmetic import Arithmetic, arithmetic_of
from .harness_model import FEWSHOT_SEED, VariantLM

SEED = 0  # the harness's own
TOLD = ("results", "groups", "group_subtasks", "versions", "n-shot", "n-samples", "higher_is_better")  # in JSON


@dataclass(frozen=True, slots=True)
class HarnessReport:
    """Results of the harness, in the form of its `evaluate`."""

    found: dict[str, Any]
    arithmetic: Arithmetic  # arithmetic of the likelihoods
    seconds: float

    def as_text(self) -> str:
        """The harness's tables."""
        tables = [make_table(self.found), *([make_table(self.found, "groups")] if self.found.get("groups") else [])]
        return "\n".join([*tables, f"likelihoods in {self.arithmetic} arithmetic"])

    def as_json(self) -> dict[str, Any]:
        """Results and versions of the tasks, the version of the harness."""
        from importlib.metadata import version

        told = {name: self.found[name] for name in TOLD if name in self.found}
        plain: dict[str, Any] = json.loads(json.dumps(told, default=handle_non_serializable))
        return {"lm_eval": version("lm_eval"), "arithmetic": str(self.arithmetic), "seconds": self.seconds, **plain}


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks with their data, ready to run."""

    loaded: Any  # the harness's TaskDict

    @classmethod
    def load(cls, names: Sequence[str], folder: Path | None = None) -> "Tasks":
        """Read tasks, groups or tags, of the harness or from the YAML files in `folder`.

        Raises:
            UsageError: there is no such folder or task, or the task runs code that a model wrote.
            FastGLMError: a task or its data cannot be read.
        """
        if folder and not folder.is_dir():
            raise UsageError(f"{folder} is not a folder: --tasks names the folder of the tasks' YAML files.")
        random.seed(SEED)
        np.random.seed(FEWSHOT_SEED)
        manager = _manager(names, folder)
        for name in names:
            if name not in manager.all_tasks:
                near = difflib.get_close_matches(name, manager.all_tasks)
                hint = f"is it {' or '.join(near)}?" if near else "`lm-eval ls tasks` lists those it has."
                raise UsageError(f"lm-eval has no task {name!r}, nor is it in a folder given by --tasks: {hint}")
        try:
            loaded = manager.load(list(names))
        except Exception as error:  # YAML, data and code of tasks can raise anything
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            raise FastGLMError(
                f"lm-eval cannot read {', '.join(names)} ({reason}): check its YAML and data."
            ) from error
        for name, task in loaded["tasks"].items():
            if getattr(task, "UNSAFE_CODE", False):
                raise UsageError(
                    f"The task {name} runs code that the model writes, which is not done here: leave it out."
                )
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
        return cls(loaded)

    def ask(
        self,
        model: Any,
        tokenizer: Any,
        limit: int | None,
        progress: OnProgress | None,
        arithmetic: Arithmetic = Arithmetic.exact,
    ) -> HarnessReport:
        """Evaluate a variant on the first `limit` examples of each task, or on all."""
        began = time.perf_counter()
        lm = VariantLM(model, tokenizer, progress, arithmetic)
        found = evaluate(lm, self.loaded, limit=limit, log_samples=False)
        return HarnessReport(found, arithmetic_of(model, arithmetic), time.perf_counter() - began)


def _manager(names: Sequence[str], folder: Path | None) -> TaskManager:
    """A manager for the user's own tasks alone, if no others are requested: listing the harness's thousands takes
    seconds.
    """
    if folder:
        own = TaskManager(include_path=folder, include_defaults=False)
        if set(names) <= set(own.all_subtasks):
            return own
    return TaskManager(include_path=folder)
