"""Training of the second demo model: its batches beside the teacher's, and a short training from end to end."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

import fastglm
from fastglm.cli.commands import main
from fastglm.demo.corpus import training_samples
from fastglm.demo.glm_vocabulary import ids_in_first
from fastglm.demo.skills import Sample
from fastglm.demo.skills.calculator import NAME
from fastglm.demo.skills.talk import SelfIntroduction
from fastglm.demo.training import train as training
from fastglm.demo.training.glm import FurtherGLMDemo, GLMDemo, GLMPlan
from fastglm.demo.training.train import HISTORY_FILE, STATE_FILE, train
from fastglm.evaluate.likelihood import answer_loss
from fastglm.models.packing import Batch
from fastglm.train.learner import Learner

PLAN = GLMPlan(hidden=32, layers=1, heads=2, inner=32, rows=2, questions=1)


@pytest.fixture(scope="module")
def design() -> GLMDemo:
    return GLMDemo()


def samples() -> Sequence[Sample]:
    open_ended = [skill for skill in GLMDemo.skills if skill.kind == "open"]
    drawn = (
        training_samples(3, 0),
        training_samples(3, 1, skills=open_ended),
        training_samples(3, 2, skills=GLMDemo.skills[-1:]),
    )
    return [sample for some in drawn for sample in islice(some, 5)]


def test_targets_stand_beside_the_same_ones_of_the_teacher(design: GLMDemo, tmp_path: Path) -> None:
    design.write_tokenizer(tmp_path, 0, PLAN)
    tokenizer = design.read_tokenizer(tmp_path)
    model = design.model(PLAN, tokenizer)
    batch = design.batch(tokenizer, iter(samples() * 20), PLAN, model)
    has_teacher = batch.source >= 0
    same = ids_in_first(tokenizer, design.teachers_tokenizer)
    assert torch.equal(same[batch.targets[has_teacher]], batch.teacher.targets[batch.source[has_teacher]])
    assert sorted(batch.source[has_teacher].tolist()) == list(range(len(batch.teacher.targets)))
    part = batch.part(1, 2)
    assert torch.equal(torch.cat([batch.part(0, 2).source, part.source]).sort()[0], batch.source.sort()[0])


def test_the_loss_is_cross_entropy_and_distance_to_the_teacher(design: GLMDemo, tmp_path: Path) -> None:
    design.write_tokenizer(tmp_path, 0, PLAN)
    tokenizer = design.read_tokenizer(tmp_path)
    model = design.model(PLAN, tokenizer)
    batch = design.batch(tokenizer, iter(samples() * 20), PLAN, model)
    learner = design.learner(model, tokenizer, PLAN)
    alone = answer_loss(model, batch)
    taught = batch.source >= 0
    assert 0 < taught.sum() < len(taught)
    loss = learner(batch)
    # The teacher is nearly sure of the answers' pieces: its distance is nearly the cross-entropy.
    assert loss.item() == pytest.approx(alone.mean().item(), rel=0.1)
    assert loss.item() != pytest.approx(alone.mean().item(), rel=1e-3)
    loss.backward()
    assert all(p.grad is None for p in design.teacher.parameters())
    assert Learner(model)(batch).item() == pytest.approx(alone.mean().item(), rel=1e-5)


def test_only_texts_are_taught(design: GLMDemo, tmp_path: Path) -> None:
    design.write_tokenizer(tmp_path, 0, PLAN)
    tokenizer = design.read_tokenizer(tmp_path)
    model = design.model(PLAN, tokenizer)
    alone = design.batch(tokenizer, (sample for sample in samples() * 20 if not sample.is_open), PLAN, model)
    assert type(alone) is Batch
    loss = design.learner(model, tokenizer, PLAN)(alone)
    assert loss.item() == pytest.approx(answer_loss(model, alone).mean().item(), rel=1e-3)


def test_the_second_model_names_its_own_layout() -> None:
    answers = {
        entry.en_answer
        for skill in GLMDemo.skills
        if isinstance(skill, SelfIntroduction)
        for entry in skill.entries
        if entry.name == "other models"
    }
    assert answers == {"No. I am the FAST-ChatGLM demo model: built like ChatGLM3, but much smaller."}


def test_the_student_begins_with_the_teachers_embedding(design: GLMDemo, tmp_path: Path) -> None:
    design.write_tokenizer(tmp_path, 0, design.plan)
    tokenizer = design.read_tokenizer(tmp_path)
    model = design.model(design.plan, tokenizer)
    mine, theirs = tokenizer.encode_text("床")[-1], design.teachers_tokenizer.encode_text("床")[-1]
    assert torch.equal(model.embedding.weight[mine], design.teacher.embedding.weight[theirs])
    assert torch.equal(model.head.weight[tokenizer.eos_token_id], design.teacher.head.weight[90])
    assert model.num_parameters() * 2 <= 20e6


def test_further_training_begins_with_the_embedded_weights(demo_glm: Any, tmp_path: Path) -> None:
    further = FurtherGLMDemo()
    further.write_tokenizer(tmp_path, 0, further.plan)
    tokenizer = further.read_tokenizer(tmp_path)
    model = further.model(further.plan, tokenizer)
    assert tokenizer.get_vocab() == demo_glm[1].get_vocab()
    for name, weight in demo_glm[0].state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name
    assert all(weight.requires_grad for weight in model.parameters())
    assert [rate for _, rate in further.plan.restarts(12_000)] == [5e-4] * 4


def test_a_training_is_killed_resumed_scored_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(*_: object) -> None:
        raise RuntimeError("killed")

    out = tmp_path / "demo-glm"
    monkeypatch.setattr(training, "evaluate_skills", killed)
    with pytest.raises(RuntimeError, match="killed"):
        train(out, 3, 0, "cpu", False, lambda _: None, PLAN, GLMDemo())
    monkeypatch.undo()
    assert (out / STATE_FILE).exists()
    monkeypatch.setattr(GLMDemo, "plan", PLAN)
    assert main(["train", "demo-glm", "--out", str(out), "--steps", "3", "--device", "cpu", "--resume"]) == 0
    assert "Held-out questions answered right: " in capsys.readouterr().out
    assert json.loads((out / HISTORY_FILE).read_text())["step"] == 3
    assert not (out / STATE_FILE).exists()
    assert f"\n| {NAME} | " in (out / "README.md").read_text(encoding="utf-8")
    assert {t.dtype for t in load_file(out / "model.safetensors").values()} == {torch.bfloat16}
    model, tokenizer = fastglm.load(str(out), device="cpu")
    assert model.config.generation == tokenizer.generation == "chatglm3"
    ids = AutoTokenizer.from_pretrained(out)("你好", return_tensors="pt")
    plain = AutoModel.from_pretrained(out)
    assert plain(**ids).logits.shape[-1] == model.config.vocab_size
