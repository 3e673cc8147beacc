"""The reference: computed once, stored under a name of its inputs, and carried to other machines."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import fastglm
from fastglm.errors import CheckpointError
from fastglm.evaluate import reference as module
from fastglm.evaluate.answers import prompt_answers
from fastglm.evaluate.divergence import divergence
from fastglm.evaluate.reference import Reference
from fastglm.evaluate.reference_file import FINALS, OLD_FORMAT
from fastglm.history import of_rounds
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.head import FinalStates
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.packing import Example, encode
from fastglm.models.source import demo_folder
from fastglm.progress.progress import Progress

LONGEST = 16


@pytest.fixture(scope="module")
def examples(demo) -> list[Example]:
    return [encode(demo[1], of_rounds([], f"{n}+{n}=?"), f"{n}+{n}={2 * n}。", 200) for n in range(40)]


def make(examples: list[Example], longest: int = LONGEST) -> Reference:
    return Reference(Checkpoint(demo_folder()), examples, longest, torch.device("cpu"))


def files(home: Path) -> list[Path]:
    return sorted((home / "references").iterdir())


def alike(first: FinalStates, second: FinalStates) -> bool:
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in FINALS)


@pytest.fixture
def nothing_computed(monkeypatch: pytest.MonkeyPatch):
    """Forbid computing from the call on."""

    def forbid() -> None:
        monkeypatch.setattr(LayerwiseModel, "_states", lambda *_: pytest.fail("it was computed again"))

    return forbid


def test_a_reference_is_computed_once_and_read_back_the_same(
    examples: list[Example], own_home: Path, nothing_computed
) -> None:
    seen: list[Progress] = []
    first = make(examples).finals(seen.append)
    assert seen[-1].done == seen[-1].total == len(seen)
    nothing_computed()
    assert alike(first, make(examples).finals())
    assert len(files(own_home)) == 1


def test_groups_of_any_size_give_the_same(
    examples: list[Example], own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(examples).finals()
    files(own_home)[0].unlink()
    monkeypatch.setattr(module, "STATES_AT_ONCE", 1)
    parts = make(examples).finals((seen := []).append)
    assert len(seen) == 2 * (Checkpoint(demo_folder()).config.num_layers + 1)  # 40 examples are two batches
    torch.testing.assert_close(whole.losses, parts.losses, rtol=0, atol=1e-5)
    torch.testing.assert_close(whole.states, parts.states, rtol=2e-3, atol=1e-4)  # neighbours in fp16


def test_other_texts_and_other_weights_have_files_of_their_own(examples: list[Example], own_home: Path) -> None:
    make(examples).finals()
    make(examples[:-1]).finals()
    first, second = files(own_home)
    assert first.name.split("-")[0] == second.name.split("-")[0] == Checkpoint(demo_folder()).content_hash()[:24]
    assert make(examples, 17).path not in (first, second)


def test_a_variant_is_compared_with_it(demo, examples: list[Example]) -> None:
    found = make(examples)
    same = divergence(demo[0], found.batches, found.finals(), found.head)
    assert same.kl_divergence < 1e-7
    int4, _ = fastglm.load("demo", "int4")
    assert divergence(int4, found.batches, found.finals(), found.head).kl_divergence > 1e-5


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
    plain, asked = module.layerwise_answers, []

    def stopped(model, prompts, *rest):
        for number, found in enumerate(plain(model, prompts, *rest)):
            if number == 2:
                raise KeyboardInterrupt
            yield found

    def counted(model, prompts, *rest):
        asked.append(len(prompts))
        yield from plain(model, prompts, *rest)

    monkeypatch.setattr(module, "layerwise_answers", stopped)
    with pytest.raises(KeyboardInterrupt):
        make(examples[:5]).answers(demo[1])
    monkeypatch.setattr(module, "layerwise_answers", counted)
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
    assert alike(there.finals(), made.finals())
    assert made.size == pytest.approx((tmp_path / "carried").stat().st_size, rel=0.01)
    assert there.path.stat().st_size < made.size / 2  # this machine has the head already


def test_answers_of_an_earlier_version_are_kept_and_the_rest_computed_anew(
    examples: list[Example], own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make(examples[:2]).finals()
    make(examples[:2]).keep_answers(["a", None])
    (path,) = files(own_home)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() | {"format": OLD_FORMAT, "made": "float16 on cuda"}
        save_file({"answers": file.get_tensor("answers"), "tokens": torch.zeros(1)}, tmp_path / "old", metadata)
    for place in ("kept", "imported"):
        if place == "kept":
            path.write_bytes((tmp_path / "old").read_bytes())
        else:
            path.unlink()
            make(examples[:2]).adopt(tmp_path / "old")
        assert not make(examples[:2]).complete
        assert make(examples[:2]).answered == 2
        assert alike(make(examples[:2]).finals(), expected)
        assert make(examples[:2]).complete
        assert make(examples[:2]).answers(None) == ["a", None]
        assert make(examples[:2]).made == "float16 on cuda, probabilities in float32 on cpu"


def test_a_broken_file_is_named(examples: list[Example], own_home: Path) -> None:
    make(examples).finals()
    (kept,) = files(own_home)
    kept.write_bytes(kept.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"truncated or corrupt.*: remove it"):
        make(examples).finals()
