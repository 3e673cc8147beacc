"""Chains of steps: their result and record, kills at any moment, and refusals."""

import hashlib
import json
import shutil
import sys
from collections import namedtuple
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from pruning import SOURCE, TEXTS
from recorded import CASE_IDS, folder
from transformers import AutoModelForCausalLM

import fastglm
from fastglm.compress import pipeline, prune, quantize
from fastglm.compress.calibration import examples
from fastglm.compress.checkpoint_writer import open_plain
from fastglm.compress.recipe import Recipe
from fastglm.compress.size import predict_size
from fastglm.compress.steps import Distil, PruneDepth, PruneVocabulary, PruneWidth, Quantise, Step
from fastglm.errors import CancelledError, CheckpointError, DeviceError, DiskShortError, FastGLMError, UsageError
from fastglm.evaluate.likelihood import likelihood
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.checkpoint import Checkpoint
from fastglm.progress.progress import Progress
from fastglm.system.making import alone
from fastglm.text_files import Text

PRUNE = PruneDepth(layers=1), PruneWidth(channels=0.5)
WHOLE = Recipe("whole", (*PRUNE, Quantise("int4-g32")))
HELD_OUT = TEXTS[::10]


def make(out: Path, recipe: Recipe = WHOLE, model: Path = SOURCE, **more: Any) -> Path:
    return fastglm.compress(str(model), recipe, out, **{"texts": TEXTS, "device": "cpu"} | more)


@dataclass(frozen=True)
class Made:
    """A folder, its record, and the progress of its making."""

    out: Path
    record: dict[str, Any]
    told: list[Progress]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    out, told = tmp_path_factory.mktemp("made") / "out", []

    def tell(progress: Progress) -> None:
        assert not out.exists()  # it appears at the end
        told.append(progress)

    make(out, progress=tell)
    return Made(out, json.loads((out / "fastglm.json").read_text()), told)


def test_both_loaders_read_the_result(made: Made) -> None:
    model, tokenizer = fastglm.load(str(made.out), "fast", device="cpu")
    assert (model.config.num_layers, model.config.inner_hidden_size) == (2, 128)
    pieces = list(fastglm.stream(model, tokenizer, CASE_IDS, max_new_tokens=4, do_sample=False))
    assert len(pieces) == 4
    again = AutoModelForCausalLM.from_pretrained(made.out).eval()
    assert type(again.transformer.layers[1].attention.dense).__name__ == "QuantizedLinear"


def test_only_the_result_stays(made: Made) -> None:
    assert [path.name for path in made.out.parent.iterdir()] == ["out"]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_record_has_the_hash_of_every_file(made: Made) -> None:
    files = {path.name: sha256(path) for path in made.out.iterdir() if path.name != "fastglm.json"}
    assert made.record["files"] == files
    assert {"config.json", "ice_text.model", "model-00001.safetensors"} <= files.keys()


def test_the_record_says_from_what_by_what_and_with_what(made: Made) -> None:
    (parent,) = made.record["parents"]
    assert (parent["model"], parent["recipe"]) == (str(SOURCE), None)
    assert parent["files"]["pytorch_model.bin"] == sha256(SOURCE / "pytorch_model.bin")
    assert Recipe.from_dict(made.record["recipe"], "?") == WHOLE
    assert made.record["versions"].keys() == {"fastglm", "torch", "transformers"}
    assert made.record["versions"]["torch"] == version("torch")
    assert made.record["device"] == "cpu"
    assert made.record["texts"]["held_out"] == len(HELD_OUT)


def test_the_record_says_what_each_step_did(made: Made) -> None:
    depth, width, packed = made.record["steps"]
    assert [step["step"] for step in made.record["steps"]] == ["prune-depth", "prune-width", "quantise"]
    assert len(depth["report"]["details"]["removed"]) == 1
    assert "1 of 3 layers removed" in depth["report"]["removed"]
    assert width["report"]["details"]["channels"] == [128, 128]
    assert width["report"]["speedup"] > 1
    assert packed["report"]["method"] == "GPTQ"
    sizes = made.record["sizes"]
    assert depth["size"]["parameters"] < sizes["before"]["parameters"]
    assert packed["size"] == sizes["after"]
    assert sizes["after"]["parameters"] == predict_size(Checkpoint(made.out).config).parameters
    assert sizes["after"]["bytes"] == sum(p.stat().st_size for p in made.out.iterdir() if p.name != "fastglm.json")


def test_the_scores_are_those_of_the_models_on_what_was_held_out(made: Made) -> None:
    for place, name in ((SOURCE, "before"), (made.out, "after")):
        model, tokenizer = fastglm.load(str(place), "fast", device="cpu")
        found = likelihood(model, examples(tokenizer, HELD_OUT, 256))
        scores = made.record["scores"][name]
        assert scores["loss"] == pytest.approx(found.loss, rel=1e-3)
        assert (scores["tokens"], scores["perplexity"]) == (found.tokens, pytest.approx(found.perplexity, rel=0.01))
    assert made.record["steps"][-1]["scores"] == made.record["scores"]["after"]
    assert made.record["steps"][0]["scores"]["loss"] != made.record["scores"]["before"]["loss"]


def test_progress_says_which_step_it_is(made: Made) -> None:
    stages = list(dict.fromkeys(progress.stage for progress in made.told))
    for stage in ("check the files", "the model: score", "step 1 of 3: try layers", "step 2 of 3: narrow layers"):
        assert stage in stages
    assert "step 3 of 3: quantise to int4-g32 by GPTQ" in stages
    assert stages.index("step 1 of 3: score") < stages.index("step 2 of 3: prune-width")


def test_the_same_recipe_gives_the_same_files(made: Made, tmp_path: Path) -> None:
    again = json.loads((make(tmp_path / "again") / "fastglm.json").read_text())
    assert again["files"] == made.record["files"]
    assert again["scores"] == made.record["scores"]


def test_without_texts_nothing_is_scored(tmp_path: Path) -> None:
    out = make(tmp_path / "out", Recipe("int8", (Quantise("int8"),)), texts=None)
    record = json.loads((out / "fastglm.json").read_text())
    assert record["scores"] is record["texts"] is None
    assert record["steps"][0]["report"] == {"method": "nearest"}


def test_a_model_that_was_compressed_before_hands_its_record_on(tmp_path: Path) -> None:
    first = make(tmp_path / "first", Recipe("shallow", PRUNE[:1]))
    second = make(tmp_path / "second", Recipe("int8", (Quantise("int8"),)), first)
    parents = json.loads((second / "fastglm.json").read_text())["parents"]
    assert [parent["model"] for parent in parents] == [str(first), str(SOURCE)]
    assert parents[0]["recipe"]["name"] == "shallow"
    assert parents[0]["files"]["config.json"] == sha256(first / "config.json")


class Failure(FastGLMError):
    """The failure of a step."""


def fail(*_: object, **__: object) -> None:
    raise Failure("it broke")


def forbid(*_: object, **__: object) -> None:
    raise AssertionError("this step was done already")


def test_a_failed_compression_continues_at_its_step(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, work = tmp_path / "out", tmp_path / "out.work"
    with monkeypatch.context() as patch:
        patch.setattr(prune, "prune_width", fail)
        with pytest.raises(Failure) as caught:
            make(out)
    (note,) = caught.value.__notes__
    assert note == f"What is done is kept in {work}: the same command goes on at step 2 of 3."
    assert not out.exists()
    (work / "2-prune-width").mkdir()  # as if killed before it was recorded
    with monkeypatch.context() as patch:
        patch.setattr(prune, "prune_depth", forbid)
        patch.setattr(quantize, "quantise_folder", fail)
        with pytest.raises(Failure):
            make(out)
    make(out)
    assert json.loads((out / "fastglm.json").read_text())["files"] == made.record["files"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("at", ["score", "check the files"])
def test_a_compression_stopped_between_steps_continues(
    at: str, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage in (f"step 2 of 3: {at}", f"the end: {at}"):
            raise KeyboardInterrupt

    with pytest.raises(
        CancelledError, match=r"Stopped\. What is done is kept in .* goes on at (step 3 of 3|its end)\."
    ):
        make(tmp_path / "out", progress=stop)
    assert not (tmp_path / "out").exists()
    for name in ("prune_depth", "prune_width"):
        monkeypatch.setattr(prune, name, forbid)
    out = make(tmp_path / "out")
    record = json.loads((out / "fastglm.json").read_text())
    assert record["files"] == made.record["files"]
    assert record["scores"] == made.record["scores"]


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Recipe("short", PRUNE)
    with monkeypatch.context() as patch:
        patch.setattr(prune, "prune_width", fail)
        with pytest.raises(Failure):
            make(tmp_path / "out", short)
    shutil.rmtree(tmp_path / "out.work" / "1-prune-depth")
    told: list[Progress] = []
    make(tmp_path / "out", short, progress=told.append)
    assert any(progress.stage == "step 1 of 2: try layers" for progress in told)


def test_before_the_first_step_is_done_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "prune_depth", fail)
    with pytest.raises(Failure) as caught:
        make(tmp_path / "out")
    assert not hasattr(caught.value, "__notes__")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", ["recipe", "model", "texts"])
def test_stopped_work_is_not_mixed_with_another_compression(
    other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(prune, "prune_width", fail)
        with pytest.raises(Failure):
            make(tmp_path / "out")
    shutil.copytree(SOURCE, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text((SOURCE / "config.json").read_text() + " ")
    before = sorted(tmp_path.rglob("*"))
    changed: dict[str, dict[str, Any]] = {
        "recipe": {"recipe": replace(WHOLE, seed=1)},
        "model": {"model": tmp_path / "model"},
        "texts": {"texts": TEXTS[1:]},
    }
    with pytest.raises(
        UsageError, match=f"holds work that was stopped with another {other}: remove that folder, or name"
    ):
        make(tmp_path / "out", **changed[other])
    assert sorted(tmp_path.rglob("*")) == before
    pipeline.Pipeline(
        "m", SOURCE, replace(WHOLE, name="renamed"), tmp_path / "out", TEXTS, "cpu"
    )  # a name changes nothing


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no texts": ({"texts": None}, UsageError, r"step 1 \(prune-depth\): it needs texts"),
    "empty texts": ({"texts": []}, UsageError, "There are no texts"),
    "few texts": ({"texts": TEXTS[:20]}, UsageError, "18 texts are too few to calibrate on: give 32"),
    "few tokens": ({"texts": TEXTS[:3]}, UsageError, r"have \d+ tokens, too few .* needs 256"),
    "a quantised model": ({"model": folder("chatglm-int4")}, UsageError, "is quantised already"),
    "no model": ({"model": Path("/nowhere")}, CheckpointError, "there is no such folder"),
    "no device": ({"device": "tpu"}, DeviceError, "Unknown device"),
    "too many layers": (
        {"recipe": Recipe("r", (*PRUNE, PruneDepth(layers=2)))},
        UsageError,
        r"Recipe r, step 3 \(prune-depth\): 2 of 2 layers cannot be removed",
    ),
    "no file": ({"texts": "/nowhere.txt"}, UsageError, "cannot be read"),
}


@pytest.mark.parametrize(("given", "error", "said"), REFUSED.values(), ids=REFUSED)
def test_a_refused_compression_leaves_nothing(
    given: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said) as caught:
        make(tmp_path / "deep" / "out", **given)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_exists_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(UsageError, match="exists already"):
        make(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


def test_two_processes_do_not_make_one_folder_at_the_same_time(tmp_path: Path) -> None:
    with alone(tmp_path / "out"), pytest.raises(UsageError, match="being made by another process"):
        make(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_room_for_all_steps_is_asked_for_before_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = open_plain(SOURCE, tmp_path / "out").config
    needed = sum(predict_size(step).bytes for step in WHOLE.configs(config))
    for free, fits in ((needed, False), (1.03 * needed, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: namedtuple("usage", "free")(free))
        if fits:
            pipeline.Pipeline("m", SOURCE, WHOLE, tmp_path / "out", TEXTS, "cpu")
        else:
            with pytest.raises(DiskShortError, match="make room there"):
                make(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def distilled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A distillation that copies; a list of its arguments. It stops once, after its state is written."""

    @dataclass(frozen=True)
    class Distillation:
        steps: int = 4000
        seed: int = 0
        rows: int = 4

    @dataclass(frozen=True)
    class Distilled:
        student: int

    seen: list[dict[str, Any]] = []

    def distil(*, start: Path | ChatGLM6BConfig, out: Path, state: Path, teacher: Path, **given: Any) -> Distilled:
        seen.append({"start": start, "teacher": teacher, "resumed": state.exists(), **given})
        if not state.exists():
            state.write_text("half of it")
            raise KeyboardInterrupt
        shutil.copytree(start if isinstance(start, Path) else teacher, out)
        return Distilled(1)

    distill, corpus = ModuleType("distill"), ModuleType("corpus")
    vars(distill).update(Distillation=Distillation, distil=distil)
    vars(corpus).update(DemoCorpus=lambda: "demo", TextCorpus=list)
    monkeypatch.setitem(sys.modules, "fastglm.compress.distill", distill)
    monkeypatch.setitem(sys.modules, "fastglm.compress.distill_corpus", corpus)
    return seen


def test_a_distillation_goes_on_from_its_state(distilled: list[dict[str, Any]], tmp_path: Path) -> None:
    work = tmp_path / "out.work"
    healed = Recipe("healed", (Distil(steps=7), PruneDepth(layers=1)), seed=3)
    with pytest.raises(CancelledError, match="goes on at step 1 of 2"):
        make(tmp_path / "out", healed)
    assert (work / "1-distil.state").is_file()
    out = make(tmp_path / "out", healed)
    assert [given["resumed"] for given in distilled] == [False, True]
    settings = distilled[1]["settings"]
    assert (settings.steps, settings.seed, settings.rows) == (7, 3, 4)
    assert distilled[1]["corpus"] == [text for text in TEXTS if text not in HELD_OUT]
    report = json.loads((out / "fastglm.json").read_text())["steps"][0]["report"]
    assert report == {"settings": {"steps": 7, "seed": 3, "rows": 4}, "student": 1}


def test_the_teacher_is_the_whole_model_or_the_latest_student(distilled: list[dict[str, Any]], tmp_path: Path) -> None:
    student = Distil(student={"num_layers": 2})
    recipe = Recipe("long", (PRUNE[1], Distil(), student, PruneDepth(layers=1), Distil()))
    for _ in range(3):
        with pytest.raises(CancelledError):
            make(tmp_path / "out", recipe)
    make(tmp_path / "out", recipe)
    work = tmp_path / "out.work"
    healing, begun, again = (distilled[number] for number in (1, 3, 5))
    assert (healing["start"], healing["teacher"]) == (work / "1-prune-width", SOURCE)
    assert (begun["start"].num_layers, begun["start"].inner_hidden_size) == (2, 128)
    assert begun["teacher"] == work / "2-distil"
    assert (again["start"], again["teacher"]) == (work / "4-prune-depth", work / "3-distil")


@pytest.mark.parametrize("others", [(), (PruneDepth(layers=1),)], ids=["alone", "after another step"])
def test_scores_around_a_smaller_vocabulary_are_over_the_same_tokens(others: tuple[Step, ...], tmp_path: Path) -> None:
    """Fewer tokens to choose from make each likelier: this is no gain, and is not reported as one."""
    texts = [Text([], f"{i}加{i}等于多少？", f"{i}+{i}={2 * i}。") for i in range(40)]
    texts[0] = Text([], "zygote?", "zygote quixotic")  # held out, with pieces that no other text has
    recipe = Recipe("fewer", (*others, PruneVocabulary(), Quantise("int8")))
    out = make(tmp_path / "out", recipe, texts=texts)
    record = json.loads((out / "fastglm.json").read_text())
    scores, steps_ = record["scores"], record["steps"]
    assert "prune-vocabulary kept" in scores["over"]
    assert scores["before"]["loss"] < scores["before_over_all_tokens"]["loss"] - 0.1  # the score without the correction
    before = steps_[len(others) - 1]["scores"] if others else scores["before"]
    pruned = steps_[len(others)]["scores"]
    assert pruned["loss"] == pytest.approx(before["loss"], abs=1e-5)  # lossless
    assert {place["tokens"] for place in (before, pruned, scores["before"], scores["after"])} == {before["tokens"]}

    whole, old = fastglm.load(str(SOURCE), device="cpu")  # brute force: all logits, then those of the remaining tokens
    _, new = fastglm.load(str(out), device="cpu")
    rows = torch.tensor(old.convert_tokens_to_ids(new.convert_ids_to_tokens(list(range(len(new.get_vocab()))))))
    nats, count = 0.0, 0
    for example in examples(new, texts[::10], 256):
        ids = rows[torch.tensor([example.tokens])]
        with torch.inference_mode():
            logs = whole(ids).logits[0, example.context : -1, rows].double().log_softmax(-1)
        nats -= logs.gather(-1, torch.tensor(example.targets)[:, None]).sum().item()
        count += len(example.targets)
    assert scores["before"]["loss"] == pytest.approx(nats / count, abs=1e-4)
