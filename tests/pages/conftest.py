"""Fixtures for pages without a browser, with hosts that need no model."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import streamlit as st
from fake_pool import FakePool
from page_run import ROOT, TAB, Open, healthy
from streamlit.testing.v1 import AppTest

import benchmarks.environment.machine
import dashboard.session.conversation
from benchmarks.environment import processes
from benchmarks.jobs.jobs import Job, Jobs
from benchmarks.store.store import Store
from dashboard import machine
from dashboard.jobs import jobs
from fastglm.system.devices import DeviceCard

CARD = DeviceCard("cuda", "Test GPU", 24_000_000_000, 20_000_000_000, 8, 8, compute_capability="8.9", driver="CUDA 13")
HERE = {"name": CARD.name, "memory_total": CARD.memory_total, "cores": 8, "threads": 8}


@pytest.fixture(autouse=True)
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of runs is the machine of the pages, without a process that examines it."""
    monkeypatch.setattr(benchmarks.environment.machine, "_device_card", lambda device: HERE)
    monkeypatch.setattr(benchmarks.environment.machine, "busy", lambda: 0.0)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePool]:
    """The hosts that the server has loaded."""
    fake = FakePool()
    st.cache_resource.clear()
    monkeypatch.setattr(dashboard.session.conversation, "Pool", lambda: fake)
    monkeypatch.setattr(machine, "_look", lambda: CARD)
    yield fake
    st.cache_resource.clear()


@pytest.fixture
def open_page(pool: FakePool) -> Open:
    """Open a file of the app in the test's tab, at an address with a query and with secrets if given."""

    def opened(
        file: str, locale: str = "en-US", tab: str | None = TAB, secrets: Any = None, **query: str | list[str]
    ) -> AppTest:
        app = AppTest.from_file(str(ROOT / file), default_timeout=60)
        for name, value in (secrets or {}).items():
            app.secrets[name] = value
        app.context["locale"] = locale
        app.query_params.update(query)
        if tab:
            app.session_state["tab"] = tab
        return healthy(app.run())

    return opened


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the queued jobs."""
    found: list[list[str]] = []
    monkeypatch.setattr(jobs, "start", found.append)
    return found


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Job]:
    """A worker played by the test: takes the next job."""
    monkeypatch.setattr(jobs, "_see_to", lambda _: None)

    def claim() -> Job:
        taken = Jobs(Store()).claim(processes.identity(os.getpid()))
        assert taken is not None
        return taken

    return claim
