"""A compression never learns from the texts for its scores."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pruning import SOURCE, TEXTS

import fastglm
from fastglm.compress import distill, prune, quantize
from fastglm.compress.recipe import Recipe
from fastglm.compress.steps import (
    Distil,
    PruneDepth,
    PruneVocabulary,
    PruneWidth,
    Quantise,
    Sparse24,
    Step,
    StepContext,
)
from fastglm.compress.text_split import EVERY, MOST, Split
from fastglm.text_files import Text

STEPS = (
    PruneDepth(layers=1),
    PruneWidth(channels=0.5),
    Sparse24(),
    PruneVocabulary(),
    Distil(steps=2, rows=1, row=64),
    Quantise("int8"),
)


class Seen(Exception):
    """Ends a step once its texts are known."""


@dataclass
class Watch:
    """Replaces a function of a step, and keeps the texts it gets."""

    texts: list[Text] = field(default_factory=list)

    def __call__(self, *arguments: Any, **named: Any) -> None:
        for value in (*arguments, *named.values()):
            if isinstance(value, list) and value and isinstance(value[0], Text):
                self.texts += value
            elif hasattr(value, "draw"):
                self.texts += [text for _, text in zip(range(200), value.draw(0, 1), strict=False)]
        raise Seen


def seen(step: Step, split: Split, monkeypatch: pytest.MonkeyPatch) -> list[Text]:
    watch = Watch()
    for name in ("prune_depth", "prune_width", "prune_vocabulary", "sparsify_24"):
        monkeypatch.setattr(prune, name, watch)
    monkeypatch.setattr(quantize, "quantise_folder", watch)
    monkeypatch.setattr(distill, "distil", watch)
    given = StepContext(SOURCE, SOURCE, Path("/nowhere"), split, 0, "cpu", lambda _: None)
    with pytest.raises(Seen):
        step.run(given)
    return watch.texts


def keys(texts: Iterable[Text]) -> set[str]:
    return {repr(text) for text in texts}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_learns_from_nothing_that_is_held_out(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    split = Split(TEXTS)
    found = seen(step, split, monkeypatch)
    assert keys(found) == keys(TEXTS) - keys(split.held_out)


@pytest.mark.parametrize("step", [PruneDepth(layers=1), Distil(steps=2, rows=1, row=64), Quantise("int8")])
def test_a_step_learns_from_nothing_that_the_demo_holds_out(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    split = Split("demo")
    found = seen(step, split, monkeypatch)
    assert len(found) >= 200
    assert not keys(found) & keys(split.held_out)


def test_a_text_that_a_file_has_twice_is_not_learned_where_it_is_held_out() -> None:
    texts = [TEXTS[number % 7] for number in range(40)]
    split = Split(texts)
    assert keys(split.held_out) == keys(texts[::EVERY])
    assert keys(split.learn) == keys(texts) - keys(split.held_out)  # type: ignore[arg-type]


def test_one_of_every_ten_texts_is_held_out_until_there_are_enough() -> None:
    texts = [Text([], str(number), "x") for number in range(EVERY * MOST + 25)]
    split = Split(texts)
    assert split.held_out == texts[: EVERY * MOST : EVERY]
    assert len(split.learn) == len(texts) - MOST
    assert texts[EVERY * MOST] in split.learn


def test_a_pruned_vocabulary_does_not_have_what_only_held_out_texts_use(tmp_path: Path) -> None:
    rare = "zygote"  # pieces that no other text has
    texts = [Text([], rare, rare), *TEXTS[1:]]
    fastglm.compress(str(SOURCE), Recipe("v", (PruneVocabulary(),)), tmp_path / "out", texts, device="cpu")
    whole, small = (fastglm.load(str(place), device="cpu")[1] for place in (SOURCE, tmp_path / "out"))
    used = set(whole.convert_ids_to_tokens(whole.encode(rare, add_special_tokens=False)))
    assert not used <= set(small.get_vocab())
    assert small.decode(small.encode(rare, add_special_tokens=False)) == rare  # spelled differently
    assert json.loads((tmp_path / "out" / "fastglm.json").read_text())["scores"]["after"]["tokens"] > 0
