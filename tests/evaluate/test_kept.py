"""The file of a reference: read back as written, and every way it can be wrong is told in one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fastglm.errors import CheckpointError
from fastglm.evaluate.kept import BEST, LOGITS, Kept, Subject, read
from fastglm.evaluate.streamed import BestLogits

SUBJECT = Subject("c" * 64, "q" * 64, examples=3, targets=5, vocabulary=100)
Tensors = dict[str, Any]


def kept() -> Kept:
    logits = torch.arange(5.0 * BEST).view(5, BEST).flip(-1)
    tokens = torch.arange(BEST, dtype=torch.int32).repeat(5, 1)
    return Kept("float16 on cuda", BestLogits(tokens, logits, torch.ones(5), torch.zeros(5)), {0: "四", 2: None})


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


def test_what_is_written_is_read(file: Path) -> None:
    found = read(file, SUBJECT, "")
    assert (found.made, found.answers) == ("float16 on cuda", {0: "四", 2: None})
    assert all(torch.equal(getattr(found.best, name), getattr(kept().best, name)) for name in LOGITS)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


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
        ({"format": "pt"}, "is no reference of FAST-ChatGLM"),
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
        (lambda t: t.pop("total"), "not tokens, logits, total, target and answers"),
        (lambda t: t.update(more=torch.ones(1)), "holds answers, logits, more"),
        (lambda t: t.update(total=torch.ones(4)), "has total of (4,) float32, not (5,) float32"),
        (lambda t: t.update(logits=t["logits"][:, 1:].clone()), f"has logits of (5, {BEST - 1})"),
        (lambda t: t.update(tokens=t["tokens"].long()), "int64, not"),
        (lambda t: t["logits"].fill_(float("nan")), "has a logits that is not finite"),
        (lambda t: t["target"].fill_(float("inf")), "has a target that is not finite"),
        (lambda t: t["tokens"].fill_(100), "names a token beyond the vocabulary of 100"),
        (lambda t: t["tokens"].fill_(-1), "names a token beyond"),
        (answers("[[0, "), "has answers that cannot be read"),
        (answers("[0, 1]"), "has answers that cannot be read"),
        (answers('[[3, "x"]]'), "an answer to a question beyond the 3 asked"),
        (answers('[[true, "x"]]'), "beyond the 3"),
        (answers("[[1, 4]]"), "an answer that is no text"),
    ],
)
def test_a_file_that_does_not_fit(file: Path, change: Callable[[Tensors], object], said: str) -> None:
    changed(file, change)
    assert said in refusal(file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\x80\x04\x95 a pickle", b"\xff" * 100])
def test_a_file_of_another_kind(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert "is truncated or corrupt, or no reference" in refusal(file)


def test_half_a_file(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])
    assert "is truncated or corrupt" in refusal(file)


def test_a_small_vocabulary_has_fewer_best(file: Path) -> None:
    assert "has tokens of" in refusal(file, replace(SUBJECT, vocabulary=30))
