"""Servers for tests: in this process, with a host of the model that obeys the prompt (`fake_host.py`) or a real one."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
from fake_facts import fake_facts as fake_facts
from hosting import eventually

from fastglm.hosting.protocol import HostKey
from fastglm.serve.app import Settings, make_app
from fastglm.serve.record import Record
from fastglm.serve.served_model import ServedModel
from fastglm.serve.server import Server
from fastglm.serve.shared_host import SharedHost
from fastglm.serve.sharing import Sharing

_DEMO = HostKey()
Kind = Callable[[HostKey, str], ServedModel]


@contextlib.contextmanager
def running(key: HostKey = _DEMO, settings: Settings | None = None, kind: Kind = ServedModel) -> Iterator[SharedHost]:
    """A new server, as the app sees it, which may still load its model."""
    model, settings = kind(key, "a server"), settings or Settings()
    listener = socket.create_server(("127.0.0.1", 0))
    record = Record(f"http://127.0.0.1:{listener.getsockname()[1]}", key, model.name, bool(settings.key))

    def stop() -> None:
        server.should_exit = True

    app = make_app(model, settings, shared=Sharing(record.token, stop))
    server = Server(app)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield SharedHost(record)
    finally:
        stop()
        thread.join(60)
        assert not thread.is_alive()


@contextlib.contextmanager
def served(
    key: HostKey, settings: Settings | None = None, ready: bool = True, kind: Kind = ServedModel
) -> Iterator[httpx.Client]:
    """A client of a new server, which is ready unless told otherwise."""
    with running(key, settings, kind) as host:
        key_header = {"Authorization": f"Bearer {settings.key}"} if settings and settings.key else {}
        with httpx.Client(base_url=host.record.url, timeout=100, headers=key_header) as client:
            if ready:
                eventually(lambda: client.get("/health").status_code == 200)
            yield client
