"""`fastglm serve` as a process, with a model that obeys the prompt."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hosting import TESTS_ON_PATH

from fastglm.cli.commands import main

COMMAND = """
import sys
import signal
import fastglm.hosting.host, fastglm.serve.served_model, hosting, serving
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
fastglm.hosting.host.LAUNCH = hosting.LAUNCH_FAKE
fastglm.serve.served_model.read_facts = serving.fake_facts
from fastglm.cli.commands import main
sys.exit(main())
"""


@contextlib.contextmanager
def command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The running command, and what it has printed until it was ready or ended."""
    environment = os.environ | TESTS_ON_PATH
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, "serve", *arguments], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if "is ready" in line:
                break
        try:
            yield process, lines
        finally:
            process.kill()


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_the_command_serves_until_it_is_told_to_stop(stop: signal.Signals, status: int) -> None:
    with command("--port", "0") as (process, lines):
        url = lines[-1].split(" at ")[1].split()[0]
        assert httpx.post(url, json={"prompt": "x"}).json()["response"] == "x1 x2 x3 x4 x5 "
        process.send_signal(stop)
        assert process.wait(60) == status


def test_a_stream_goes_on_to_its_end_after_the_order_to_stop() -> None:
    body = {"messages": [{"role": "user", "content": "long"}], "stream": True}
    with command("--port", "0") as (process, lines):
        url = lines[-1].split(" at ")[1].split()[0]
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as stream:
            received = stream.iter_lines()
            assert "assistant" in next(received)
            process.send_signal(signal.SIGTERM)
            *_, last, text, _, done, _ = received
        assert (text.count("long"), done) == (1, "data: [DONE]")
        assert last == ""
        assert process.wait(60) == -signal.SIGTERM


def test_a_second_interrupt_breaks_a_stream_off_without_a_traceback() -> None:
    body = {"messages": [{"role": "user", "content": "slow"}], "stream": True}
    with command("--port", "0") as (process, lines):
        url = lines[-1].split(" at ")[1].split()[0]
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as stream:
            assert "assistant" in next(stream.iter_lines())
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) in (130, -signal.SIGINT)
        assert process.stderr
        assert "Traceback" not in process.stderr.read()


def test_a_model_that_cannot_be_loaded_ends_the_command() -> None:
    with command("--port", "0", "--model", "missing") as (process, lines):
        assert process.wait(60) == 1
        assert lines[-1] == "error: no folder named missing; check the path\n"


def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, words in (
            (["--host", "0.0.0.0"], "Without a key"),
            (["--key-file", str(tmp_path / "none")], "cannot be read"),
            (["--port", str(port)], "cannot be used"),
            (["--host", "no.such.host.invalid", "--open"], "cannot be used"),
            (["--queue", "0"], "queue"),
            (["--replicas", "2"], "name one with --ray"),
        ):
            assert main(["serve", *arguments]) == 2
            error = capsys.readouterr().err
            assert words in error
            assert error.count("\n") == 1


def test_a_missing_package_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastglm.serve.app", None)
    assert main(["serve"]) == 2
    assert "pip install 'fastglm[serve]'" in capsys.readouterr().err


def test_a_missing_package_for_a_cluster_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "fastglm.serve.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["serve", "--ray", "127.0.0.1:1"]) == 2
    assert capsys.readouterr().err == "error: --ray needs the package ray: pip install 'fastglm[ray]'.\n"


def test_the_command_explains_itself_without_the_packages_of_the_server() -> None:
    code = """
import sys

class Forbids:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "transformers", "fastapi", "uvicorn", "starlette"):
            raise ImportError(name + " is imported")

sys.meta_path.insert(0, Forbids())
from fastglm.cli.commands import main
sys.exit(main(["serve", "--help"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "--key-file" in done.stdout
