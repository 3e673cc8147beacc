"""Kills of the app's server and its hosts at random moments of an answer, with a browser attached.

The server starts again on its port and the page is reloaded: the question is still there, and the next answer arrives.
"""

import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import BrowserContext, expect
from traces import MINUTE, check_nothing_runs
from visitor import App, choose, say, visit

pytestmark = [pytest.mark.browser, pytest.mark.soak, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[App]]:
    """The servers so far; the last one runs."""
    servers = [App(tmp_path_factory.mktemp("home"))]
    servers[0].wait()
    yield servers
    servers[-1].close()
    check_nothing_runs(servers[-1].home, "the end")


@pytest.mark.parametrize("seed", range(6))
def test_the_question_is_kept_and_the_next_answer_comes(seed: int, homes: list[App], context: BrowserContext) -> None:
    chance, app, told = random.Random(seed), homes[-1], f"seed {seed}"
    page = visit(context, app.url)
    choose(page, "Model", "chatglm")
    say(page, f"你好 {seed}")
    time.sleep(chance.uniform(0, 3))
    hosts = app.hosts() if app.process.poll() is None else []
    if hosts and chance.random() < 0.3:
        victim = chance.choice(hosts)
        victim.kill()
    else:
        before = [process.pid for process in psutil.Process(app.process.pid).children(recursive=True)]
        app.process.kill()
        app.process.wait()
        until = time.monotonic() + MINUTE
        while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in before):
            assert time.monotonic() < until, f"{told}: hosts of a server that was killed run on"
            time.sleep(0.1)
        homes.append(App(app.home, port=app.port))
        homes[-1].wait()
        page.reload()
    first = page.get_by_test_id("stChatMessage").first
    expect(first, told).to_contain_text(f"你好 {seed}")
    again = page.get_by_role("button", name=re.compile("^.*(Answer|Try) again$"))
    expect(again, told).to_be_visible()
    again.click()
    expect(page.get_by_text("tokens/s"), told).to_be_visible()
    assert not list(Path(app.home).rglob("*.damaged")), told
