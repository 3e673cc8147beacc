"""Train an embedded model from nothing: tokenizer, weights, held-out score and model card."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from ...models.packing import Batch
from ...progress.progress import OnProgress
from ...train.trainer import Settings, fit, own_device
from ..corpus import training_samples
from ..evaluation.open_ended import evaluate_open, open_questions
from ..evaluation.skills import answers_likelihood, evaluate_skills, held_out_questions
from .card import card
from .design import Design
from .first import FirstDemo
from .plan import Plan, Trained

STATE_FILE = "training.pt"
HISTORY_FILE = "history.json"  # losses during the training
QUESTIONS_AS_IT_GOES = 256


def train(
    out: Path,
    steps: int,
    seed: int,
    device: str,
    resume: bool,
    progress: OnProgress | None,
    plan: Plan | None = None,
    design: Design | None = None,
) -> Trained:
    """Train an embedded model and write its checkpoint into `out`, in its published layout.

    Args:
        out: a folder, created if needed. It holds the state for resuming until the training ends.
        steps: number of steps, `Plan.rows` rows of packed samples each.
        seed: of the weights and the order of the corpus.
        device: "auto", "cpu", "cuda", "mps" or a device with a number.
        resume: continue from the state in `out`, if there is one.
        progress: called after every step; a bar is drawn if it is None.
        plan: sizes other than those of the design.
        design: the model and its loss; by default those of the first embedded model.

    Raises:
        UsageError: the state in `out` belongs to a training with other settings.
        DeviceError: this machine has no such device.
        CancelledError: the user stopped it with Ctrl-C.
    """
    design = design or FirstDemo()
    plan = plan or design.plan
    resume = resume and (out / STATE_FILE).exists()
    if not resume:
        design.write_tokenizer(out, seed, plan)
    tokenizer = design.read_tokenizer(out)
    torch.manual_seed(seed)
    model = design.model(plan, tokenizer)
    torch.nn.Module.to(model, own_device(device))
    questions = held_out_questions(plan.questions, design.skills)
    restarts = plan.restarts(steps)
    practice = restarts[0][0] if restarts else steps  # step at which the practice starts
    few = questions[:: max(len(questions) // QUESTIONS_AS_IT_GOES, 1)]

    def batch_of(step: int) -> Batch:
        samples = training_samples(seed, step, step >= practice, design.skills)
        return design.batch(tokenizer, samples, plan, model)

    history = fit(
        design.learner(model, tokenizer, plan),
        batch_of,
        Settings(steps, seed, plan.learning_rate, restarts=restarts),
        out / STATE_FILE,
        held_out=lambda: answers_likelihood(model, tokenizer, few).loss,
        resume=resume,
        progress=progress,
    )
    model.to(design.dtype).float()  # scored in the precision of the published checkpoint
    report = evaluate_skills(model, tokenizer, questions, progress)
    texts = evaluate_open(model, tokenizer, open_questions(plan.questions), progress)
    trained = Trained(out, model.num_parameters(), len(tokenizer), history, report, texts)
    model.to(design.dtype).save_pretrained(out)
    (out / "README.md").write_text(card(design, trained, plan, steps, seed, _hardware(model.device)), encoding="utf-8")
    (out / HISTORY_FILE).write_text(json.dumps(asdict(history)) + "\n", encoding="utf-8")
    (out / STATE_FILE).unlink()
    return trained


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return f"one {torch.cuda.get_device_name(device)}"
    return f"CPU, {torch.get_num_threads()} thread(s), fp32" if device.type == "cpu" else device.type
