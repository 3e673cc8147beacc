"""An app on the network opens only to visitors with the password."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, expect
from visitor import ROOT, App, visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One page, run by itself on the network, with a password."""
    home = tmp_path_factory.mktemp("home")
    (secrets := home / "secrets.toml").write_text('password = "开门 sesame"\n', encoding="utf-8")
    options = ["--server.address", "0.0.0.0", "--secrets.files", str(secrets)]
    server = App(home, str(ROOT / "pages/history.py"), *options)
    try:
        server.wait()
        yield server
    finally:
        server.close()


def test_a_page_run_alone_asks_for_the_password_once(context: BrowserContext, app: App) -> None:
    page = visit(context, app.url)
    box = page.get_by_role("textbox", name="Password")
    expect(box).to_be_visible()
    expect(page.get_by_text("All stored runs")).to_have_count(0)
    expect(page.get_by_text("cores")).to_have_count(0)
    box.fill("open sesame")
    page.get_by_role("button", name="Come in").click()
    expect(page.get_by_text("Wrong password")).to_be_visible()
    page.wait_for_timeout(1000)
    box.fill("开门 sesame")
    page.get_by_role("button", name="Come in").click()
    expect(page.get_by_text("All stored runs")).to_be_visible()
    page.reload()
    expect(page.get_by_text("All stored runs")).to_be_visible()
    other = visit(context, app.url)
    expect(other.get_by_role("textbox", name="Password")).to_be_visible()
    expect(other.get_by_text("All stored runs")).to_have_count(0)
