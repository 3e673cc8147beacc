"""Peers: their measurement and its report on fake hosts; and the process of a peer."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_hosts import SPEEDS, FakeMachine
from fake_peer import FakePeer

import benchmarks.environment.machine
from benchmarks.cli.commands import main
from benchmarks.execution.request import read_light
from benchmarks.measure.measurement import Sample
from benchmarks.peers import comparison, process, registry
from benchmarks.peers.comparison import select
from benchmarks.peers.ratios import ratios, table
from benchmarks.peers.sizes import Sizes
from benchmarks.store.store import Store
from fastglm.errors import FastGLMError, HostError, MemoryShortError, UsageError
from fastglm.models.chatglm.architecture import CHATGLM_6B
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration
from fastglm.models.facts import ModelFacts

SHORT = ["--model", "demo", "--variants", "original,int4", "--prompt-tokens", "8", "--answer-tokens", "4"]


class HostedPeer(FakePeer):
    """A peer on a fake host; `slow` answers in twice the time of `counter`."""

    def __init__(self, name: str, machine: FakeMachine, reason: str | None = None, broken: str = "") -> None:
        self.name, self.machine, self.reason, self.broken = name, machine, reason, broken

    def missing(self) -> str | None:
        return self.reason

    def write(self, sizes: Sizes, folder: Path) -> None:
        if self.broken:
            raise RuntimeError(f"{self.broken}\nand more")
        super().write(sizes, folder)

    def start(self, model: str, folder: Path, threads: int, progress: Any) -> Any:
        self.machine.log.append((f"{model} on {threads}", (folder / "model").read_text()))
        return self.machine.load(self.name, progress)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def peers(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, HostedPeer]]:
    """Two measurable peers, one that is not installed, one whose model cannot be written."""
    found = {
        "counter": HostedPeer("counter", machine),
        "slow": HostedPeer("slow", machine),
        "absent": HostedPeer("absent", machine, reason="abacus not installed"),
        "broken": HostedPeer("broken", machine, broken="no such format"),
    }
    monkeypatch.setattr(registry, "all_peers", lambda *_: found)
    monkeypatch.setattr(comparison, "elsewhere", lambda work, progress, *more: work(progress, *more))
    monkeypatch.setitem(SPEEDS, "counter", 0.004)
    monkeypatch.setitem(SPEEDS, "slow", 0.008)
    machine.noise = 0.0
    return found


@pytest.mark.usefixtures("peers")
def test_peers_are_measured_in_turn_with_ours_and_their_models_removed(
    machine: FakeMachine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.json"
    arguments = ["peers", *SHORT, "--peers", "counter,slow,absent,broken", "--repeats", "5", "--threads", "3"]
    assert main([*arguments, "--json", str(target)]) == 0
    told = capsys.readouterr()
    asked = [variant for what, variant in machine.log if what == "ask"]
    turns = asked[-5 * 8 :: 2]
    assert turns[:8] == ["original", "int4", "counter", "slow", "slow", "counter", "int4", "original"]
    data = json.loads(target.read_text(encoding="utf-8"))
    run = data["run"]
    assert run["variants"] == ["original", "int4", "counter", "slow"]
    assert run["settings"]["threads"] == 3
    assert run["settings"]["skipped"] == {
        "absent": "abacus not installed",
        "broken": "its model could not be written: RuntimeError: no such format",
    }
    assert "absent is skipped: abacus not installed" in told.err
    decode = {(row["ours"], row["peer"]): row for row in data["ratios"] if row["metric"] == "decode_rate"}
    assert {pair: round(row["estimate"]["value"], 3) for pair, row in decode.items()} == {
        ("original", "counter"): 0.4,
        ("original", "slow"): 0.8,
        ("int4", "counter"): 2.0,
        ("int4", "slow"): 4.0,
    }
    assert decode["int4", "slow"]["estimate"]["n"] == 5
    assert decode["int4", "slow"]["params"] == {"prompt_tokens": 8, "answer_tokens": 4}
    assert "4 × (4 – 4)" in told.out
    weights = Sizes.of(read_light("demo")[1]).weights
    assert ("demo on 3", str(weights)) in machine.log
    assert not list(tmp_path.glob("fastglm-peers-*"))
    assert set(Store().measurements()["variant"]) == {"original", "int4", "counter", "slow"}


@pytest.mark.usefixtures("peers")
def test_a_peer_that_fails_is_a_result_of_the_run(machine: FakeMachine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.crash["counter"] = 2
    assert main(["peers", *SHORT, "--peers", "counter", "--repeats", "2"]) == 0
    assert "counter: latency failed: the process that ran it ended (signal 11)" in capsys.readouterr().out


@pytest.mark.usefixtures("peers")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--peers", "abacus"], "there is no peer 'abacus': choose from counter, slow, absent, broken"),
        (["--variants", "int5"], "Unknown variant 'int5'"),
        (["--threads", "0"], "greater than or equal to 1"),
        (["--prompt-tokens", "1024"], "do not fit into this model's context of 1024 tokens"),
    ],
)
def test_wrong_usage_is_one_line(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["peers", *SHORT, "--peers", "counter", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("peers")
def test_a_full_disk_is_told_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    assert main(["peers", *SHORT, "--peers", "counter"]) == 1
    assert "set TMPDIR to a disk with more" in capsys.readouterr().err


@pytest.mark.usefixtures("peers")
def test_a_run_with_peers_cannot_be_resumed(machine: FakeMachine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.too_large = {"original", "counter"}
    main(["peers", *SHORT[:3], "original", *SHORT[4:], "--peers", "counter", "--repeats", "1"])
    (run,) = Store().runs().to_dict("records")
    assert main(["resume", run["id"]]) == 2
    assert "compares with peers, whose models are gone" in capsys.readouterr().err


def test_the_beginning_of_a_name_selects_all_formats_of_a_peer() -> None:
    peers = registry.all_peers()
    assert list(select("openvino,llama.cpp-q8_0", peers)) == ["openvino-int4", "openvino-int8", "llama.cpp-q8_0"]
    assert list(select("bnb", peers)) == ["bnb-nf4", "bnb-int8"]
    with pytest.raises(UsageError, match="there is no peer 'llama'"):
        select("llama", peers)


def test_ratios_are_of_pairs_and_only_of_rates_that_both_have() -> None:
    def sample(variant: str, metric: str, length: int, repeat: int, value: float) -> Sample:
        return Sample(variant, metric, {"prompt_tokens": length, "answer_tokens": 4}, repeat, (value,))

    samples = [
        *(sample("int4", "decode_rate", 8, i, 10.0 * mood) for i, mood in enumerate((1, 2, 3, 4))),
        *(sample("peer", "decode_rate", 8, i, 5.0 * mood) for i, mood in enumerate((1, 2, 3))),
        sample("int4", "prefill_rate", 8, 0, 90.0),
        sample("int4", "ttft", 8, 0, 1.0),
        sample("peer", "ttft", 8, 0, 1.0),
    ]
    (found,) = ratios(samples, ["int4"], ["peer"])
    assert (found.ours, found.peer, found.metric) == ("int4", "peer", "decode_rate")
    assert (found.estimate.value, found.estimate.n, found.estimate.low) == (2.0, 3, 2.0)  # not 12.5 / 5
    heading, _, line = table([found]).splitlines()
    assert heading.split()[:3] == ["ours", "over", "decode_rate"]
    assert line.split()[:3] == ["int4", "peer", "2"]


def test_a_peer_has_the_weights_of_the_model() -> None:
    config = ChatGLM6BConfig(
        vocab_size=96, hidden_size=32, num_layers=3, num_attention_heads=4, inner_hidden_size=64, bos_token_id=1
    )
    with torch.device("meta"):
        model = ChatGLMForConditionalGeneration(config)
    sizes = Sizes.of(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert dict(sizes.tensors(CHATGLM_6B.tensors)) == shapes
    # Tied embedding and head count once.
    assert sizes.weights == sum(weight.numel() for weight in model.parameters() if weight.ndim == 2)
    assert sizes.width == 8


def test_gated_layers_with_shared_keys_are_told_by_the_number_of_their_weights() -> None:
    class Facts(ModelFacts):
        layers, context = 3, 64

        def query_heads(self, layer: int) -> int:
            return 4

        def kv_heads(self, layer: int) -> int:
            return 2

        def inner(self, layer: int) -> int:
            return 48

        def matrices(self, layer: int) -> list[tuple[int, int]]:
            return [(32, 32), (16, 32), (16, 32), (32, 32), (2 * 48, 32), (32, 48)]

    sizes = Sizes.of(Facts(vocab_size=96, hidden_size=32, head_dim=8))
    assert sizes == Sizes(3, 32, 4, 2, 48, 96, 64, gated=True)
    assert sizes.weights == 3 * sum(rows * columns for rows, columns in Facts().matrices(0)) + 96 * 32
    names = [name for name, _ in sizes.tensors(CHATGLM_6B.tensors) if name.endswith("bias")]
    assert names == [f"transformer.layers.{n}.attention.query_key_value.bias" for n in range(3)]


def test_a_pruned_model_is_refused() -> None:
    config = ChatGLM6BConfig(num_layers=2, num_attention_heads=[32, 31], head_dim=128)
    with pytest.raises(UsageError, match="name the model it was made from"):
        Sizes.of(config)


def test_errors_of_a_library_while_it_writes_are_told_in_a_line(tmp_path: Path) -> None:
    peer = HostedPeer("broken", FakeMachine(), broken="no such format")
    with pytest.raises(FastGLMError, match=r"^RuntimeError: no such format$"):
        comparison.write(lambda _: None, peer, Sizes(1, 8, 1, 1, 8, 8, 8), tmp_path)


def test_pieces_of_a_peer_are_timed_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("x" * 100)
    model, _ = process.load(FakePeer(), tmp_path, 2, "demo")
    assert (model.fastglm.variant, model.fastglm.weights_memory) == ("counter", 100)
    assert model.fastglm.notes == [f"{'x' * 100} weights, 2 threads"]
    pieces = list(process.stream(model, None, [5, 9], None, max_new_tokens=4, do_sample=False, ignore_eos=True))
    assert [piece.token for piece in pieces] == [9, 10, 11, 12]
    assert [piece.stop for piece in pieces] == [None, None, None, "length"]
    assert [piece.time for piece in pieces] == sorted(piece.time for piece in pieces)
    assert {piece.ttft for piece in pieces} == {pieces[0].time}


def test_a_peer_without_room_is_told_before_it_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "free_memory", lambda _: 100)
    (tmp_path / "model").write_text("x" * 95)
    with pytest.raises(MemoryShortError, match="counter needs"):
        process.load(FakePeer(), tmp_path, 1, "demo")


def test_a_peer_answers_from_a_process_of_its_own(tmp_path: Path) -> None:
    FakePeer().write(Sizes.of(read_light("demo")[1]), tmp_path)
    with FakePeer().start("demo", tmp_path, 1, lambda _: None) as host:
        assert host.info.variant == "counter"
        assert host.info.notes[0].endswith("weights, 1 threads")
        host.pause()
        host.resume()
        assert [piece.token for piece in host.ask([7], lease=False, max_new_tokens=3)] == [7, 8, 9]
        with pytest.raises(HostError, match="a prompt that it cannot take"):
            list(host.ask([0], lease=False, max_new_tokens=3))
        assert [piece.token for piece in host.ask([7], lease=False, max_new_tokens=1)] == [7]


def test_two_threads_of_a_core_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        def cpu_affinity(self) -> list[int]:
            return [0, 1, 3]

    for number, siblings in enumerate(("0-1", "0-1", "2-3", "2-3")):
        place = tmp_path / f"cpu{number}" / "topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(siblings)
    monkeypatch.setattr(benchmarks.environment.machine.psutil, "Process", Process)
    monkeypatch.setattr(benchmarks.environment.machine, "CPUS", tmp_path)
    assert benchmarks.environment.machine.physical_cores() == 2
