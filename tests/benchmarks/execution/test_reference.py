"""A reference goes from a machine with memory for the original to one without."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmarks.cli.commands import main
from benchmarks.execution import reference
from fastglm.compress import checkpoint_writer as compress_folder
from fastglm.errors import MemoryShortError
from fastglm.evaluate.reference_file import OLD_FORMAT
from fastglm.evaluate.scoring import judge, judge_streamed
from fastglm.history import of_rounds
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.source import demo_folder
from fastglm.variants.load import load

QUESTIONS = [("2+3=?", "2+3=5。"), ("What is the capital of France?", "The capital of France is Paris.")]


class Loaded:
    """A host in this process."""

    def __enter__(self) -> "Loaded":
        return self

    def __exit__(self, *_: object) -> None: ...

    def apply(self, function: Any, *arguments: Any, progress: Any) -> Any:
        assert function is judge
        return judge(*load("demo", device="cpu"), *arguments, progress=progress)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path / "here"))
    monkeypatch.setattr(reference, "LONGEST_ANSWER", 12)
    monkeypatch.setattr(reference, "elsewhere", lambda work, progress, *arguments: work(progress, *arguments))
    monkeypatch.setattr(reference.Host, "start", lambda *_, **__: Loaded())
    return tmp_path


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    texts = tmp_path / "own.jsonl"
    texts.write_text("\n".join(json.dumps({"prompt": asked, "answer": known}) for asked, known in QUESTIONS))
    return ["--texts", str(texts)]


def no_room(*_: object, **__: object) -> None:
    raise MemoryShortError("13 GB are needed and 6 GB are free")


@pytest.mark.parametrize("room", [True, False])
def test_a_reference_made_on_one_machine_is_used_on_another(
    room: bool, machine: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not room:
        monkeypatch.setattr(reference.Host, "start", no_room)
    file = machine / "carried.safetensors"
    assert main(["reference", "export", str(file), *asked, "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    size, written = said.splitlines()
    head = Checkpoint(demo_folder()).config.vocab_size * 256 * 2
    assert size.startswith(f"{file} will take ")
    assert size.endswith(f"{head / 1e6:.3g} MB of it the head")
    assert "2 answers and their probabilities written" in written
    with safe_open(file, framework="pt") as opened:
        assert opened.get_tensor("head").nbytes == head
    monkeypatch.setenv("FASTGLM_HOME", str(machine / "there"))
    monkeypatch.setattr(LayerwiseModel, "_states", lambda *_: pytest.fail("it was computed again"))
    assert main(["reference", "import", str(file), *asked]) == 0
    assert "2 answers and their probabilities kept (made with float32 on cpu)" in capsys.readouterr().out
    judged = judge_streamed("demo", "cpu", [(of_rounds([], asked), known) for asked, known in QUESTIONS], 12)
    assert [found.answer for found in judged.questions] == ["2+3=5。", "The capital of France is Paris."]
    assert main(["reference", "export", str(machine / "again"), *asked]) == 0  # with nothing to compute
    one, again = (load_file(path) for path in (file, machine / "again"))
    assert one.keys() == again.keys()
    assert all(torch.equal(one[name], again[name]) for name in one)


def test_a_file_of_an_earlier_version_gives_its_answers(
    machine: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, old = machine / "carried", machine / "old"
    assert main(["reference", "export", str(file), *asked]) == 0
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata() | {"format": OLD_FORMAT}
        best = {"logits": torch.zeros(1, 64), "tokens": torch.zeros(1, 64, dtype=torch.int32)}
        save_file({"answers": opened.get_tensor("answers"), **best}, old, metadata)
    monkeypatch.setenv("FASTGLM_HOME", str(machine / "there"))
    capsys.readouterr()
    assert main(["reference", "import", str(old), *asked]) == 0
    assert "2 answers kept" in (said := capsys.readouterr().out)
    assert "of an earlier version, which kept only the 64 best logits" in said
    questions = [(of_rounds([], asked), known) for asked, known in QUESTIONS]
    for judged in judge(*load("demo", "int4", "cpu"), questions, 4).questions:
        assert sum(judged.kl or ()) > 0


def test_without_room_on_the_disk_nothing_is_computed(
    machine: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compress_folder.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    monkeypatch.setattr(reference.Host, "start", no_room)
    assert main(["reference", "export", str(machine / "file"), *asked]) == 1
    assert "are free on its disk: make room there" in capsys.readouterr().err


def test_a_file_of_other_questions_is_refused(
    machine: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = machine / "carried"
    assert main(["reference", "export", str(file), *asked]) == 0
    capsys.readouterr()
    assert main(["reference", "import", str(file), "--questions", "1"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "is of other questions than these: export it again" in line


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (["export", "{folder}/missing/file"], 2, "cannot be written"),
        (["export", "{folder}/file", "--model", "shape:chatglm-6b"], 2, "random weights"),
        (["export", "{folder}/file", "--model", "{folder}"], 1, "has no config.json"),
        (["export", "{folder}/file", "--device", "abacus"], 1, "Unknown device"),
        (["import", "{folder}/missing"], 2, "does not exist"),
        (["import", "{folder}"], 2, "is a directory"),
        ([], 2, "Missing command"),
    ],
)
def test_impossible_commands_are_refused_in_a_line(
    command: list[str], status: int, said: str, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reference", *(part.format(folder=machine) for part in command)]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
