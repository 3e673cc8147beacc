"""Peers' servers: measured in turn with ours on scripted servers, and their models' words."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fake_openai
import psutil
import pytest
from fake_hosts import FakeMachine
from wrong_usage import refuse

import benchmarks.environment.machine
from benchmarks.cli.commands import main
from benchmarks.peers import comparison, registry
from benchmarks.peers.llama_server import LlamaServer
from benchmarks.peers.server import PeerServer
from benchmarks.peers.sizes import Sizes
from benchmarks.peers.transformers_serve import TransformersServe
from benchmarks.peers.words import words
from benchmarks.run.workload import TEXT
from benchmarks.serving import loops
from benchmarks.store.store import Store
from benchmarks.suites import serving

LOAD = ["--clients", "1,3", "--prompts", "32", "--answer-tokens", "4", "--repeats", "2"]
SIZES = Sizes(layers=2, hidden=64, heads=2, kv_heads=1, inner=256, vocabulary=1024, context=1024, gated=True)


class ScriptedServer(PeerServer):
    """A peer whose server is the script, or one that ends while it loads."""

    bits = 1.0

    def __init__(self, name: str, reason: str | None = None, ends: bool = False) -> None:
        self.name, self.reason, self.ends = name, reason, ends

    def missing(self) -> str | None:
        return self.reason

    def write(self, sizes: Sizes, folder: Path) -> None:
        (folder / "model").write_text(str(sizes.weights))

    def model(self, folder: Path) -> str:
        return f"{(folder / 'model').read_text()} weights"

    def command(self, folder: Path, port: int, clients: int, tokens: int, threads: int) -> Sequence[str]:
        assert (clients, tokens) == (3, 1024)
        variant = "int8" if self.ends else "fast"
        return [sys.executable, fake_openai.__file__, "--model", "any", "--variant", variant, "--port", str(port)]


@pytest.fixture(autouse=True)
def servers(monkeypatch: pytest.MonkeyPatch, machine: FakeMachine, tmp_path: Path) -> None:
    """Three peers: one is measured, one is not installed, one ends; the script also stands in for ours."""
    peers = ScriptedServer("other"), ScriptedServer("absent", "not installed"), ScriptedServer("ends", ends=True)
    monkeypatch.setattr(registry, "all_servers", lambda: {peer.name: peer for peer in peers})
    monkeypatch.setattr(comparison, "elsewhere", lambda work, progress, *more: work(progress, *more))
    monkeypatch.setattr("benchmarks.serving.server.SERVE", (sys.executable, fake_openai.__file__))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(serving, "SECONDS", 0.0)
    monkeypatch.setattr(loops, "PAUSE", 0.0)
    monkeypatch.setattr(benchmarks.environment.machine, "busy", lambda: 0.0)


def test_servers_of_peers_take_turns_with_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep, turns = serving._Server._keep, list[tuple[Any, ...]]()

    def note(server: Any, level: Any, repeat: int, played: Any) -> None:
        turns.append((server.variant, str(level), repeat))
        keep(server, level, repeat, played)

    monkeypatch.setattr(serving._Server, "_keep", note)
    target = tmp_path / "out.json"
    arguments = ["--model", "demo", "--variants", "int4", "--peers", "other,absent,ends", "--json", str(target)]
    assert main(["serving", *arguments, *LOAD]) == 0
    told = capsys.readouterr()
    there = [("int4", "clients 1", 0), ("other", "clients 1", 0), ("int4", "clients 3", 0), ("other", "clients 3", 0)]
    back = [(name, level, 1) for name, level, _ in reversed(there)]
    assert turns == there + back
    data = json.loads(target.read_text())
    run = data["run"]
    assert run["variants"] == ["int4", "other", "ends"]
    assert run["settings"]["skipped"] == {"absent": "not installed"}
    assert run["settings"]["arrangement"] == {"serving": "interleaved"}
    assert run["settings"]["served"]["other"]["model"].endswith(" weights")
    found = {(row["ours"], row["peer"], row["params"]["clients"]): row["estimate"]["n"] for row in data["ratios"]}
    assert found == {("int4", "other", 1): 2, ("int4", "other", 3): 2}
    assert "throughput 4 out, clients 3" in told.out
    assert "ends ended before it was ready (error: too little memory for int8)" in told.err
    assert set(Store().measurements(metric="throughput")["variant"]) == {"int4", "other"}
    assert not [child for child in psutil.Process().children(True) if "fake_openai" in " ".join(child.cmdline())]
    assert not list(tmp_path.glob("fastglm-peers-*"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--peers", "nobody"], "there is no peer 'nobody': choose from other, absent, ends"),
        (["--peers", "other", "--device", "cuda"], "--peers are measured on the CPU"),
        (["--peers", "other", "--endpoint", "http://127.0.0.1:1"], "leave them out with --endpoint"),
    ],
)
def test_wrong_peers_are_told(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(["serving", *options], said, capsys)


def test_each_character_of_a_prompt_is_a_word() -> None:
    found = words(1000)
    assert len(set(found)) == len(found) == 1000
    assert set(TEXT.read_text(encoding="utf-8")) < set(found)
    assert words(7) == found[:7]


def test_the_program_of_llama_cpp_is_named_by_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("FASTGLM_LLAMA_SERVER", raising=False)
    assert "put llama-server of llama.cpp on PATH" in (LlamaServer("q4_0", 4.5).missing() or "")
    monkeypatch.setenv("FASTGLM_LLAMA_SERVER", sys.executable)
    peer = LlamaServer("q4_0", 4.5)
    assert "is no program" not in (peer.missing() or "")
    program, *options = peer.command(tmp_path, 80, 4, 1024, 2)
    assert program == sys.executable
    assert " ".join(options[options.index("--parallel") :][:4]) == "--parallel 4 --ctx-size 4096"


def test_a_checkpoint_for_transformers_has_the_sizes_and_words(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    TransformersServe().write(SIZES, tmp_path)
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    weights = [weight for name, weight in model.named_parameters() if weight.ndim == 2 and "embed" not in name]
    assert sum(weight.numel() for weight in weights) == SIZES.weights
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
    text = TEXT.read_text(encoding="utf-8")[:40]
    read = tokenizer.apply_chat_template([{"role": "user", "content": text}])["input_ids"]
    assert len(read) == len(text)
    assert tokenizer.decode(read) == text
