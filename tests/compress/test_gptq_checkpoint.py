"""Checkpoints made with calibration texts: closer to the original than rounding to nearest; and refusals."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from recorded import folder
from spoil import weights
from torch import nn

import fastglm
from fastglm.cli.commands import main
from fastglm.compress import gptq_checkpoint
from fastglm.compress.calibration import calibration_examples, examples
from fastglm.compress.configs import packed_config
from fastglm.compress.gptq import nearest
from fastglm.compress.gptq_checkpoint import Calibrated
from fastglm.compress.quantize import quantise_folder
from fastglm.compress.text_source import demo_samples
from fastglm.errors import DiskShortError, UsageError
from fastglm.evaluate.divergence import divergence
from fastglm.evaluate.likelihood import batches_of
from fastglm.kernels.formats import Int4
from fastglm.kernels.packed import PackedWeight
from fastglm.models.chatglm.architecture import CHATGLM_6B
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.head import FinalStates, Head
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.packing import Batch
from fastglm.models.registered_tokenizers import ChatGLMTokenizer
from fastglm.progress.progress import Progress
from fastglm.text_files import Text

EMBEDDING, _ = CHATGLM_6B.tensors.ends

CPU = torch.device("cpu")
SMALL = folder("chatglm")
PAD = 3


@pytest.fixture(scope="module")
def texts() -> list[Text]:
    return demo_samples(40)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, texts: list[Text]) -> Path:
    """The small checkpoint in int4-g32, calibrated."""
    out = tmp_path_factory.mktemp("packed") / "out"
    quantise_folder(SMALL, "int4-g32", out, texts=texts)
    return out


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint whose weights are as tame, and whose inputs as correlated, as those of trained models."""
    torch.manual_seed(0)
    config = Checkpoint(SMALL).config
    config.tie_word_embeddings = False
    model = ChatGLMForConditionalGeneration(config)
    mixing = torch.randn(config.hidden_size, config.hidden_size) * torch.logspace(0, -2, config.hidden_size)[:, None]
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                weight.normal_(std=2 * weight.shape[1] ** -0.5)
            if name.endswith("word_embeddings.weight"):
                weight @= mixing
    folder = tmp_path_factory.mktemp("generated")
    model.save_pretrained(folder)
    for name in ("tokenizer_config.json", "ice_text.model"):
        shutil.copyfile(SMALL / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def asked(generated: Path) -> tuple[list[Batch], FinalStates, Head]:
    """Other texts than the calibration's, with the original's states for them."""
    checkpoint = Checkpoint(generated)
    found = calibration_examples(checkpoint, demo_samples(40, seed=9))
    batches = list(batches_of(found, checkpoint.config))
    model = LayerwiseModel(checkpoint, CPU, torch.float32)
    return batches, model.finals(batches), model.head


def exact(path: Path) -> ChatGLMForConditionalGeneration:
    """The model with activations in fp32."""
    model, _ = fastglm.load(str(path), "fast")
    for module in model.modules():
        if isinstance(module, PackedWeight):
            module.exact = True
            module.set_parts(module.parts())
    return model


@pytest.mark.parametrize("format", ["int4-g32", "int4-g64", "int4-g128", "int8"])
def test_gptq_is_closer_to_the_original_than_rounding_to_nearest(
    format: str, generated: Path, texts: list[Text], asked: tuple[list[Batch], FinalStates, Head], tmp_path: Path
) -> None:
    found = {}
    for name, chosen in (("nearest", None), ("calibrated", texts)):
        quantise_folder(generated, format, tmp_path / name, texts=chosen)
        found[name] = divergence(exact(tmp_path / name), *asked).kl_divergence
    assert found["calibrated"] < found["nearest"] < 1


def test_other_tensors_stay_and_the_embedding_is_rounded_to_nearest(packed: Path, tmp_path: Path) -> None:
    quantise_folder(SMALL, "int4-g32", tmp_path / "nearest")
    plain, found = dict(Checkpoint(tmp_path / "nearest").tensors()), dict(Checkpoint(packed).tensors())
    assert plain.keys() == found.keys()
    for name, tensor in plain.items():
        assert (found[name].shape, found[name].dtype) == (tensor.shape, tensor.dtype)
        if "word_embeddings" not in name and not name.endswith(("_scale", "_zero")):
            moved = name.endswith(".weight") and "layernorm" not in name
            assert torch.equal(found[name], tensor) != moved, name
    fitted = nearest(Checkpoint(SMALL).named([EMBEDDING])[EMBEDDING], Int4(32))
    assert all(torch.equal(found[EMBEDDING.removesuffix("weight") + part], rows) for part, rows in fitted.items())


def test_a_matrix_is_given_the_inputs_that_the_rounded_ones_before_it_make(
    packed: Path, texts: list[Text], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    factorise = gptq_checkpoint.factorise
    monkeypatch.setattr(gptq_checkpoint, "factorise", lambda hessian: seen.append(hessian) or factorise(hessian))
    checkpoint, config = Checkpoint(SMALL), Checkpoint(packed).config
    chosen = calibration_examples(checkpoint, texts)
    for _ in Calibrated(checkpoint, config, chosen, CPU).matrices():
        pass
    model = exact(packed)
    expected: dict[str, torch.Tensor] = {}
    names = [f"transformer.layers.{layer}.{name}" for layer in range(config.num_layers) for name in MATRICES]

    def add(name: str, inputs: torch.Tensor) -> None:
        expected[name] = expected.get(name, torch.zeros(())) + 2 * inputs.T @ inputs

    for batch in batches_of(chosen, checkpoint.config):
        real = batch.input_ids != PAD
        hooks = [
            model.get_submodule(name).register_forward_pre_hook(
                lambda _, x, name=name, real=real: add(name, x[0][real])
            )
            for name in names
        ]
        model.transformer(batch.input_ids, batch.position_ids, batch.attention_mask)
        for hook in hooks:
            hook.remove()
    assert len(seen) == len(names) + 1  # the head's is the last
    for name, hessian in zip(names, seen, strict=False):
        assert (hessian - expected[name]).norm() < 1e-3 * hessian.norm(), name


MATRICES = ("attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")


def test_the_output_of_a_layer_compensates_the_rounding_before_it(generated: Path, texts: list[Text]) -> None:
    checkpoint = Checkpoint(generated)
    config, chosen = packed_config(checkpoint.config, "int4-g128", None), calibration_examples(checkpoint, texts)

    def calibrate(makes_up: bool) -> Calibrated:
        calibration = Calibrated(checkpoint, config, chosen, CPU)
        if not makes_up:
            calibration.added = {}
        for _ in calibration.matrices():
            pass
        return calibration

    found = calibrate(True)
    originals = found.model._states(found.batches)
    for batch, state, original in zip(found.batches, found.originals, originals, strict=True):
        torch.testing.assert_close(state[batch.input_ids != PAD], original[batch.input_ids != PAD])
    without = calibrate(False)

    def error(of: Calibrated) -> float:
        pairs = zip(of.batches, of.states, originals, strict=True)
        return sum((state - original)[batch.input_ids != PAD].square().sum().item() for batch, state, original in pairs)

    assert error(found) < 0.8 * error(without)


class Layer(nn.Module):
    """Two matrices; the first adds to the input of the second."""

    def __init__(self, ran: list[str]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.register_forward_hook(lambda *_: ran.append("second"))

    def forward(self, x: torch.Tensor, *_: object) -> torch.Tensor:
        return self.second(x + self.first(x))


def test_the_rest_of_a_layer_does_not_run_for_an_input() -> None:
    ran: list[str] = []
    block, x, where = Layer(ran), torch.ones(1, 2), (None, None)
    assert torch.equal(gptq_checkpoint._run(block, "first", "first", x, where)[0], x)
    given, stream = gptq_checkpoint._run(block, "first", "second", x, where)
    assert torch.equal(given, x)
    assert torch.equal(stream, x + block.first(x))
    assert not ran
    given, stream = gptq_checkpoint._run(block, "second", None, x, where)
    assert torch.equal(given, x + block.first(x))
    assert torch.equal(stream, block(x))
    assert ran == ["second", "second"]  # the hooks are removed


def test_the_config_says_how_it_was_made(packed: Path, texts: list[Text], tmp_path: Path) -> None:
    chosen = calibration_examples(Checkpoint(SMALL), texts)
    tokens = sum(len(example.tokens) for example in chosen)
    written = json.loads((packed / "config.json").read_text())["calibration"]
    assert written == {"method": "GPTQ", "examples": len(chosen), "tokens": tokens}
    quantise_folder(SMALL, "int4-g32", tmp_path / "nearest")
    assert json.loads((tmp_path / "nearest" / "config.json").read_text()).get("calibration") is None


@pytest.mark.parametrize("calibrate", [True, False])
def test_embedding_and_head_in_a_format_of_their_own(calibrate: bool, texts: list[Text], tmp_path: Path) -> None:
    quantise_folder(SMALL, "int4-g32", tmp_path / "out", texts=texts if calibrate else None, embedding_format="int8")
    tensors = dict(Checkpoint(tmp_path / "out").tensors())
    assert tensors["transformer.word_embeddings.weight"].shape == tensors["lm_head.weight"].shape == (768, 64)
    assert tensors["transformer.layers.0.attention.dense.weight"].shape == (64, 32)
    model, _ = fastglm.load(str(tmp_path / "out"), "fast")
    assert (model.transformer.word_embeddings.format.name, model.lm_head.format.name) == ("int8", "int8")
    assert model.transformer.layers[0].attention.dense.format.name == "int4-g32"


def test_a_shared_head_stays_shared(texts: list[Text], tmp_path: Path) -> None:
    shutil.copytree(SMALL, tmp_path / "model")
    weights(lambda state: state.update({"lm_head.weight": state[EMBEDDING].clone()}))(tmp_path / "model")
    seen: list[Progress] = []
    quantise_folder(tmp_path / "model", "int4-g32", tmp_path / "out", seen.append, texts=texts)
    assert not any(name.startswith("lm_head") for name, _ in Checkpoint(tmp_path / "out").tensors())
    assert [step.done for step in seen] == list(range(1, 4 * 3 + 2))
    assert {step.total for step in seen} == {4 * 3 + 1}


def test_examples_are_taken_from_all_over_many_texts(texts: list[Text]) -> None:
    whole = calibration_examples(Checkpoint(SMALL), texts)
    most = sum(len(example.tokens) for example in whole) - 1
    assert calibration_examples(Checkpoint(SMALL), texts, most) == whole[:-1]
    tokenizer = ChatGLMTokenizer.from_pretrained(SMALL)
    assert whole != examples(tokenizer, texts, 256)  # but in another order
    assert sorted(example.tokens for example in whole) == sorted(e.tokens for e in examples(tokenizer, texts, 256))


def write(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8")
    return str(path)


def test_the_command_line_takes_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rounds = [json.dumps({"prompt": text.prompt, "answer": text.answer}) for text in demo_samples(40)]
    file = write(tmp_path / "mine.jsonl", "\n".join(rounds))
    command = ["compress", "--model", str(SMALL), "--recipe", "int4-g64", "--out", str(tmp_path / "out"), "--texts"]
    assert main([*command, file, "--device", "cpu"]) == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["calibration"]["method"], config["weight_format"]) == ("GPTQ", "int4-g64")
    few = write(tmp_path / "few.txt", "A single line.")
    assert main([*command[:-2], str(tmp_path / "other"), "--texts", few]) == 2
    error = capsys.readouterr().err
    assert "too few to calibrate this model, which needs 256: add texts." in error
    assert error.count("\n") == 1


def test_refusals_come_before_anything_is_written(
    texts: list[Text], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"have \d+ tokens, too few .* needs 256"):
        quantise_folder(SMALL, "int8", tmp_path / "out", texts=[Text([], "", "A short one.")])
    with pytest.raises(UsageError, match="Unknown weight format 'int5'"):
        quantise_folder(SMALL, "int4-g32", tmp_path / "out", embedding_format="int5")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    for calibrate in (texts, None):
        with pytest.raises(DiskShortError, match=r"needs 0\.\d MB, 0\.1 MB are free on its disk"):
            quantise_folder(SMALL, "int8", tmp_path / "new" / "out", texts=calibrate)
    assert list(tmp_path.iterdir()) == []


def test_the_room_wanted_is_what_is_written(packed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = sum(file.stat().st_size for file in packed.glob("*.safetensors"))
    for free, fits in ((0.9 * written, False), (1.05 * written, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        if fits:
            quantise_folder(SMALL, "int4-g32", tmp_path / "out")
        else:
            with pytest.raises(DiskShortError):
                quantise_folder(SMALL, "int4-g32", tmp_path / "out")


def test_nothing_half_written_stays(texts: list[Text], tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantise_folder(SMALL, "int4-g32", tmp_path / "out", stop, texts=texts)
    assert list(tmp_path.iterdir()) == []
