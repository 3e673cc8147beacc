"""The plain loop computes what `original` computes; promises are judged and told rightly. Nothing timed is asserted."""

import math
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import fastglm
from benchmarks import apart, outcome, promises
from benchmarks.checkpoints import make_checkpoint
from benchmarks.cli import main
from benchmarks.outcome import Outcome
from benchmarks.plain_loop import PlainLoop
from benchmarks.progress import JsonReporter
from benchmarks.promises import plain_ratio
from benchmarks.questions import held_out
from benchmarks.statistics import Estimate
from benchmarks.workload import Workload, prompts
from fastglm.errors import CheckpointError, FastGLMError, HostError
from fastglm.evaluate.likelihood import likelihood
from fastglm.models.packing import encode
from fastglm.models.source import demo_folder
from fastglm.models.tokenizer import ChatGLMTokenizer
from fastglm.progress import Progress

GOLDEN = Path(__file__).parents[1] / "golden" / "chatglm"


def _silent(_progress: Progress) -> None: ...


def test_the_plain_loop_gives_the_tokens_of_original() -> None:
    model, tokenizer = fastglm.load(str(GOLDEN), "original", "cpu")
    for prompt in prompts(tokenizer, 40, 3):
        ours = fastglm.stream(model, tokenizer, prompt, max_new_tokens=24, do_sample=False, ignore_eos=True)
        assert list(PlainLoop(model).generate(prompt, 24)) == [piece.token for piece in ours]


def test_perplexity_is_that_of_a_plain_loop_in_float64() -> None:
    model, tokenizer = fastglm.load("demo")
    examples = [encode(tokenizer, q.history, q.question, q.expected, 200) for q in held_out(1)[::30]]
    ours = likelihood(model, examples).perplexity
    plain = PlainLoop(model.double())
    nats = sum(plain.nats(example.prompt, example.targets) for example in examples)
    assert ours == pytest.approx(math.exp(nats / sum(len(example.targets) for example in examples)), rel=1e-3)


def test_a_checkpoint_of_the_published_shape_is_passed_layer_by_layer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def small(folder: Path, layers: int) -> None:
        make_checkpoint(folder, ChatGLMTokenizer.from_pretrained(demo_folder()), 64, layers, 4, 8000, torch.float16)

    def here(measure: Callable[..., Any], _reporter: Any, *arguments: Any) -> Any:
        return measure(_silent, *arguments)

    monkeypatch.setattr(promises, "write_published", small)
    monkeypatch.setattr(promises, "apart", here)
    outcome = promises.memory_of_streaming(JsonReporter(), layers=2, questions=3)
    assert outcome.kept
    assert "(3 questions, " in outcome.measured
    made = promises.quantising(JsonReporter(), layers=2)
    assert made.kept
    assert made.measured.endswith("0.00 GB")  # 1 MB
    monkeypatch.setattr(promises.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(FastGLMError, match="wanted are 18: set TMPDIR"):
        promises.memory_of_streaming(JsonReporter())


def test_the_ratio_is_of_equal_answers_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    estimate = plain_ratio(_silent, str(GOLDEN), Workload((16,), 8, 3))
    assert estimate.n == 3
    assert estimate.value > 0
    rotated = PlainLoop.generate
    monkeypatch.setattr(PlainLoop, "generate", lambda self, prompt, tokens: rotated(self, prompt[::-1], tokens))
    with pytest.raises(FastGLMError, match="different tokens"):
        plain_ratio(_silent, str(GOLDEN), Workload((16,), 8, 3))


def test_a_made_checkpoint_is_read_back_in_shards(tmp_path: Path) -> None:
    tokenizer = ChatGLMTokenizer.from_pretrained(GOLDEN)
    make_checkpoint(tmp_path, tokenizer, hidden=64, layers=2, heads=4, vocabulary=1000, shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    model, _ = fastglm.load(str(tmp_path), "original", "cpu")
    assert model.config.inner(0) == 256
    assert model.fastglm.parameters > 2 * 12 * 64 * 64


def test_a_measurement_apart_brings_its_result_and_its_news(capsys: pytest.CaptureFixture[str]) -> None:
    estimate = apart.apart(plain_ratio, JsonReporter(), str(GOLDEN), Workload((16,), 4, 2))
    assert isinstance(estimate, Estimate)
    assert "plain loop in turn" in capsys.readouterr().out


@pytest.mark.parametrize("error", [CheckpointError("no such thing"), None])
def test_a_measurement_apart_that_fails_says_why(error: Exception | None) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def measure(_progress: Any) -> None:
        assert error
        raise error

    if error:
        apart._run(sender, measure, (), {})
    sender.close()  # as when the process is killed
    with pytest.raises(CheckpointError if error else HostError):
        apart._receive(receiver, _silent)


def _outcome(kept: bool | None) -> Callable[[Any], Outcome]:
    return lambda _reporter: Outcome("is fast", "is slow", kept)


def _broken(_reporter: Any) -> Outcome:
    raise FastGLMError("no memory")


@pytest.mark.parametrize(
    ("chosen", "status", "said"),
    [
        ({"a": _outcome(True)}, 0, "kept"),
        ({"a": _outcome(True), "b": _outcome(False)}, 1, "MISSED"),
        ({"a": _outcome(None)}, 0, "not for this machine"),
        ({"a": _broken, "b": _outcome(True)}, 1, "kept"),
    ],
)
def test_a_missed_promise_is_status_1(
    chosen: dict[str, Any], status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(promises, "PROMISES", chosen)
    assert main(["promises"]) == status
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].endswith(said)
    if _broken in chosen.values():
        assert "a could not be measured: no memory" in captured.err


def test_bounds_are_judged_by_the_median() -> None:
    ratio = Estimate(1.2, 5, 1.1, 1.3)
    assert outcome.at_most("", ratio, 1.25).kept
    assert not outcome.at_most("", ratio, 1.15).kept
    assert outcome.at_least("", ratio, 1.15).kept
    assert not outcome.at_least("", ratio, 1.25).kept
    assert outcome.within("", ratio, 0.21).kept
    assert not outcome.within("", ratio, 0.19).kept
    assert not outcome.within("", Estimate(0.8, 5, 0.7, 0.9), 0.19).kept
    assert outcome.at_least("", ratio, 1).measured == "1.200 × (1.100 – 1.300, n 5)"
