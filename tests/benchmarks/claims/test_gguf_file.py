"""The claim about llama.cpp: equal best tokens are counted, and nothing is claimed where it is not installed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fake_runs import silent

from benchmarks.claims import gguf_file
from benchmarks.measure import bounds
from benchmarks.peers.peer import lacking
from benchmarks.run.progress import JsonReporter


@pytest.mark.parametrize("right", [True, False])
def test_equal_best_tokens_are_counted(monkeypatch: pytest.MonkeyPatch, demo_glm: Any, right: bool) -> None:
    class Fake:
        """llama.cpp, always right or always wrong."""

        def __init__(self, file: Path, context: int, _threads: int) -> None:
            assert file.stat().st_size > 16e6
            assert context == 1024

        def best(self, tokens: list[int]) -> list[int]:
            logits = demo_glm[0](input_ids=torch.tensor([tokens])).logits[0]
            return (logits.argmax(-1) if right else logits.argmin(-1)).tolist()

    monkeypatch.setattr(gguf_file, "Llama", Fake)
    assert gguf_file.equal_tokens(silent, "demo-glm", 30) == (30 if right else 0)


def test_nothing_is_claimed_without_llama_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_file, "lacking", lambda *_: "llama_cpp not installed")
    assert gguf_file.promise(JsonReporter()) == []


@pytest.mark.parametrize(("same", "kept"), [(190, True), (189, False)])
def test_five_positions_in_a_hundred_may_differ(monkeypatch: pytest.MonkeyPatch, same: int, kept: bool) -> None:
    monkeypatch.setattr(gguf_file, "lacking", lambda *_: None)
    monkeypatch.setattr(gguf_file, "apart", lambda *_: same)
    assert bounds.kept(gguf_file.promise(JsonReporter())) is kept


@pytest.mark.skipif(lacking("llama_cpp") is not None, reason="llama-cpp-python is not installed (the extra peers)")
def test_llama_cpp_has_the_same_best_tokens() -> None:
    assert gguf_file.equal_tokens(silent, "demo-glm", 200) >= 190
