"""The app in its own process, and the actions of a visitor."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import BrowserContext, Page, TimeoutError, expect

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90_000  # ms; loading imports PyTorch, on a machine that may be busy

expect.set_options(timeout=PATIENCE)


def measure(home: Path, model: str, *options: str) -> None:
    """Fill the results of a home from the command line."""
    command = [sys.executable, "-m", "benchmarks", "run", "--model", model, *options]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "FASTGLM_HOME": str(home)}, check=True, capture_output=True)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class App:
    """A running server of the app."""

    def __init__(self, home: Path, *arguments: str, port: int = 0) -> None:
        """Start a server on its own port, or on the port of a killed server; `arguments` are streamlit's."""
        self.home = home
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {
            **os.environ,
            "FASTGLM_HOME": str(home),
            "FASTGLM_MODEL_DIRS": str(ROOT / "tests/golden/chatglm"),
            "HF_HUB_OFFLINE": "1",
            "FASTGLM_ALLOW_SERVE": "1",
        }
        self.log = home / "server.log"
        command = [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            "--server.port",
            str(self.port),
            "--server.headless",
            "true",
            *arguments,
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def wait(self) -> None:
        """Wait until the server answers."""
        for _ in range(300):
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1):
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.2)
        pytest.fail(f"the app did not start: {self.log.read_text()}")

    def hosts(self) -> list[psutil.Process]:
        """The processes that hold models."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "fastglm.hosting.spawn" in " ".join(child.parent().cmdline())]

    def close(self) -> None:
        """End the server, and with it its hosts."""
        self.process.terminate()
        self.process.wait(20)


def visit(context: BrowserContext, url: str) -> Page:
    """Open a page of the app in a new tab and wait until it is ready."""
    page = context.new_page()
    page.goto(url)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    idle = expect(page.get_by_test_id("stApp"))
    idle.to_have_attribute("data-test-script-state", "notRunning")
    # The first run of a page only asks the tab who it is; the second takes the asking component away and draws it.
    expect(page.locator(".st-key-tab_component")).to_have_count(0)
    idle.to_have_attribute("data-test-script-state", "notRunning")
    return page


def choose(page: Page, label: str, option: str, nth: int = 0) -> None:
    """Pick an option of a select box. An open list closes when the page is drawn again, and is then opened again."""
    box = page.get_by_role("combobox", name=label).nth(nth)
    wanted = page.get_by_role("option", name=option, exact=True)
    until = time.monotonic() + PATIENCE / 1000
    while True:
        expect(box).to_be_visible()
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        box.click()
        try:
            wanted.click(timeout=5_000)
            break
        except TimeoutError:
            assert time.monotonic() < until, f"{label} offers no {option}"
            page.keyboard.press("Escape")
    page.keyboard.press("Escape")


def say(page: Page, text: str) -> None:
    """Send a message."""
    box = page.get_by_test_id("stChatInput").locator("textarea")
    expect(box).to_be_enabled()
    box.fill(text)
    box.press("Enter")
