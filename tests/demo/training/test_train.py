"""Training: it learns, resumes, scores, and writes a checkpoint in the published layout."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fastglm.demo.corpus import training_samples
from fastglm.demo.skills import SKILLS, Sample, Skill
from fastglm.demo.training import first
from fastglm.demo.training import train as demo
from fastglm.demo.training.plan import Plan
from fastglm.demo.training.train import HISTORY_FILE, STATE_FILE, train
from fastglm.errors import CancelledError, DeviceError, UsageError
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration
from fastglm.models.packing import Batch, Example, pack
from fastglm.progress.progress import Progress
from fastglm.train.learner import Learner
from fastglm.train.trainer import History, Settings, fit

GMASK, SOP, EOP = 86, 89, 90
SETTINGS = Settings(steps=12, seed=0, learning_rate=1e-2, warmup=2, save_every=4, score_every=6)
CONFIG = ChatGLM6BConfig(
    vocab_size=96, hidden_size=32, num_layers=1, num_attention_heads=2, inner_hidden_size=32, pad_token_id=3,
    max_sequence_length=64, bos_token_id=SOP, eos_token_id=EOP, mask_token_id=85, gmask_token_id=GMASK,
)  # fmt: skip
PLAN = Plan(hidden=32, layers=1, heads=2, inner=32, rows=1, questions=1)


@pytest.fixture(scope="module", autouse=True)
def one_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Train one vocabulary for all models; `tests/demo/test_tokenizer.py` trains it again."""
    made, real = tmp_path_factory.mktemp("vocabulary"), first.train_tokenizer

    def once(texts: Iterable[str], out: Path, size: int) -> None:
        if not any(made.iterdir()):
            real(texts, made, size)
        shutil.copytree(made, out, dirs_exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first, "train_tokenizer", once)
        yield


def tiny_model() -> ChatGLMForConditionalGeneration:
    torch.manual_seed(0)
    return ChatGLMForConditionalGeneration(CONFIG)


def example(number: int) -> Example:
    """An example whose answer is the number after `number`."""
    return Example([number, GMASK, SOP, number + 1, EOP], 2)


def batch_of(step: int) -> Batch:
    return pack([example(10 + (step + k) % 8) for k in range(6)], 16, CONFIG)


def weights(model: ChatGLMForConditionalGeneration) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def run(state: Path, settings: Settings = SETTINGS, batches: Callable[[int], Batch] = batch_of, resume: bool = False):
    model = tiny_model()
    history = fit(Learner(model), batches, settings, state, resume=resume, progress=lambda _: None)
    return weights(model), history


def killed_at(step: int) -> Callable[[int], Batch]:
    def batches(number: int) -> Batch:
        if number == step:
            raise RuntimeError("killed")
        return batch_of(number)

    return batches


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    _, history = run(tmp_path / "state.pt", replace(SETTINGS, steps=150))
    assert history.losses[0] > 3
    assert history.losses[-1] < 0.5
    assert (history.tokens, history.examples) == (150 * 30, 150 * 6)


def test_a_resumed_training_ends_in_the_same_weights(tmp_path: Path) -> None:
    straight, whole = run(tmp_path / "a.pt")
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "b.pt", batches=killed_at(9))
    resumed, history = run(tmp_path / "b.pt", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(straight, resumed, strict=True))
    assert history.losses == whole.losses
    assert (history.step, history.tokens) == (whole.step, whole.tokens)


def test_a_kill_while_the_state_is_written_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = torch.save, []

    def save_half(content: object, path: Path) -> None:
        saved.append(path)
        if len(saved) == 2:
            Path(path).write_bytes(b"half")
            raise RuntimeError("killed")
        save(content, path)

    monkeypatch.setattr(torch, "save", save_half)
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "state.pt")
    monkeypatch.undo()
    straight, _ = run(tmp_path / "other.pt")
    resumed, _ = run(tmp_path / "state.pt", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(straight, resumed, strict=True))


def test_without_resume_training_starts_anew(tmp_path: Path) -> None:
    run(tmp_path / "state.pt")
    seen: list[int] = []

    def batches(step: int) -> Batch:
        seen.append(step)
        return batch_of(step)

    run(tmp_path / "state.pt", batches=batches)
    assert seen == list(range(12))


def test_a_state_of_other_settings_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "state.pt")
    with pytest.raises(UsageError, match="other steps"):
        run(tmp_path / "state.pt", replace(SETTINGS, seed=1), resume=True)


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    def batches(step: int) -> Batch:
        if step == 6:
            raise KeyboardInterrupt
        return batch_of(step)

    with pytest.raises(CancelledError, match="--resume it goes on from step 4"):
        run(tmp_path / "state.pt", batches=batches)
    assert run(tmp_path / "state.pt", resume=True)[1].step == 12


def test_the_learning_rate_warms_up_and_comes_down() -> None:
    settings = Settings(steps=100, seed=0, learning_rate=1.0, warmup=10, final=0.1)
    rates = [settings.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_the_learning_rate_may_start_once_more() -> None:
    settings = Settings(100, 0, learning_rate=1.0, warmup=5, final=0.1, restarts=((60, 0.5), (90, 0.2)))
    rates = [settings.rate(step) for step in range(100)]
    assert rates[59] == pytest.approx(0.1, abs=0.01)
    assert rates[60] == pytest.approx(0.1)
    assert max(rates[60:]) == rates[64] == 0.5
    assert rates[64:90] == sorted(rates[64:90], reverse=True)
    assert rates[89] == pytest.approx(0.05, abs=0.01)
    assert max(rates[90:]) == rates[94] == 0.2


def test_the_weights_are_the_mean_of_those_at_the_ends_of_the_practice(tmp_path: Path) -> None:
    parts = replace(SETTINGS, restarts=((4, 1e-2), (8, 1e-2)))
    seen: list[list[torch.Tensor]] = []
    model = tiny_model()

    def at(progress: Progress) -> None:
        if progress.done in (8, 12):
            seen.append(weights(model))

    fit(Learner(model), batch_of, parts, tmp_path / "state.pt", progress=at)
    means = [(a + b) / 2 for a, b in zip(*seen, strict=True)]
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(weights(model), means, strict=True))
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "other.pt", parts, killed_at(11))
    resumed, _ = run(tmp_path / "other.pt", parts, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(weights(model), resumed, strict=True))


def test_the_last_steps_are_practice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, bool]] = []

    def samples(seed: int, step: int, practising: bool, skills: Sequence[Skill]) -> Iterator[Sample]:
        asked.append((step, practising))
        return training_samples(seed, step, practising, skills)

    monkeypatch.setattr(demo, "training_samples", samples)
    train(tmp_path, 4, 0, "cpu", False, lambda _: None, replace(PLAN, practice=((0.25, 1e-3), (0.25, 1e-4))))
    assert replace(PLAN, practice=((0.25, 1e-3), (0.25, 1e-4))).restarts(4) == ((2, 1e-3), (3, 1e-4))
    assert asked == [(0, False), (1, False), (2, True), (3, True)]


def test_a_resumed_training_keeps_its_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(demo, "evaluate_skills", killed)
    with pytest.raises(RuntimeError, match="killed"):
        train(tmp_path, 2, 0, "cpu", False, lambda _: None, PLAN)
    monkeypatch.undo()
    monkeypatch.setattr(first, "train_tokenizer", killed)
    assert train(tmp_path, 2, 0, "cpu", True, lambda _: None, PLAN).history.step == 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, History, list[Progress]]:
    out, seen = tmp_path_factory.mktemp("demo") / "new" / "folder", []
    result = train(out, 3, 7, "cpu", False, seen.append, PLAN)
    return out, result.history, seen


def test_the_checkpoint_has_the_published_layout(trained: tuple[Path, History, list[Progress]]) -> None:
    out, _, _ = trained
    config = json.loads((out / "config.json").read_text())
    assert config["model_type"] == "chatglm"
    assert config["position_encoding_2d"] is True
    assert config["tie_word_embeddings"] is False
    assert config["vocab_size"] % 64 == 0
    assert (config["bos_token_id"], config["gmask_token_id"], config["eos_token_id"]) == (SOP, GMASK, EOP)
    tensors = load_file(out / "model.safetensors")
    assert {t.dtype for t in tensors.values()} == {torch.float16}
    assert "transformer.word_embeddings.weight" in tensors
    assert "transformer.layers.0.attention.query_key_value.bias" in tensors
    assert "lm_head.weight" in tensors
    assert "fastglm train demo --steps 3 --seed 7" in (out / "README.md").read_text()


def test_the_card_tells_the_scores(trained: tuple[Path, History, list[Progress]]) -> None:
    card = (trained[0] / "README.md").read_text()
    assert "| held-out questions answered right | " in card
    assert all(f"\n| {skill.name} | " in card for skill in SKILLS if skill.kind != "open")


def test_only_the_losses_on_the_way_are_left_of_the_training(trained: tuple[Path, History, list[Progress]]) -> None:
    assert not list(trained[0].glob(f"{STATE_FILE}*"))
    history = json.loads((trained[0] / HISTORY_FILE).read_text())
    assert history["losses"] == trained[1].losses
    assert len(history["losses"]) == history["step"] == 3


def test_progress_is_told_after_every_step(trained: tuple[Path, History, list[Progress]]) -> None:
    _, history, seen = trained
    assert [(p.done, p.total) for p in seen[:3]] == [(1, 3), (2, 3), (3, 3)]
    assert seen[-1].unit == "questions"
    assert "tokens/s" in seen[0].note
    assert list(history.held_out) == [3]


def test_the_same_seed_gives_the_same_model(trained: tuple[Path, History, list[Progress]], tmp_path: Path) -> None:
    train(tmp_path, 3, 7, "cpu", False, lambda _: None, PLAN)
    mine, first = load_file(tmp_path / "model.safetensors"), load_file(trained[0] / "model.safetensors")
    assert all(torch.equal(mine[name], first[name]) for name in first)


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="warp"):
        train(tmp_path, 1, 0, "warp", False, None, PLAN)
