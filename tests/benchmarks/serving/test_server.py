"""Servers of a measurement: they end with the process that started them."""

import subprocess
import sys
from pathlib import Path

import fake_openai
import httpx
import pytest
from waiting import until

from benchmarks.serving.server import running
from fastglm.errors import HostError

STARTER = """
import sys

from benchmarks.serving.server import running

command = [sys.executable, sys.argv[1], "--model", "glm", "--variant", "fast", "--port"]
with running("a server", lambda port: [*command, str(port)], lambda _: None, {}, None) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_server_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "starter.py"
    script.write_text(STARTER)
    command = [sys.executable, str(script), fake_openai.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        url = starter.stdout.readline().strip()
        assert _answers(url)
        starter.kill()
    until(lambda: not _answers(url))


def test_a_server_has_the_threads_that_it_is_told() -> None:
    """The server's last line is its number of threads, because it ends at once."""
    command = [sys.executable, "-c", "import os; print(os.environ['OMP_NUM_THREADS'])"]
    with (
        pytest.raises(HostError, match=r"^a server ended before it was ready \(3\)$"),
        running("a server", lambda _: command, lambda _: None, {}, 3),
    ):
        pass
