"""Checks of the recipes on another model than the demo: half its width, trained briefly."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

import fastglm
from benchmarks.measure.bounds import ClaimedFigure
from benchmarks.run.isolated import apart
from benchmarks.run.progress import Reporter
from benchmarks.run.questions import held_out
from fastglm.compress import compress
from fastglm.compress.manifest import read_manifest
from fastglm.demo.training.plan import Plan
from fastglm.demo.training.train import train
from fastglm.evaluate.divergence import divergence
from fastglm.evaluate.likelihood import batches_of
from fastglm.evaluate.scoring import encoded
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.tokenizer_files import read_tokenizer
from fastglm.progress.progress import OnProgress

PLAN = Plan(hidden=128, heads=4, inner=512)
STEPS = 1500
PROMISED = "at half the demo's width: KL of int8 ≤ int4 ≤ int4 to nearest; a pruned model is better healed"
INT4 = {"int4": 128, "int4-g64": 64, "int4-g32": 32}  # recipes by group


class Found(NamedTuple):
    """Results for the narrow model."""

    divergences: Mapping[str, float]  # by recipe, and by "to nearest": KL to the model, nats per token
    # Losses of the model, after pruning depth, after pruning width, and after healing: nats per token.
    losses: list[float]


def promise(reporter: Reporter, plan: Plan = PLAN, steps: int = STEPS, each: int = 10) -> list[ClaimedFigure]:
    """Compare the formats in every group, and the loss before and after healing."""
    with tempfile.TemporaryDirectory() as folder:
        kl, losses = apart(measured, reporter, folder, plan, steps, each)
    of_nearest = [
        ClaimedFigure(
            kl[recipe] / kl[f"{recipe} to nearest"], "×", f"KL, groups of {group}: of that to nearest", most=1
        )
        for recipe, group in INT4.items()
    ]
    of_int4 = ClaimedFigure(kl["int8"] / min(kl[recipe] for recipe in INT4), "×", "int8: of the best int4", most=1)
    healed = ClaimedFigure(losses[-1] / losses[-2], "×", "loss healed: of that after pruning", most=1)
    return [*of_nearest, of_int4, healed]


def measured(progress: OnProgress, folder: str, plan: Plan, steps: int, each: int) -> Found:
    """Train the model, make its variants by the named recipes, and compare them on `each` held-out questions of every
    skill, split and language.
    """
    model = Path(folder) / "model"
    model.mkdir()
    train(model, steps, 0, "cpu", False, progress, plan)
    checkpoint, tokenizer = Checkpoint(model), read_tokenizer(model)
    asked = [question.asked for question in held_out(each)]
    batches = list(batches_of(encoded(tokenizer, asked, checkpoint.config.context), checkpoint.config))
    streamed = LayerwiseModel(checkpoint, torch.device("cpu"), torch.float32)
    original = streamed.finals(batches)
    found = {}
    for recipe in ("int8", *INT4):
        for texts, name in (("demo", recipe), (None, f"{recipe} to nearest")):
            out = compress(str(model), recipe, Path(folder) / name, texts, progress, device="cpu")
            loaded, _ = fastglm.load(str(out), "fast", "cpu", progress=progress)
            found[name] = divergence(loaded, batches, original, streamed.head).kl_divergence
    pruned = read_manifest(compress(str(model), "pruned", Path(folder) / "pruned", "demo", progress, device="cpu"))
    assert pruned is not None  # just written
    scores = [pruned["scores"]["before"], *(step["scores"] for step in pruned["steps"])]
    return Found(found, [score["loss"] for score in scores])
