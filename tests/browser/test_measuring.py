"""A visitor measures, sees the results, sends a link, and exports the results: in Chromium, with a tiny model."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from visitor import PATIENCE, App, choose, visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CHARTS = 6  # charts of the latency page


def start(page: Page, answer_tokens: int) -> None:
    """Measure the tiny model's latency."""
    choose(page, "Model", "chatglm")
    box = page.get_by_role("spinbutton", name="Tokens to answer")
    box.fill(str(answer_tokens))
    box.press("Tab")
    page.get_by_role("button", name="Measure").click()
    expect(page.get_by_role("button", name="Cancel").last).to_be_visible()


def test_from_measuring_to_a_shared_link(context: BrowserContext, browser: Browser, app: App) -> None:
    page = visit(context, f"{app.url}/latency")
    expect(page.get_by_text("Nothing has been measured yet")).to_be_visible()

    start(page, 64)
    expect(page.get_by_test_id("stProgress")).to_be_visible()  # a worker has taken the job
    start(page, 8)
    expect(page.get_by_text("waits for 1 before it")).to_be_visible()
    page.get_by_text("Log", exact=True).click()
    expect(page.get_by_test_id("stCode")).to_be_visible()
    page.get_by_role("button", name="Cancel").first.click()
    expect(page.get_by_text("The last measurement was cancelled")).to_be_visible()

    page.reload()  # midway: only the other variant is measured
    expect(page.locator(".js-plotly-plot")).to_have_count(CHARTS)
    expect(page.get_by_text("Medians of 5 repeats")).to_be_visible()
    assert "run=" in page.url

    link = page.url
    page.get_by_text("中文", exact=True).click()
    expect(page.get_by_role("heading", name="延迟", level=1)).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(CHARTS)

    other = browser.new_context(locale="zh-CN")
    other.set_default_timeout(PATIENCE)
    shared = visit(other, link)
    expect(shared.get_by_role("heading", name="延迟", level=1)).to_be_visible()
    expect(shared.locator(".js-plotly-plot")).to_have_count(CHARTS)
    assert shared.evaluate("new URLSearchParams(location.search).get('run')") in link
    other.close()


def test_results_are_taken_away_deleted_and_brought_back(context: BrowserContext, app: App, tmp_path: Path) -> None:
    latency = visit(context, f"{app.url}/latency")
    expect(latency.locator(".js-plotly-plot")).to_have_count(CHARTS)
    run = latency.evaluate("new URLSearchParams(location.search).get('run')")

    page = visit(context, f"{app.url}/history?runs={run}")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON", exact=True).click()
    file = tmp_path / "taken.json"
    download.value.save_as(file)
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Delete").first.click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    gone = visit(context, f"{app.url}/latency?run={run}")
    expect(gone.get_by_text("This link names the measurement")).to_be_visible()

    page.locator("[data-testid=stFileUploader] input[type=file]").set_input_files(file)
    expect(page.get_by_text("taken.json")).not_to_have_count(0)
    expect(page.get_by_test_id("stAlert").filter(has_text="taken.json")).to_be_visible()
    back = visit(context, f"{app.url}/latency?run={run}")
    expect(back.locator(".js-plotly-plot")).to_have_count(CHARTS)
    expect(back.get_by_text("This link names the measurement")).to_have_count(0)
