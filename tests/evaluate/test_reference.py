"""The reference: computed once, kept under what it was made from, and carried to other machines."""

from pathlib import Path

import pytest
import torch

import fastglm
from fastglm.errors import CheckpointError
from fastglm.evaluate import reference as module
from fastglm.evaluate.answers import prompt_answers
from fastglm.evaluate.divergence import divergence
from fastglm.evaluate.kept import LOGITS
from fastglm.evaluate.reference import Reference
from fastglm.evaluate.streamed import BestLogits, StreamedModel
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.packing import Example, encode
from fastglm.models.source import demo_folder
from fastglm.progress import Progress

LONGEST = 16


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def demo():
    return fastglm.load("demo")


@pytest.fixture(scope="module")
def examples(demo) -> list[Example]:
    return [encode(demo[1], [], f"{n}+{n}=?", f"{n}+{n}={2 * n}。", 200) for n in range(40)]


def make(examples: list[Example], longest: int = LONGEST) -> Reference:
    return Reference(Checkpoint(demo_folder()), examples, longest, torch.device("cpu"))


def files(home: Path) -> list[Path]:
    return sorted((home / "references").iterdir())


def alike(first: list[BestLogits], second: list[BestLogits]) -> bool:
    return all(
        torch.equal(getattr(a, name), getattr(b, name)) for a, b in zip(first, second, strict=True) for name in LOGITS
    )


@pytest.fixture
def nothing_computed(monkeypatch: pytest.MonkeyPatch):
    """From when it is called."""

    def forbid() -> None:
        monkeypatch.setattr(StreamedModel, "_states", lambda *_: pytest.fail("it was computed again"))

    return forbid


def test_it_is_computed_once_and_read_back_the_same(examples: list[Example], home: Path, nothing_computed) -> None:
    seen: list[Progress] = []
    first = make(examples).best(seen.append)
    assert seen[-1].done == seen[-1].total == len(seen)
    nothing_computed()
    assert alike(first, make(examples).best())
    assert len(files(home)) == 1


def test_groups_of_any_size_give_the_same(examples: list[Example], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(examples).best()
    files(home)[0].unlink()
    monkeypatch.setattr(module, "STATES_AT_ONCE", 1)
    parts = make(examples).best((seen := []).append)
    assert len(seen) == 2 * (Checkpoint(demo_folder()).config.num_layers + 1)  # 40 examples are two batches
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a.logits, b.logits, rtol=0, atol=1e-5)


def test_other_texts_and_other_weights_have_files_of_their_own(examples: list[Example], home: Path) -> None:
    make(examples).best()
    make(examples[:-1]).best()
    first, second = files(home)
    assert first.name.split("-")[0] == second.name.split("-")[0] == Checkpoint(demo_folder()).content_hash()[:24]
    assert make(examples, 17).path not in (first, second)


def test_a_variant_is_compared_with_it(demo, examples: list[Example]) -> None:
    found = make(examples)
    same = divergence(demo[0], found.batches, found.best())
    assert same.kl_divergence < 1e-5
    assert divergence(fastglm.load("demo", "int4")[0], found.batches, found.best()).kl_divergence > 1e-5


def test_answers_are_computed_once_too(demo, examples: list[Example], nothing_computed) -> None:
    asked = examples[:5]
    plain = prompt_answers(*demo, [example.prompt for example in asked], LONGEST)
    reference = make(asked)
    assert not reference.complete
    assert reference.answers(demo[1]) == plain
    nothing_computed()
    assert make(asked).complete
    assert make(asked).answers(demo[1]) == plain
    assert make(asked).made == "float32 on cpu"


def test_a_stopped_computation_goes_on_where_it_was(
    demo, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAVED_EVERY", 0.0)
    plain, asked = module.streamed_answers, []

    def stopped(model, prompts, *rest):
        for number, found in enumerate(plain(model, prompts, *rest)):
            if number == 2:
                raise KeyboardInterrupt
            yield found

    def counted(model, prompts, *rest):
        asked.append(len(prompts))
        yield from plain(model, prompts, *rest)

    monkeypatch.setattr(module, "streamed_answers", stopped)
    with pytest.raises(KeyboardInterrupt):
        make(examples[:5]).answers(demo[1])
    monkeypatch.setattr(module, "streamed_answers", counted)
    expected = prompt_answers(*demo, [example.prompt for example in examples[:5]], LONGEST)
    assert make(examples[:5]).answers(demo[1]) == expected
    assert asked == [3]


def test_a_loaded_originals_answers_are_kept_but_replace_none(examples: list[Example]) -> None:
    make(examples[:2]).keep_answers(["a", None])
    make(examples[:2]).keep_answers(["b", "c"])
    assert make(examples[:2]).answers(None) == ["a", None]


def test_a_file_goes_to_another_machine(
    demo, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_computed
) -> None:
    made = make(examples[:3])
    answers = made.answers(demo[1])
    made.write(tmp_path / "carried")
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path / "elsewhere"))
    nothing_computed()
    make(examples[:3]).adopt(tmp_path / "carried")
    there = make(examples[:3])
    assert there.answers(demo[1]) == answers
    assert alike(there.best(), made.best())


def test_a_broken_file_is_named(examples: list[Example], home: Path) -> None:
    make(examples).best()
    (kept,) = files(home)
    kept.write_bytes(kept.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"truncated or corrupt.*: remove it"):
        make(examples).best()
