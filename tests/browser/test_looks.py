"""Every page at the width of a desktop and of a phone, light and dark: nothing cut off, everything readable.

`FASTGLM_SCREENSHOTS=docs/screenshots pytest tests/browser/test_looks.py` also takes the README's pictures.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import serving
from hosting import LAUNCH_FAKE, eventually
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from visitor import App, measure, say, visit

import fastglm.hosting.host
import fastglm.serve.served_model
from fastglm.hosting.protocol import HostKey
from fastglm.serve.record import announced, servers
from fastglm.serve.shared_host import SharedHost

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PAGES = {
    "": "[data-testid=stChatInput]",
    "compare": "textarea",
    "compress": "[data-testid=stMetric]",
    "serve": "[data-testid=stMetric]",
    "overview": ".js-plotly-plot",
    "latency": ".js-plotly-plot",
    "memory": ".js-plotly-plot",
    "quality": ".js-plotly-plot",
    "history": "[data-testid=stDataFrame]",
    "limits": "h3",
}
DARK = "rgb(17, 21, 27)"  # the background of .streamlit/config.toml
PICTURES = os.environ.get("FASTGLM_SCREENSHOTS")
if PICTURES is not None:
    os.environ["FASTGLM_COMPILE"] = "1"  # the README shows the engine as its users have it

# For every visible text: overflow out of the window, and too little contrast to the background.
FAULTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => colour.slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255, 255];
  };
  const faults = [];
  const walker = document.createTreeWalker(document.querySelector("[data-testid=stApp]"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, element = text.parentElement;
    const style = getComputedStyle(element);
    const range = document.createRange(); range.selectNodeContents(text);
    const box = range.getBoundingClientRect();
    const seen = text.data.trim() && box.width > 1 && style.visibility === "visible" && element.checkVisibility({
      opacityProperty: true });
    if (!seen || element.closest("[data-testid=stSidebar][data-collapsed=true], svg, style, [disabled]")) continue;
    if (element.closest("[data-testid=stSliderThumbValue]")) continue;  // beside the thumb it lies in, not on it
    if (box.right > innerWidth + 1 || box.left < -1) faults.push(`cut off: ${text.data.trim()}`);
    const [a, b] = [light(rgba(style.color)), light(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 3) faults.push(`hard to read: ${text.data.trim()}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) faults.push("the page scrolls sideways");
  return faults;
}"""


@pytest.fixture(scope="module")
def app(app: App) -> Iterator[App]:
    """The app with some measurements, and a running server, whose model obeys the prompt."""
    if PICTURES is not None:
        yield app
        return
    options = ["--prompt-tokens", "8,16", "--answer-tokens", "8", "--repeats", "3", "--questions", "1"]
    measure(app.home, "demo", "--variants", "original,int4", "--suite", "latency,memory,quality", *options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTGLM_HOME", str(app.home))
        patch.setattr(fastglm.hosting.host, "LAUNCH", LAUNCH_FAKE)
        patch.setattr(fastglm.serve.served_model, "read_facts", serving.fake_facts)
        with serving.running(HostKey("demo", "int4")) as host, announced(host.record):
            eventually(lambda: host.is_ready)
            list(host.ask("x"))
            yield app


def settle(page: Page, name: str) -> None:
    """Wait until the page is drawn completely."""
    expect(page.locator(PAGES[name]).first).to_be_visible()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    page.wait_for_timeout(500)


def take(page: Page, name: str, folder: Path, height: int) -> None:
    """Take a picture of a page, in a window of the needed height."""
    page.set_viewport_size({"width": page.viewport_size["width"], "height": height})  # type: ignore[index]
    page.mouse.move(0, 0)
    settle(page, name)
    page.screenshot(path=folder / f"{name}.png")


def shrink(picture: Path) -> None:
    """Keep a picture small."""
    Image.open(picture).convert("RGB").quantize(256).save(picture, optimize=True)
    assert picture.stat().st_size <= 150_000, picture


@pytest.mark.parametrize(("width", "locale"), [(1280, "en-US"), (420, "zh-CN")])
def test_nothing_is_cut_off_and_all_is_readable(browser: Browser, app: App, width: int, locale: str) -> None:
    context = browser.new_context(color_scheme="light", locale=locale, viewport={"width": width, "height": 900})
    context.set_default_timeout(90_000)
    for name in PAGES:
        page = visit(context, f"{app.url}/{name}")
        settle(page, name)
        expect(page.get_by_test_id("stException")).to_have_count(0)
        expect(page.get_by_role("button", name="Deploy")).to_have_count(0)
        assert page.evaluate(FAULTS) == [], f"/{name} at {width} px, light"
        page.emulate_media(color_scheme="dark")
        expect(page.get_by_test_id("stApp")).to_have_css("background-color", DARK)
        settle(page, name)
        assert page.evaluate(FAULTS) == [], f"/{name} at {width} px, dark"
        page.close()
    context.close()


@pytest.mark.skipif(PICTURES is None, reason="takes the README's pictures where FASTGLM_SCREENSHOTS names a folder")
def test_pictures_for_the_readme(browser: Browser, app: App) -> None:
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 880})
    context.set_default_timeout(300_000)
    folder = Path(str(PICTURES))
    page = visit(context, app.url)
    for count, question in enumerate(("你好", "What is the capital of France?"), 1):
        say(page, question)
        expect(page.get_by_test_id("stChatMessage")).to_have_count(2 * count)
        expect(page.get_by_text("in use")).to_have_count(count)
    settle(page, "")
    page.screenshot(path=folder / "chat.png")

    page.goto(f"{app.url}/compare")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    take(page, "compare", folder, 1380)

    measure(app.home, "demo", "--suite", "latency,memory,quality", "--repeats", "5", "--questions", "4")
    for name, height in (("overview", 1330), ("latency", 1240), ("memory", 1500), ("quality", 1700), ("history", 1200)):
        page.goto(f"{app.url}/{name}")
        take(page, name, folder, height)

    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 420, "height": 900})
    page.goto(f"{app.url}/limits?language=zh")
    take(page, "limits", folder, 900)
    context.close()
    for picture in folder.glob("*.png"):
        shrink(picture)


@pytest.mark.skipif(PICTURES is None, reason="takes the README's pictures where FASTGLM_SCREENSHOTS names a folder")
def test_picture_of_a_server_for_the_readme(browser: Browser, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTGLM_HOME", str(app.home))
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 880})
    context.set_default_timeout(300_000)
    page = visit(context, f"{app.url}/serve")
    page.get_by_role("button", name="Start").click()
    eventually(lambda: [record for record in servers() if SharedHost(record).is_ready], 600)
    host = SharedHost(servers()[0])
    try:
        for count in (1, 2, 4, 4):  # steps of as many rows are compiled when they are first needed
            asked = [host.ask("Tell me a story.", max_new_tokens=200, ignore_eos=True) for _ in range(count)]
            assert all(answer.wait(600) for answer in asked)
        asked = [host.ask("Tell me a story.", max_new_tokens=1500, ignore_eos=True) for _ in range(4)]
        page.wait_for_timeout(3000)
        take(page, "serve", Path(str(PICTURES)), 800)
    finally:
        host.stop()
        context.close()
    shrink(Path(str(PICTURES)) / "serve.png")
