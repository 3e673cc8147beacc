"""Fixtures: a PostgreSQL server in a temporary folder, and an empty database of each kind."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_hosts import FakeMachine, hosts_of, subject

import benchmarks.environment.machine
from benchmarks.execution import request as order

_numbers = itertools.count()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    """Fake hosts, for the commands that are run in this process."""
    machine = FakeMachine()
    monkeypatch.setattr(order, "Host", hosts_of(machine))
    monkeypatch.setattr(benchmarks.environment.machine, "busy", lambda: 0.0)
    monkeypatch.setattr(order, "read_subject", subject)
    return machine


@contextmanager
def _server() -> Iterator[Any]:
    pgserver = pytest.importorskip("pgserver", reason="pgserver has no PostgreSQL for this platform or Python")
    folder = tempfile.mkdtemp(prefix="fastglm-pg-")  # not pytest's folder: the server's own user cannot enter it
    server = pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _shared_server() -> Iterator[Any]:
    with _server() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[Any]:
    """A server that a test may stop (`cleanup`); its URL is `get_uri()`."""
    with _server() as server:
        yield server


@pytest.fixture
def new_postgres(request: pytest.FixtureRequest) -> Callable[[], str]:
    """URLs of empty PostgreSQL databases."""

    def make() -> str:
        import psycopg

        server, name = request.getfixturevalue("_shared_server"), f"results{next(_numbers)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return str(server.get_uri(name))

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'results.sqlite'}"
    make: Callable[[], str] = request.getfixturevalue("new_postgres")
    return make()
