"""The claims about servers under load, on scripted servers."""

import sys
from typing import Any

import fake_openai
import pytest
from fake_hosts import FakeMachine

from benchmarks.claims import serving as claims
from benchmarks.peers import registry
from benchmarks.peers.llama_server import LlamaServer
from benchmarks.run.progress import JsonReporter
from benchmarks.serving.asked import Asked
from benchmarks.suites import serving
from fastglm.errors import FastGLMError


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch, machine: FakeMachine) -> None:
    """The script in place of `fastglm serve`, and everything short."""
    monkeypatch.setattr("benchmarks.serving.server.SERVE", (sys.executable, fake_openai.__file__))
    monkeypatch.setattr(serving, "SECONDS", 0.0)
    small: dict[str, Any] = {"MODEL": "demo", "LEAST": {2: 1.0, 3: 99.0}, "PROMPT": 32, "ANSWER": 4}
    beside: dict[str, Any] = {"LONG": 64, "PROMPTS": 3, "PAUSE": 0.01, "STREAM": 20}
    for name, value in {**small, **beside}.items():
        monkeypatch.setattr(claims, name, value)


def test_several_clients_are_compared_with_one() -> None:
    """The script answers each client at the same pace, so that clients add up, but no 99 of three."""
    two, three = claims.clients(JsonReporter())
    assert (two.what, two.n, two.kept) == ("2 clients", 5, True)
    assert (three.what, three.n, three.kept) == ("3 clients", 5, False)


def test_a_server_that_cannot_be_measured_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.serving.server.SERVE", (sys.executable, "-c", "raise SystemExit('no room')"))
    with pytest.raises(FastGLMError, match=r"ended before it was ready \(no room\)"):
        claims.clients(JsonReporter())


def test_a_peer_that_is_not_here_decides_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FASTGLM_LLAMA_SERVER", "nowhere")
    monkeypatch.setattr(registry, "all_servers", lambda: {claims.LLAMA: LlamaServer("q4_0", 4.5)})
    assert claims.over_llama(JsonReporter()) == []
    assert "nowhere is no program" in capsys.readouterr().out


def test_times_beside_a_prompt_are_told_from_those_without() -> None:
    answer = Asked(0.0, (1.0, 2.0, 4.0, 5.0, 7.0, 8.0), 9.0, 6)
    assert claims.gaps([answer], [(2.5, 5.5)]) == ([2.0, 1.0], [1.0, 1.0])  # the time from 5 to 7 belongs to neither


def test_tokens_are_timed_while_prompts_are_read() -> None:
    slow, median, without = claims.beside_prompt(JsonReporter())
    assert (slow.what, median.what, without.what) == ("p99", "median", "without")
    assert slow.value >= median.value > 0
    assert slow.most == 3.0
