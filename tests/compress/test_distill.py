"""Distillation: the start of a student, its learning, and resuming after a stop."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pruning import SOURCE, TEXTS, changed_copy, logits, stored

import fastglm
from fastglm.compress import distill
from fastglm.compress.checkpoint_writer import open_plain
from fastglm.compress.distill import Distillation, DistilLearner, begin, distil, load_floating, soft_loss, spread
from fastglm.compress.distill_corpus import DemoCorpus, TextCorpus
from fastglm.compress.prune import prune_depth, prune_vocabulary, sparsify_24
from fastglm.compress.quantize import quantise_folder
from fastglm.errors import DivergedError, UsageError
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.checkpoint import Checkpoint
from fastglm.text_files import Text
from fastglm.train import trainer

SETTINGS = Distillation(steps=6, rows=2, row=64, learning_rate=2e-3, save_every=2)
CORPUS = TextCorpus(TEXTS)
CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")  # the models are so small that a second one only costs time


def teacher() -> ChatGLM6BConfig:
    return open_plain(SOURCE, SOURCE / "out").config


def smaller(**fields: object) -> ChatGLM6BConfig:
    """A student's config."""
    config = ChatGLM6BConfig(**teacher().to_dict())
    for name, value in fields.items():
        setattr(config, name, value)
    return config


def run(start: Path | ChatGLM6BConfig, folder: Path, settings: Distillation = SETTINGS, name: str = "out"):
    distil(SOURCE, start, folder / name, CORPUS, settings, folder / "state.pt", device="cpu", progress=lambda _: None)
    return folder / name


def test_layers_are_spread_evenly_from_the_first_to_the_last() -> None:
    assert spread(3, 9) == [0, 4, 8]
    assert spread(4, 4) == [0, 1, 2, 3]
    assert spread(1, 9) == [0]
    with pytest.raises(UsageError, match="from a teacher of 3: give it 3 or fewer"):
        spread(4, 3)


def test_a_student_begins_with_what_has_its_shape() -> None:
    model = load_floating(SOURCE, CPU)
    student = begin(smaller(num_layers=2, inner_hidden_size=24), model)
    held, own = model.state_dict(), student.state_dict()
    for place, layer in enumerate([0, model.config.num_layers - 1]):
        for name in ("attention.dense.weight", "input_layernorm.bias", "mlp.dense_4h_to_h.bias"):
            assert torch.equal(own[f"transformer.layers.{place}.{name}"], held[f"transformer.layers.{layer}.{name}"])
    assert own["transformer.layers.0.mlp.dense_h_to_4h.weight"].shape == (24, model.config.hidden_size)
    assert torch.equal(own["lm_head.weight"], held["lm_head.weight"])


def test_the_loss_of_the_teacher_itself_is_that_of_its_answers() -> None:
    model = load_floating(SOURCE, CPU)
    tokenizer = fastglm.load(str(SOURCE), device="cpu")[1]
    batch = distill.batches(teacher(), tokenizer, CORPUS, SETTINGS)(0)
    alone = DistilLearner(begin(teacher(), model), model, SETTINGS)
    answers = F.cross_entropy(distill._run(model, batch)[1], batch.targets)
    assert alone(batch).item() == pytest.approx(0.1 * answers.item(), abs=1e-5)


def test_the_soft_loss_is_the_kl_times_the_square_of_the_temperature() -> None:
    torch.manual_seed(0)
    wanted, said = torch.randn(2, 5, 7, dtype=torch.float64)
    p, q = (wanted / 2).softmax(-1), (said / 2).softmax(-1)
    direct = 4 * (p * (p / q).log()).sum(-1).mean()
    assert soft_loss(said, wanted, 2.0).item() == pytest.approx(direct.item())
    assert soft_loss(wanted, wanted, 2.0).item() == pytest.approx(0, abs=1e-12)


def test_a_pruned_model_is_healed_and_keeps_its_layer_numbers(tmp_path: Path) -> None:
    prune_depth(SOURCE, tmp_path / "pruned", 1, TEXTS, device="cpu")
    healed = run(tmp_path / "pruned", tmp_path, replace(SETTINGS, steps=90))
    wanted = logits(SOURCE)
    before, after = ((logits(path) - wanted).square().mean().item() for path in (tmp_path / "pruned", healed))
    assert after < 0.6 * before
    assert Checkpoint(healed).config.layer_numbers == Checkpoint(tmp_path / "pruned").config.layer_numbers
    assert {tensor.dtype for tensor in stored(healed).values()} == {teacher().dtype}


def test_a_narrower_student_learns_through_a_map_to_the_teachers_width(tmp_path: Path) -> None:
    width = teacher().hidden_size // 2
    config = smaller(hidden_size=width, num_attention_heads=2, head_dim=teacher().head_dim, num_layers=2)
    seen: list[float] = []
    settings = replace(SETTINGS, steps=80)
    made = distil(
        SOURCE, config, tmp_path / "out", CORPUS, settings, tmp_path / "state.pt", device="cpu",
        progress=lambda at: seen.append(at.done),
    )  # fmt: skip
    losses = made.history.losses
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert seen == list(range(1, 81))
    model, _ = fastglm.load(str(tmp_path / "out"), device="cpu")
    assert model.config.hidden_size == width
    assert made.student == model.num_parameters() < made.teacher


def test_a_student_can_share_head_and_embedding_where_its_teacher_does_not(tmp_path: Path) -> None:
    made = run(smaller(), tmp_path, replace(SETTINGS, tie=True))
    assert not teacher().tie_word_embeddings
    assert "lm_head.weight" not in stored(made)
    model, _ = fastglm.load(str(made), device="cpu")
    assert model.lm_head.weight is model.transformer.word_embeddings.weight


def test_a_large_student_learns_the_same_with_fewer_activations_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = stored(run(smaller(num_layers=2), tmp_path))
    (tmp_path / "state.pt").unlink()
    seen: list[object] = []
    real = distill.LanguageModel.gradient_checkpointing_enable
    monkeypatch.setattr(
        distill.LanguageModel,
        "gradient_checkpointing_enable",
        lambda self: (seen.append(self), real(self)),
    )
    monkeypatch.setattr(distill, "LARGE", 0)
    for name, tensor in stored(run(smaller(num_layers=2), tmp_path, name="large")).items():
        assert torch.allclose(plain[name], tensor, atol=1e-5), name
    assert seen


def test_zeros_of_a_sparse_student_stay(tmp_path: Path) -> None:
    sparsify_24(SOURCE, tmp_path / "sparse", TEXTS, device="cpu")
    healed = stored(run(tmp_path / "sparse", tmp_path))
    for name, tensor in stored(tmp_path / "sparse").items():
        if ".layers." in name and tensor.ndim == 2:
            assert torch.equal(tensor == 0, healed[name] == 0), name
            assert not torch.equal(tensor, healed[name])


def test_a_killed_distillation_ends_in_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prune_depth(SOURCE, tmp_path / "pruned", 1, TEXTS, device="cpu")
    straight = stored(run(tmp_path / "pruned", tmp_path, name="straight"))
    (tmp_path / "state.pt").unlink()
    real = trainer._loss

    def killed(*arguments: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("killed")
        return real(*arguments)  # type: ignore[arg-type]

    calls: list[int] = []
    monkeypatch.setattr(trainer, "_loss", killed)
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "pruned", tmp_path)
    assert not (tmp_path / "out").exists()
    resumed = stored(run(tmp_path / "pruned", tmp_path))
    assert len(calls) == 5 + 2  # from step 4 on
    assert all(torch.equal(resumed[name], tensor) for name, tensor in straight.items())


def test_a_loss_that_is_no_number_ends_it_and_keeps_the_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = trainer._loss, []

    def broken(*arguments: object) -> torch.Tensor:
        calls.append(1)
        return real(*arguments) * (float("nan") if len(calls) == 4 else 1)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer, "_loss", broken)
    with pytest.raises(DivergedError, match=r"became nan at step 3: the state before it is kept in .*lower learning"):
        run(smaller(num_layers=1), tmp_path)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["history"]["step"] == 2
    assert not (tmp_path / "out").exists()


def test_impossible_distillations_are_refused(tmp_path: Path) -> None:
    quantise_folder(SOURCE, "int8", tmp_path / "int8")
    with pytest.raises(UsageError, match="int8 is quantised, which cannot learn"):
        run(tmp_path / "int8", tmp_path)
    prune_vocabulary(SOURCE, tmp_path / "words", TEXTS)
    with pytest.raises(UsageError, match="prune the vocabulary after distilling"):
        run(tmp_path / "words", tmp_path)
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="out exists already"):
        run(smaller(num_layers=1), tmp_path)
    (tmp_path / "out").rmdir()
    corpus = TextCorpus([Text([], "问" * 200, "答")])
    with pytest.raises(UsageError, match="No text fits a row of 64 tokens"):
        distil(SOURCE, smaller(num_layers=1), tmp_path / "out", corpus, SETTINGS, tmp_path / "state.pt", device="cpu")


def test_texts_are_drawn_alike_for_a_step_and_anew_for_the_next() -> None:
    for corpus in (CORPUS, DemoCorpus()):
        first, again, other = (
            [text for text, _ in zip(corpus.draw(1, step), range(20), strict=False)] for step in (3, 3, 4)
        )
        assert first == again != other
    drawn = {text.prompt for text, _ in zip(CORPUS.draw(0, 0), range(500), strict=False)}
    assert drawn == {text.prompt for text in TEXTS}


SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from pruning import SOURCE, TEXTS
from fastglm.compress.distill_corpus import TextCorpus
from fastglm.compress.distill import Distillation, distil
from fastglm.train.trainer import is_first
from tests.compress.test_distill import SETTINGS, smaller
folder = Path(sys.argv[1])
made = distil(SOURCE, smaller(num_layers=2), folder / "out", TextCorpus(TEXTS), SETTINGS, folder / "state.pt",
              device="cpu", progress=lambda _: None)
if is_first():
    (folder / "losses.json").write_text(str(made.history.losses))
"""


def test_two_processes_give_the_loss_of_one(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "shared").mkdir()
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    launch += [str(tmp_path / "train.py"), str(tmp_path / "shared")]
    subprocess.run([sys.executable, *launch], env=environment, check=True, timeout=240, capture_output=True)
    alone = distil(
        SOURCE, smaller(num_layers=2), tmp_path / "out", CORPUS, SETTINGS, tmp_path / "state.pt", device="cpu",
        progress=lambda _: None,
    )  # fmt: skip
    losses = json.loads((tmp_path / "shared" / "losses.json").read_text())
    assert losses == pytest.approx(alone.history.losses, rel=0.01)
    together = stored(tmp_path / "shared" / "out")
    for name, tensor in stored(tmp_path / "out").items():
        assert torch.allclose(together[name], tensor, atol=1e-2), name


def test_one_process_more_than_there_are_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Many:
        num_processes, process_index = 3, 0

    tokenizer = fastglm.load(str(SOURCE), device="cpu")[1]
    batch = distill.batches(teacher(), tokenizer, CORPUS, SETTINGS)(0)
    with pytest.raises(UsageError, match="3 processes cannot share 2 rows: start fewer"):
        trainer._loss(Many(), torch.nn.Identity(), batch, CPU)


def test_parts_of_a_batch_are_the_whole() -> None:
    model = load_floating(SOURCE, CPU)
    tokenizer = fastglm.load(str(SOURCE), device="cpu")[1]
    batch = distill.batches(teacher(), tokenizer, CORPUS, replace(SETTINGS, rows=3))(0)
    whole = distill._run(model, batch)[1]
    parts = [batch.part(number, 2) for number in range(2)]
    found = {number: distill._run(model, part)[1] for number, part in enumerate(parts)}
    rows = batch.predicting // batch.input_ids.shape[1]
    for number, part in enumerate(parts):
        assert torch.equal(part.targets, batch.targets[rows % 2 == number])
        assert torch.allclose(found[number], whole[rows % 2 == number], atol=1e-4)


def test_a_state_of_other_settings_is_refused(tmp_path: Path) -> None:
    run(smaller(num_layers=1), tmp_path)
    with pytest.raises(UsageError, match="was made with other steps, seed or settings"):
        run(smaller(num_layers=1), tmp_path, replace(SETTINGS, learning_rate=1e-3), "other")


@pytest.mark.parametrize("unequal", [True, False])
def test_only_a_teacher_of_the_same_width_needs_no_map(tmp_path: Path, unequal: bool) -> None:
    copy = changed_copy(tmp_path / "copy", lambda _: None)
    model = load_floating(copy, CPU)
    config = smaller(hidden_size=16, head_dim=4, num_attention_heads=4) if unequal else smaller()
    learner = DistilLearner(begin(config, model), model, SETTINGS)
    assert any(name.startswith("widen") for name, _ in learner.named_parameters()) == unequal
    assert not any("teacher" in name for name in learner.state_dict())
