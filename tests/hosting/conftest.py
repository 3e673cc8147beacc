"""A home of its own for each test, and a host of the model that obeys the prompt (`fake_host.py`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hosting import LAUNCH_FAKE

import fastglm.hosting.host
from fastglm.hosting.host import Host


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def fake_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every host be one of `fake_host.py`."""
    monkeypatch.setattr(fastglm.hosting.host, "LAUNCH", LAUNCH_FAKE)


@pytest.fixture
def host(home: Path, fake_launch: None) -> Iterator[Host]:
    with Host.start("demo", "int4", "cpu", "fp32", threads=1) as started:
        yield started
