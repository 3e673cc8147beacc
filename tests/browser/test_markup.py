"""Every page with strangers' names, notes, answers and links: nothing is loaded from elsewhere, nothing links there."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import hostile
import pytest
from hostile import ALL, EVIL
from playwright.sync_api import BrowserContext, Page, expect
from visitor import ROOT, App, visit

from benchmarks.report.html import page as report_page
from benchmarks.store.find_run import measurements_of
from benchmarks.store.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

# Everything that a browser follows or loads, in the page and in charts, and elements that only Markdown can make.
FOREIGN = """() => {
  const found = [];
  for (const e of document.querySelectorAll("*")) {
    for (const name of ["href", "src", "srcset", "xlink:href", "action", "poster", "data"]) {
      const value = e.getAttribute(name);
      if (value === null || value.startsWith("#") || value.startsWith("data:image/")) continue;
      const url = new URL(value, document.baseURI);
      if (!["blob:", "about:"].includes(url.protocol) && url.origin !== location.origin)
        found.push(`<${e.tagName.toLowerCase()} ${name}="${value}">`);
    }
    if (/url\\(\\s*["']?(https?:)?\\/\\//.test(e.getAttribute("style") || "")) found.push(`style of ${e.tagName}`);
    if (e.matches(".katex, .stMarkdownColoredText, [data-testid*=Mermaid]")) found.push(e.outerHTML.slice(0, 200));
  }
  return found;
}"""

LINK = "![x](http://127.0.0.1:9/x) [y](http://127.0.0.1:9/y) $z$"
ADDRESSES = {
    "": [{"model": LINK, "variant": LINK}],
    "compare": [{"model-a": LINK, "variant-a": LINK, "model-b": f"/nowhere/{LINK}", "variant-b": LINK}],
    "compress": [{"model": LINK, "recipe": LINK, "made": LINK, "steps": LINK, "texts": LINK}, {"recipe": "own"}],
    "overview": [{"model": LINK, "machine": LINK}, {"model": "demo", "machine": f"{EVIL[0]} · {EVIL[1]}"}],
    "latency": [{"model": LINK, "run": LINK}, {"run": "evil-1"}],
    "memory": [{"model": LINK, "run": LINK, "context": LINK}, {"run": "evil-1"}],
    "quality": [{"model": LINK, "run": LINK, "in": LINK}, {"run": "evil-1"}],
    "history": [{"runs": LINK, "search": LINK, "model": LINK}, {"runs": "evil-0"}, {"runs": ["evil-0", "evil-1"]}],
    "limits": [{"language": LINK, "tab": LINK}],
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app in a home full of strangers' files."""
    home = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTGLM_HOME", str(home))
        hostile.fill(home, ROOT / "tests/golden/chatglm")
        server = App(home)
        try:
            server.wait()
            yield server
        finally:
            server.close()


@pytest.fixture
def watched(context: BrowserContext, app: App) -> Iterator[BrowserContext]:
    """A browser that fails the test if it contacts any server but the app."""
    asked: list[str] = []
    own = (app.url, app.url.replace("http", "ws"), "blob:", "data:")
    context.on("request", lambda request: request.url.startswith(own) or asked.append(request.url))
    yield context
    assert asked == []


def check(page: Page) -> None:
    """Check that the page is complete, and that nothing in it is foreign."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    page.evaluate("document.querySelectorAll('details:not([open]) > summary').forEach((summary) => summary.click())")
    page.wait_for_timeout(300)
    assert page.evaluate(FOREIGN) == []


def text(page: Page) -> str:
    return page.get_by_test_id("stApp").inner_text().replace("\u200b", "")


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_page_shows_all_text_of_others_as_it_is(watched: BrowserContext, app: App, name: str) -> None:
    for query in ADDRESSES[name]:
        page = visit(watched, f"{app.url}/{name}?{urlencode(query, doseq=True)}")
        check(page)
        if name != "limits":
            assert any(part in text(page) for part in (ALL, EVIL[0], LINK)), "it is there, letter by letter"
        page.close()


def test_a_conversation_from_elsewhere(watched: BrowserContext, app: App) -> None:
    page = visit(watched, app.url)
    check(page)
    page.get_by_role("button", name="Conversation").click()
    file = {"name": f"{EVIL[0]}.json".replace("/", "∕"), "mimeType": "application/json"}
    chooser = page.locator("[data-testid=stFileUploader] input[type=file]")
    chooser.set_input_files({**file, "buffer": hostile.conversation().encode()})
    expect(page.get_by_test_id("stChatMessage")).to_have_count(4)
    check(page)
    assert ALL in text(page)


def test_the_name_of_a_file(watched: BrowserContext, app: App) -> None:
    page = visit(watched, f"{app.url}/history")
    name = f"{EVIL[0]} {EVIL[4]}.json".replace("/", ":")
    file = {"name": name, "mimeType": "application/json", "buffer": b'{"format": "<img src=http://127.0.0.1:9/f>"}'}
    page.locator("[data-testid=stFileUploader] input[type=file]").set_input_files(file)
    expect(page.get_by_test_id("stAlert").filter(has_text="it is not a file of results")).to_be_visible()
    check(page)
    assert f"{name}: it is not" in text(page)


def test_a_report_has_nothing_foreign(watched: BrowserContext, app: App, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{app.home / 'results' / 'results.sqlite'}")
    runs = store.runs().set_index("id", drop=False)
    facts = {str(name): value for name, value in runs.loc["evil-0"].items()}
    made = tmp_path / "report.html"
    made.write_text(report_page(facts, measurements_of(store, "evil-0"), store.samples(["evil-0"])), encoding="utf-8")
    store.close()
    page = watched.new_page()
    page.set_content(made.read_text(encoding="utf-8"))
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    foreign = page.evaluate(
        FOREIGN.replace("document.baseURI", '"http://own/"').replace("location.origin", '"http://own"')
    )
    assert foreign == []
