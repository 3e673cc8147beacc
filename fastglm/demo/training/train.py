"""Train the demo model from nothing: tokenizer, weights, held-out score and model card."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from ...models.chatglm.block import RESIDUAL_SCALE
from ...models.chatglm.config import ChatGLM6BConfig
from ...models.chatglm.model import ChatGLMForConditionalGeneration
from ...models.chatglm.tokenizer import ChatGLM6BTokenizer
from ...models.packing import Batch, Example, encode, fill
from ...progress.progress import OnProgress
from ...train.learner import Learner
from ...train.trainer import Settings, fit, own_device
from ..corpus import training_samples, vocabulary_texts
from ..evaluation.open_ended import evaluate_open, open_questions
from ..evaluation.skills import answers_likelihood, evaluate_skills, held_out_questions
from ..skills import Sample
from ..tokenizer import VOCABULARY_FILE, train_tokenizer
from .card import card
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
) -> Trained:
    """Train the demo model and write its checkpoint into `out`, in the published layout of ChatGLM-6B.

    Args:
        out: a folder, created if needed. It holds the state for resuming until the training ends.
        steps: number of steps, `Plan.rows` rows of packed samples each.
        seed: of the weights and the order of the corpus.
        device: "auto", "cpu", "cuda", "mps" or a device with a number.
        resume: continue from the state in `out`, if there is one.
        progress: called after every step; a bar is drawn if it is None.

    Raises:
        UsageError: the state in `out` belongs to a training with other settings.
        DeviceError: this machine has no such device.
        CancelledError: the user stopped it with Ctrl-C.
    """
    plan = plan or Plan()
    resume = resume and (out / STATE_FILE).exists()
    if not resume:
        train_tokenizer(vocabulary_texts(seed), out, plan.vocabulary)
    tokenizer = ChatGLM6BTokenizer(str(out / VOCABULARY_FILE), num_image_tokens=0)
    torch.manual_seed(seed)
    model = ChatGLMForConditionalGeneration(_config(plan, tokenizer))
    _scale_branches(model)
    torch.nn.Module.to(model, own_device(device))
    questions = held_out_questions(plan.questions)
    restarts = plan.restarts(steps)
    practice = restarts[0][0] if restarts else steps  # step at which the practice starts
    few = questions[:: max(len(questions) // QUESTIONS_AS_IT_GOES, 1)]

    def batch_of(step: int) -> Batch:
        examples = (_example(tokenizer, sample, plan.row) for sample in training_samples(seed, step, step >= practice))
        return fill(examples, plan.rows, plan.row, model.config)

    history = fit(
        Learner(model),
        batch_of,
        Settings(steps, seed, plan.learning_rate, restarts=restarts),
        out / STATE_FILE,
        held_out=lambda: answers_likelihood(model, tokenizer, few).loss,
        resume=resume,
        progress=progress,
    )
    model.half().float()  # scored in the precision of the published checkpoint
    report = evaluate_skills(model, tokenizer, questions, progress)
    texts = evaluate_open(model, tokenizer, open_questions(plan.questions), progress)
    trained = Trained(out, model.num_parameters(), tokenizer.vocab_size, history, report, texts)
    model.half().save_pretrained(out)
    (out / "README.md").write_text(card(trained, plan, steps, seed, _hardware(model.device)), encoding="utf-8")
    (out / HISTORY_FILE).write_text(json.dumps(asdict(history)) + "\n", encoding="utf-8")
    (out / STATE_FILE).unlink()
    return trained


def _example(tokenizer: ChatGLM6BTokenizer, sample: Sample, row: int) -> Example:
    return encode(tokenizer, sample.messages, sample.answer, row)


def _config(plan: Plan, tokenizer: ChatGLM6BTokenizer) -> ChatGLM6BConfig:
    config = ChatGLM6BConfig(
        vocab_size=-(-tokenizer.vocab_size // 64) * 64,
        hidden_size=plan.hidden,
        num_layers=plan.layers,
        num_attention_heads=plan.heads,
        inner_hidden_size=plan.inner,
        max_sequence_length=1024,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        mask_token_id=tokenizer.model.piece_to_id("[MASK]"),
        gmask_token_id=tokenizer.gmask_token_id,
        tie_word_embeddings=False,
    )
    config.architectures = ["ChatGLMForConditionalGeneration"]
    return config


@torch.no_grad()
def _scale_branches(model: ChatGLMForConditionalGeneration) -> None:
    """Scale down the output of each residual branch, so that the untrained model learns faster."""
    for name, weight in model.named_parameters():
        if name.endswith(("attention.dense.weight", "mlp.dense_4h_to_h.weight")):
            weight *= RESIDUAL_SCALE


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return f"one {torch.cuda.get_device_name(device)}"
    return f"CPU, {torch.get_num_threads()} thread(s), fp32" if device.type == "cpu" else device.type
