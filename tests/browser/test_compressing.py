"""A visitor compresses a model, reloads the page midway, and sees the result: in Chromium, with a tiny model."""

import time

import psutil
import pytest
from playwright.sync_api import BrowserContext, expect
from visitor import App, choose, visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def compression(app: App) -> psutil.Process:
    """The compressing process, once it has begun."""
    for _ in range(600):
        for process in psutil.process_iter(["cmdline", "cwd"]):
            command, place = process.info["cmdline"] or [], process.info["cwd"]
            if command[1:4] == ["-m", "fastglm", "compress"] and place == str(app.home / "models"):
                return process
        time.sleep(0.1)
    pytest.fail("no compression has begun")


def test_a_compression_survives_a_reload_and_ends_with_a_card(context: BrowserContext, app: App) -> None:
    page = visit(context, f"{app.url}/compress?recipe=int8")
    expect(page.get_by_text("Nothing has been made yet")).to_be_visible()
    choose(page, "Model", "chatglm")
    expect(page.get_by_role("textbox", name="Name of the new model")).to_have_value("chatglm-int8")
    page.get_by_role("button", name="Compress").click()
    process = compression(app)
    process.suspend()  # so that it cannot end too soon
    expect(page.get_by_test_id("stProgress")).to_be_visible()
    page.reload()
    expect(page.get_by_text("chatglm → chatglm-int8")).to_be_visible()
    expect(page.get_by_test_id("stProgress")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_enabled()
    process.resume()
    expect(page.get_by_role("heading", name="chatglm-int8")).to_be_visible()
    expect(page.get_by_test_id("stProgress")).to_have_count(0)
    expect(page.get_by_text("Made from chatglm by the recipe int8")).to_be_visible()
    expect(page.get_by_role("button", name="Measure both")).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
