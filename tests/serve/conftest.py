"""Servers of the model that obeys the prompt, and one of a real model."""

from collections.abc import Iterator

import httpx
import pytest
import serving
from hosting import LAUNCH_FAKE
from recorded import folder
from serving import served

import fastglm.hosting.host
import fastglm.serve.served_model
from fastglm.hosting.protocol import HostKey


@pytest.fixture
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastglm.hosting.host, "LAUNCH", LAUNCH_FAKE)
    monkeypatch.setattr(fastglm.serve.served_model, "read_facts", serving.fake_facts)


@pytest.fixture
def fake(fake_model: None) -> Iterator[httpx.Client]:
    with served(HostKey()) as client:
        yield client


@pytest.fixture(scope="module")
def home_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTGLM_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def chatglm3(home_of_module: None) -> Iterator[httpx.Client]:
    with served(HostKey(str(folder("chatglm3")), "fast", "cpu")) as client:
        yield client


@pytest.fixture(scope="module")
def shared_fake(home_of_module: None) -> Iterator[httpx.Client]:
    """One fake server for the tests of a module that leave it as it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastglm.hosting.host, "LAUNCH", LAUNCH_FAKE)
        patch.setattr(fastglm.serve.served_model, "read_facts", serving.fake_facts)
        with served(HostKey()) as client:
            yield client
