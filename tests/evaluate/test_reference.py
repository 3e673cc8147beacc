"""The reference: computed once, kept under what it was made from, and read back whole or not at all."""

from pathlib import Path

import pytest
import torch

import fastglm
from fastglm.errors import CheckpointError
from fastglm.evaluate import reference as module
from fastglm.evaluate.divergence import divergence
from fastglm.evaluate.reference import Reference, reference
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.packing import Example, encode
from fastglm.models.source import demo_folder
from fastglm.progress import Progress

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    _, tokenizer = fastglm.load("demo")
    return [encode(tokenizer, [], f"{n}+{n}=?", f"{n}+{n}={2 * n}。", 200) for n in range(40)]


def make(examples: list[Example], seen: list[Progress] | None = None) -> Reference:
    return reference(Checkpoint(demo_folder()), examples, CPU, torch.float32, None if seen is None else seen.append)


def files(home: Path) -> list[Path]:
    return sorted((home / "references").iterdir())


def test_it_is_computed_once_and_read_back_the_same(examples: list[Example], home: Path) -> None:
    seen: list[Progress] = []
    first, again = make(examples, seen), make(examples, nothing := [])
    assert seen[-1].done == seen[-1].total == len(seen)
    assert not nothing
    assert len(files(home)) == 1
    for a, b in zip(first.best, again.best, strict=True):
        assert all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("tokens", "logits", "total", "target"))


def test_groups_of_any_size_give_the_same(examples: list[Example], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(examples)
    files(home)[0].unlink()
    monkeypatch.setattr(module, "TOKENS_AT_ONCE", 1)
    parts = make(examples, seen := [])
    assert len(seen) == 2 * (Checkpoint(demo_folder()).config.num_layers + 1)  # 40 examples are two batches
    for a, b in zip(whole.best, parts.best, strict=True):
        torch.testing.assert_close(a.logits, b.logits, rtol=0, atol=1e-5)


def test_other_texts_and_other_weights_have_files_of_their_own(examples: list[Example], home: Path) -> None:
    make(examples)
    make(examples[:-1])
    first, second = files(home)
    assert first.name.split("-")[0] == second.name.split("-")[0] == Checkpoint(demo_folder()).content_hash()[:24]


def test_a_variant_is_compared_with_it(examples: list[Example]) -> None:
    found = make(examples)
    same = divergence(fastglm.load("demo")[0], found.batches, found.best)
    assert same.kl_divergence < 1e-5
    assert divergence(fastglm.load("demo", "int4")[0], found.batches, found.best).kl_divergence > 1e-5


def test_a_broken_file_is_named(examples: list[Example], home: Path) -> None:
    make(examples)
    (kept,) = files(home)
    kept.write_bytes(kept.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"truncated or corrupt: remove it"):
        make(examples)
