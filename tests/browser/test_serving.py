"""A visitor starts a server, and programs and the chat ask it: in Chromium, with a tiny model."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hosting import eventually
from playwright.sync_api import BrowserContext, Page, expect
from visitor import ROOT, App, choose, free_port, say, visit

from fastglm.serve.record import Record, servers
from fastglm.serve.shared_host import SharedHost

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.fixture
def home(app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home of the app; servers that still run there are stopped at the end."""
    monkeypatch.setenv("FASTGLM_HOME", str(app.home))
    yield app.home
    for record in servers():
        SharedHost(record).stop()
    eventually(lambda: not servers())


@contextlib.contextmanager
def restarted(app: App) -> Iterator[App]:
    """The app on the same port, after it was killed."""
    app.process.kill()
    app.process.wait()
    again = App(app.home, port=app.port)
    try:
        again.wait()
        yield again
    finally:
        again.close()


def started(page: Page, port: int) -> Record:
    """The server that the page starts at a port, once its model is loaded."""
    page.get_by_role("spinbutton", name="Port").fill(str(port))
    page.get_by_role("button", name="Start").click()
    eventually(lambda: [record for record in servers() if SharedHost(record).is_ready])
    (record,) = servers()
    assert record.url == f"http://127.0.0.1:{port}"
    return record


def test_a_server_is_started_asked_by_programs_and_the_chat_and_stopped_by_a_later_app(
    context: BrowserContext, app: App, home: Path
) -> None:
    port = free_port()
    page = visit(context, f"{app.url}/serve?variant=fast")
    choose(page, "Model", "chatglm")
    record = started(page, port)
    expect(page.get_by_text("Requests now")).to_be_visible()
    expect(page.get_by_text(f"curl {record.url}/")).to_be_visible()
    assert httpx.post(record.url, json={"prompt": "你好", "max_length": 64}, timeout=60).json()["status"] == 200
    expect(page.get_by_test_id("stMetric").nth(2)).to_contain_text(" s")

    chat = visit(context, f"{app.url}/?model={ROOT / 'tests/golden/chatglm'}&variant=fast")
    expect(chat.get_by_text("A running server has loaded this variant")).to_be_visible()
    say(chat, "你好")
    expect(chat.get_by_role("button", name="Answer again")).to_be_visible()
    expect(chat.get_by_text("tokens/s")).to_be_visible()
    assert len(app.hosts()) == 1, "the server's own, and none of the app"
    assert 'path="/app/ask",status="200"} 1.0' in SharedHost(record).get("/metrics")[1]

    with restarted(app) as later:
        page = visit(context, f"{later.url}/serve")
        expect(page.get_by_text("Requests now")).to_be_visible()
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("Requests now")).to_have_count(0)
        expect(page.get_by_test_id("stException")).to_have_count(0)
    eventually(lambda: not servers())
