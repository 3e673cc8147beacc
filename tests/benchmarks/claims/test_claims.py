"""The plain loop computes the same as `original`; claims are judged and reported correctly. No time is asserted."""

import json
import math
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fake_runs import silent

import fastglm
from benchmarks.claims import claims
from benchmarks.claims.claims import Promise, plain_ratio
from benchmarks.claims.plain_loop import PlainLoop
from benchmarks.cli.commands import main
from benchmarks.execution.request import RunRequest
from benchmarks.measure import bounds
from benchmarks.measure.bounds import ClaimedFigure
from benchmarks.measure.measurement import Measurement
from benchmarks.measure.statistics import Estimate
from benchmarks.run import isolated
from benchmarks.run.progress import JsonReporter
from benchmarks.run.questions import held_out
from benchmarks.run.workload import Workload, prompts
from benchmarks.synthetic_checkpoints import make_checkpoint
from fastglm.errors import CheckpointError, FastGLMError, HostError
from fastglm.evaluate.likelihood import likelihood
from fastglm.models.packing import encode

GOLDEN = Path(__file__).parents[2] / "golden" / "chatglm"


def test_the_plain_loop_gives_the_tokens_of_original() -> None:
    model, tokenizer = fastglm.load(str(GOLDEN), "original", "cpu")
    for prompt in prompts(tokenizer, 40, 3):
        ours = fastglm.stream(model, tokenizer, prompt, max_new_tokens=24, do_sample=False, ignore_eos=True)
        assert list(PlainLoop(model).generate(prompt, 24)) == [piece.token for piece in ours]


def test_perplexity_is_that_of_a_plain_loop_in_float64() -> None:
    model, tokenizer = fastglm.load("demo")
    examples = [encode(tokenizer, q.text.messages, q.text.answer, 200) for q in held_out(1)[::30]]
    ours = likelihood(model, examples).perplexity
    plain = PlainLoop(model.double())
    nats = sum(plain.nats(example.prompt, example.targets) for example in examples)
    assert ours == pytest.approx(math.exp(nats / sum(len(example.targets) for example in examples)), rel=1e-3)


def test_a_checkpoint_of_the_published_shape_is_passed_layer_by_layer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def small(folder: Path, layers: int) -> None:
        make_checkpoint(folder, 64, layers, 4, 8000, torch.float16)

    def here(measure: Callable[..., Any], _reporter: Any, *arguments: Any) -> Any:
        return measure(silent, *arguments)

    monkeypatch.setattr(claims, "write_published", small)
    monkeypatch.setattr(claims, "apart", here)
    assert bounds.kept(claims.memory_of_streaming(JsonReporter(), layers=2, questions=3))
    made = claims.quantising(JsonReporter(), layers=2)
    assert bounds.kept(made)
    assert made[2].value < 4e6  # bytes
    peak, minutes, tokens = claims.calibrating(JsonReporter(), layers=1)
    assert peak.value > 1e6
    assert minutes.value > 0
    assert tokens.value > 16384  # the widest matrix of the published shape
    monkeypatch.setattr(claims.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(FastGLMError, match=r"18\.4 GB are needed: set TMPDIR"):
        claims.memory_of_streaming(JsonReporter())


def test_the_ratio_is_of_equal_answers_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    estimate = plain_ratio(silent, str(GOLDEN), Workload((16,), 8, 3))
    assert estimate.n == 3
    assert estimate.value > 0
    rotated = PlainLoop.generate
    monkeypatch.setattr(PlainLoop, "generate", lambda self, prompt, tokens: rotated(self, prompt[::-1], tokens))
    with pytest.raises(FastGLMError, match="different tokens"):
        plain_ratio(silent, str(GOLDEN), Workload((16,), 8, 3))


@pytest.mark.parametrize(("gain", "kept"), [(2.8, True), (2.79, False)])
@pytest.mark.parametrize("name", ["speed-chatglm3", "speed-glm4"])
def test_the_family_is_judged_by_its_gains(monkeypatch: pytest.MonkeyPatch, name: str, gain: float, kept: bool) -> None:
    def carry_out(order: RunRequest, *_: Any) -> SimpleNamespace:
        gains = {"original": 1.0, "fast": 1.0, "int8": gain, "int4": 5.0}
        assert order.variants == [*gains]
        assert order.model in claims.PROMISES[name].promised
        rows = [Measurement("", order.model, v, "cpu", "decode_rate_ratio", {}, g) for v, g in gains.items()]
        return SimpleNamespace(measurements=rows[1:])

    monkeypatch.setattr(RunRequest, "carry_out", carry_out)
    assert bounds.kept(claims.PROMISES[name].measure(JsonReporter())) is kept


def test_a_made_checkpoint_is_read_back_in_shards(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, hidden=64, layers=2, heads=4, vocabulary=8000, shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    model, _ = fastglm.load(str(tmp_path), "original", "cpu")
    assert model.config.inner(0) == 256
    assert model.fastglm.parameters > 2 * 12 * 64 * 64


def test_a_measurement_apart_brings_its_result_and_its_news(capsys: pytest.CaptureFixture[str]) -> None:
    estimate = isolated.apart(plain_ratio, JsonReporter(), str(GOLDEN), Workload((16,), 4, 2))
    assert isinstance(estimate, Estimate)
    assert "plain loop in turn" in capsys.readouterr().out


@pytest.mark.parametrize("error", [CheckpointError("no such thing"), None])
def test_a_measurement_apart_that_fails_says_why(error: Exception | None) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def measure(_progress: Any) -> None:
        assert error
        raise error

    if error:
        isolated._run(sender, measure, (), {})
    sender.close()  # as if the process were killed
    with pytest.raises(CheckpointError if error else HostError):
        isolated._receive(receiver, silent)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is described at once."""
    facts = {"cpu": "A", "threads": 2, "memory": 8e9, "cpu_busy": 0.0, "device": {"kind": "cpu", "simd": "AVX2"}}
    monkeypatch.setattr(claims, "machine", lambda _device: facts)
    monkeypatch.setattr(claims, "busy", lambda: 0.0)


def _promise(*figures: ClaimedFigure) -> Promise:
    return Promise("is fast", lambda _reporter: list(figures))


def _broken(_reporter: Any) -> list[ClaimedFigure]:
    raise FastGLMError("no memory")


KEPT, MISSED, OTHER = ClaimedFigure(2, "×", least=1), ClaimedFigure(2, "×", least=3), ClaimedFigure(2, "×")


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("chosen", "status", "said"),
    [
        ({"a": _promise(KEPT)}, 0, "2 ×                                           kept"),
        ({"a": _promise(KEPT), "b": _promise(KEPT, MISSED)}, 1, "MISSED"),
        ({"a": _promise(OTHER)}, 0, "not for this machine"),
        ({"a": _promise()}, 0, "not for this machine"),
        ({"a": Promise("is small", _broken), "b": _promise(KEPT)}, 1, "kept"),
    ],
)
def test_a_missed_promise_is_status_1(
    chosen: dict[str, Any], status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(claims, "PROMISES", chosen)
    assert main(["promises"]) == status
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].endswith(said)
    if any(promise.measure is _broken for promise in chosen.values()):
        assert "a could not be measured: no memory" in captured.err


@pytest.mark.usefixtures("quiet")
def test_measuring_again_replaces_the_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Other rows stay: claims that were not requested, that broke, or that this machine cannot tell."""
    file = tmp_path / "promises.json"

    def measure(only: str, **chosen: Promise) -> dict[str, dict[str, Any]]:
        monkeypatch.setattr(claims, "PROMISES", chosen)
        main(["promises", "--only", only, "--json", str(file)])
        return {row["name"]: row for row in json.loads(file.read_text())["rows"]}

    first = measure("a,b,c,d", a=_promise(KEPT), b=_promise(MISSED), c=_promise(OTHER), d=_promise())
    assert {name: row["figures"][0]["value"] for name, row in first.items()} == {"a": 2, "b": 2, "c": 2}
    assert {"date", "code_version", "command", "versions", "threads", "cpu_busy", "promised"} <= first["a"].keys()
    again = measure("b,c", b=_promise(ClaimedFigure(5, "×", least=3)), c=Promise("", _broken))
    assert again["b"]["figures"] == [{"value": 5, "unit": "×", "n": 1, "least": 3}]
    assert (again["a"], again["c"]) == (first["a"], first["c"])


def test_bounds_are_judged_by_the_median() -> None:
    ratio = Estimate(1.2, 5, 1.1, 1.3)
    assert bounds.times(ratio, most=1.25).kept
    assert not bounds.times(ratio, most=1.15).kept
    assert bounds.times(ratio, least=1.15).kept
    assert not bounds.times(ratio, least=1.25).kept
    assert bounds.within(ratio, 0.21).kept
    assert not bounds.within(ratio, 0.19).kept
    assert not bounds.within(Estimate(0.8, 5, 0.7, 0.9), 0.19).kept
    assert bounds.times(ratio).kept is None
    assert bounds.kept([bounds.times(ratio), bounds.times(ratio, least=1)])
    assert not bounds.kept([bounds.times(ratio, least=2), bounds.times(ratio, least=1)])
    assert bounds.kept([bounds.times(ratio)]) is None


def test_figures_show_their_units_intervals_and_numbers() -> None:
    told = bounds.text(
        [bounds.times(Estimate(1.2345678, 5, 1.1, 1.3), "int8"), ClaimedFigure(3.34e9, "bytes", "on disk")]
    )
    assert told == "int8 1.235 × (1.1 – 1.3), on disk 3.34 GB, n 5"
    assert ClaimedFigure(0.969, "fraction", low=0.949, high=0.982).text == "96.9 % (94.9 – 98.2)"
    assert ClaimedFigure(0.000004, "nats/token").text == "0.000004 nats/token"
    assert ClaimedFigure(0.00335, "s/token").text == "3.35 ms/token"
    assert ClaimedFigure(1467.1e6, "bytes").text == "1.467 GB"
    assert ClaimedFigure(17445, "tokens").text == "17,445 tokens"
    counted = bounds.count(17, 20, least=18)
    assert not counted.kept
    assert counted.text.startswith("17 of 20 (12.")
