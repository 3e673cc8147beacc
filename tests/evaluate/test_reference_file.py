"""The file of a reference: read back as written; every fault is reported in one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fastglm.errors import CheckpointError
from fastglm.evaluate.reference_file import FINALS, FORMAT, OLD_FORMAT, Kept, Subject, read
from fastglm.models.head import FinalStates

SUBJECT = Subject("c" * 64, "q" * 64, examples=3, targets=5, vocabulary=100, hidden=8)
HEAD = torch.ones(100, 8, dtype=torch.float16)
Tensors = dict[str, Any]


def kept() -> Kept:
    states = torch.arange(40.0).view(5, 8).half()
    finals = FinalStates(states, torch.arange(5, dtype=torch.int32), torch.linspace(0, 1, 5))
    return Kept("float16 on cuda", finals, {0: "四", 2: None})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    kept().write(tmp_path / "a.reference", SUBJECT)
    return tmp_path / "a.reference"


def changed(file: Path, change: Callable[[Tensors], object], **metadata: str) -> None:
    with safe_open(file, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118  # not a dict
        said = opened.metadata() | metadata
    change(tensors)
    save_file(tensors, file, said)


def refusal(file: Path, subject: Subject = SUBJECT) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(file, subject, "export it again")
    said = str(caught.value)
    assert said.startswith(str(file))
    assert said.endswith(": export it again.")
    assert "\n" not in said
    return said


def answers(text: str) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.update(answers=torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8))


def test_a_written_file_is_read_back(file: Path) -> None:
    found = read(file, SUBJECT, "")
    assert (found.made, found.answers) == ("float16 on cuda", {0: "四", 2: None})
    assert found.finals is not None
    assert all(torch.equal(getattr(found.finals, name), getattr(kept().finals, name)) for name in FINALS)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_can_carry_the_head(file: Path) -> None:
    kept().write(file, SUBJECT, HEAD)
    with safe_open(file, framework="pt") as opened:
        assert torch.equal(opened.get_tensor("head"), HEAD)
        assert opened.metadata()["format"] == FORMAT
    assert read(file, SUBJECT, "").finals is not None
    kept().write(file, SUBJECT, HEAD[:-1])
    assert "has head of (99, 8) F16, not (100, 8) F16 or BF16 or F32" in refusal(file)


def test_a_file_with_the_best_logits_alone_gives_its_answers(file: Path) -> None:
    old = {
        "tokens": torch.zeros(5, 64, dtype=torch.int32),
        "logits": torch.zeros(5, 64),
        "total": torch.ones(5),
        "target": torch.zeros(5),
    }
    changed(file, lambda tensors: [tensors.pop(name) for name in FINALS], format=OLD_FORMAT)
    changed(file, lambda tensors: tensors.update(old))
    found = read(file, SUBJECT, "")
    assert found.finals is None
    assert (found.made, found.answers) == ("float16 on cuda", {0: "四", 2: None})
    changed(file, answers('[[3, "x"]]'))
    assert "an answer to a question beyond the 3 asked" in refusal(file)


def test_no_half_of_a_file_is_left(file: Path) -> None:
    before = file.read_bytes()
    target = file.parent / "folder"
    target.mkdir()
    with pytest.raises(CheckpointError, match="could not be written"):
        kept().write(target, SUBJECT)
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name, "folder"]
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"format": "pt"}, "is not a reference of FAST-ChatGLM"),
        ({"format": "fastglm-reference-1"}, "another version of FAST-ChatGLM (fastglm-reference-1"),
        ({"checkpoint": "d" * 64}, "another checkpoint (dddddddddddd, this one is cccccccccccc)"),
        ({"questions": "r" * 64}, "other questions"),
    ],
)
def test_a_file_of_something_else(file: Path, metadata: dict[str, str], said: str) -> None:
    changed(file, lambda _: None, **metadata)
    assert said in refusal(file)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("best"), "holds answers, losses, states, not states, best, losses and answers"),
        (lambda t: t.update(more=torch.ones(1)), "holds answers, best, losses, more"),
        (lambda t: t.pop("answers"), "holds best, losses, states"),
        (lambda t: t.update(losses=torch.ones(4)), "has losses of (4,) F32, not (5,) F32"),
        (lambda t: t.update(states=t["states"][:, 1:].clone()), "has states of (5, 7) F16, not (5, 8) F16 or F32"),
        (lambda t: t.update(states=t["states"].bfloat16()), "has states of (5, 8) BF16"),
        (lambda t: t.update(best=t["best"].long()), "has best of (5,) I64, not"),
        (lambda t: t["states"].fill_(float("nan")), "has states that are not finite"),
        (lambda t: t["losses"].fill_(float("inf")), "has losses that are not finite"),
        (lambda t: t["best"].fill_(100), "names a token beyond the vocabulary of 100"),
        (lambda t: t["best"].fill_(-1), "names a token beyond"),
        (answers("[[0, "), "has answers that cannot be read"),
        (answers("[0, 1]"), "has answers that cannot be read"),
        (answers('[[3, "x"]]'), "an answer to a question beyond the 3 asked"),
        (answers('[[true, "x"]]'), "beyond the 3"),
        (answers("[[1, 4]]"), "an answer that is not a text"),
    ],
)
def test_a_file_that_does_not_fit(file: Path, change: Callable[[Tensors], object], said: str) -> None:
    changed(file, change)
    assert said in refusal(file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\x80\x04\x95 a pickle", b"\xff" * 100])
def test_a_file_of_another_kind(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert "is truncated or corrupt, or not a reference" in refusal(file)


def test_half_a_file(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])
    assert "is truncated or corrupt" in refusal(file)


def test_a_file_of_another_size(file: Path) -> None:
    assert "has states of (5, 8) F16, not (5, 16)" in refusal(file, replace(SUBJECT, hidden=16))
    assert "not (6," in refusal(file, replace(SUBJECT, targets=6))
