"""The training loop: AdamW, warm-up and cosine, gradient clipping, and a state file that survives a kill.

Built on Hugging Face Accelerate: `accelerate launch` gives each process a share of each batch's rows, and on GPUs the
forward pass runs in 16 bits.
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CancelledError, DivergedError, UsageError
from ..models.packing import Batch
from ..progress.bar import Bars
from ..progress.progress import OnProgress, Progress
from ..system.devices import resolve_device
from ..system.files import replacing
from .learner import Learner

Weights = dict[str, Tensor]  # by name


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a training. A state file can be continued only with the settings it was made with."""

    steps: int
    seed: int
    learning_rate: float = 2e-3  # at the end of the warm-up
    restarts: tuple[tuple[int, float], ...] = ()  # steps at which warm-up and cosine start anew, with their peak rates
    warmup: int = 100  # steps
    final: float = 0.05  # last learning rate as a share of the peak
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0  # largest norm of the gradient
    save_every: int = 100  # steps between state files
    score_every: int = 200  # steps between held-out scores

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear up, then cosine down, repeated after each restart (Loshchilov and Hutter
        2017, p. 4).
        """
        starts = ((0, self.learning_rate), *self.restarts, (self.steps, 0.0))
        (start, highest), (end, _) = next(pair for pair in pairwise(starts) if step < pair[1][0])
        step -= start
        if step < self.warmup:
            return highest * (step + 1) / self.warmup
        done = (step - self.warmup) / max(end - start - self.warmup, 1)
        return highest * (self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2)


@dataclass(slots=True)
class History:
    """Losses and scores of a training so far, over all its resumptions."""

    step: int = 0
    tokens: int = 0
    examples: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)  # one for each step
    held_out: dict[int, float] = field(default_factory=dict)  # held-out loss by step


def own_device(device: str) -> torch.device:
    """The device of this process: its own card if `accelerate launch` began several processes, otherwise the requested
    one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState  # not an Accelerator, which would fix the precision of all later ones

        return PartialState().device
    return resolve_device(device)


def is_first() -> bool:
    """Tell whether this process is the one that writes files."""
    return int(os.environ.get("RANK", "0")) == 0


def fit(
    learner: Learner,
    batch_of: Callable[[int], Batch],
    settings: Settings,
    state: Path,
    *,
    held_out: Callable[[], float] | None = None,
    resume: bool = False,
    progress: OnProgress | None = None,
) -> History:
    """Train `learner.model` in place. The final weights are the mean of the weights at the ends of all parts after the
    first restart (Izmailov et al. 2018, arXiv 1803.05407), or without a restart the weights of the last step.

    Args:
        batch_of: gives the batch of a step, always the same for the same step, so that resuming needs no other state.
        state: the file that the training resumes from, on a disk that all processes see; replaced atomically.
        held_out: computes the held-out loss.
        progress: called after every step; a bar is drawn if it is None.

    Raises:
        UsageError: `state` was made with other settings, or there are more processes than rows in a batch.
        DivergedError: the loss became infinite or NaN; the last state stays.
        CancelledError: the user stopped it with Ctrl-C.
    """
    training = _Training(learner, settings, state, resume)
    history = training.history
    bars = Bars()
    tell = progress or bars
    learner.train()
    try:
        while history.step < settings.steps:
            began = time.perf_counter()
            training.step(batch_of(history.step))
            is_last = history.step == settings.steps
            if is_first() and held_out and (history.step % settings.score_every == 0 or is_last):
                learner.eval()
                history.held_out[history.step] = held_out()
                learner.train()
            history.seconds += time.perf_counter() - began
            if is_first():
                if history.step % settings.save_every == 0 or is_last:
                    training.save()
                tell(Progress("training", history.step, settings.steps, "steps", _summary(history)))
    except KeyboardInterrupt:
        saved = history.step - history.step % settings.save_every
        raise CancelledError(f"Training was stopped; with --resume it goes on from step {saved}.") from None
    finally:
        bars.close()
        learner.eval()
    ends = training.ends
    learner.model.load_state_dict({name: torch.stack([end[name] for end in ends]).mean(0) for name in ends[0]})
    return history


class _Training:
    """A training between two steps."""

    def __init__(self, learner: Learner, settings: Settings, state: Path, resume: bool) -> None:
        self.learner, self.settings, self.state = learner, settings, state
        self.history = History()
        self.ends: list[Weights] = []  # of the parts whose weights are averaged
        self._device = next(learner.parameters()).device
        self._accelerator = _accelerator(_half(self._device))
        self._optimizer = _optimizer(learner, settings)
        if resume and state.exists():
            self._load()
        self._prepared, self._running = self._accelerator.prepare(learner, self._optimizer)

    def step(self, batch: Batch) -> None:
        """Learn from a batch. Raises DivergedError if its loss is infinite or NaN."""
        history, settings = self.history, self.settings
        for group in self._optimizer.param_groups:
            group["lr"] = settings.rate(history.step)
        loss = _loss(self._accelerator, self._prepared, batch, self._device)
        if not loss.isfinite():
            raise DivergedError(_diverged(loss.item(), history.step, self.state))
        self._accelerator.backward(loss)
        self._accelerator.clip_grad_norm_(self.learner.parameters(), settings.clip)
        self._running.step()
        self._running.zero_grad()

        history.losses.append(round(self._accelerator.reduce(loss.detach(), "mean").item(), 4))
        history.step += 1
        history.tokens += batch.tokens
        history.examples += batch.examples
        if history.step in {step for step, _ in settings.restarts[1:]} | {settings.steps}:
            weights = self.learner.model.state_dict()
            self.ends.append({name: part.detach().cpu().clone() for name, part in weights.items()})

    def save(self) -> None:
        """Write the state file; a kill leaves the old or the new one."""
        content = {
            "settings": asdict(self.settings),
            "history": asdict(self.history),
            "ends": self.ends,
            "learner": self.learner.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        with replacing(self.state) as partial:
            torch.save(content, partial)

    def _load(self) -> None:
        content: dict[str, Any] = torch.load(self.state, weights_only=True, map_location="cpu")
        if content["settings"] != asdict(self.settings):
            raise UsageError(
                f"{self.state} was made with other steps, seed or settings: "
                "pass the same ones, or start anew without --resume."
            )
        self.learner.load_state_dict(content["learner"])
        self._optimizer.load_state_dict(content["optimizer"])
        self.history, self.ends = History(**content["history"]), content["ends"]


def _accelerator(precision: str | None) -> Any:
    from accelerate import Accelerator  # imported late: takes a second, and only training needs it

    return Accelerator(mixed_precision=precision, device_placement=False)


def _half(device: torch.device) -> str | None:
    """The 16-bit type of a GPU's forward pass; None elsewhere, where fp32 is as fast."""
    if device.type != "cuda":
        return None
    return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"


def _loss(accelerator: Any, learner: torch.nn.Module, batch: Batch, device: torch.device) -> Tensor:
    """The loss of this process's rows, weighted so that the mean over all processes is the loss of the whole batch."""
    processes = accelerator.num_processes
    if processes == 1:
        return learner(batch.to(device))
    if processes > len(batch.input_ids):
        raise UsageError(f"{processes} processes cannot share {len(batch.input_ids)} rows: start fewer.")
    part = batch.part(accelerator.process_index, processes)
    return learner(part.to(device)) * (len(part.targets) * processes / len(batch.targets))


def _diverged(loss: float, step: int, state: Path) -> str:
    kept = f"the state before it is kept in {state}" if state.exists() else "nothing was kept so early"
    return f"The loss became {loss} at step {step}: {kept}; try again with a lower learning rate."


def _summary(history: History) -> str:
    recent = history.losses[-20:]
    text = f"loss {sum(recent) / len(recent):.3f}, {history.tokens / history.seconds:,.0f} tokens/s"
    return text + (f", held-out loss {list(history.held_out.values())[-1]:.3f}" if history.held_out else "")


def _optimizer(learner: Learner, settings: Settings) -> torch.optim.Optimizer:
    """AdamW that decays matrices only."""
    matrices = [p for p in learner.parameters() if p.ndim > 1]
    others = [p for p in learner.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)
