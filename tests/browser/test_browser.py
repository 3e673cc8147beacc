"""Visits of the app in Chromium, with a real (tiny) model."""

import re
import signal
import time

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from visitor import App, choose, say, visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def chat(context: BrowserContext, app: App) -> Page:
    """A tab with the chat and the tiny model."""
    page = visit(context, app.url)
    choose(page, "Model", "chatglm")
    return page


def test_a_first_visit_to_the_address_of_a_page_opens_it_in_the_app(context: BrowserContext, app: App) -> None:
    page = visit(context, f"{app.url}/limits")  # on a server without any visitor so far
    expect(page.get_by_role("heading", name="Limits", level=1)).to_be_visible()
    expect(page.get_by_role("link", name="Latency", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="streamlit app")).to_have_count(0)


def test_a_message_is_answered_and_kept_and_a_second_tab_has_its_own(context: BrowserContext, app: App) -> None:
    remote: list[str] = []
    context.on(
        "request", lambda request: request.url.startswith((app.url, "blob:", "data:")) or remote.append(request.url)
    )
    page = chat(context, app)
    say(page, "你好 ![x](http://127.0.0.1:9/x.png)")
    expect(page.get_by_role("button", name="Answer again")).to_be_visible()
    expect(page.get_by_test_id("stChatMessage")).to_have_count(2)
    expect(page.get_by_text("tokens/s")).to_be_visible()
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)  # the line below the figures is there too
    answer = page.get_by_test_id("stChatMessage").nth(1).inner_text()

    page.reload()
    expect(page.get_by_test_id("stChatMessage").nth(1)).to_have_text(answer, use_inner_text=True)

    other = visit(context, app.url)
    expect(other.get_by_text("Ask something")).to_be_visible()
    expect(other.get_by_test_id("stChatMessage")).to_have_count(0)
    tab = page.evaluate("sessionStorage.getItem('fastglm-tab')")
    assert len(tab) > 20
    assert tab not in page.url
    assert other.evaluate("sessionStorage.getItem('fastglm-tab')") != tab
    assert not remote, "everything comes from this machine"


def test_a_duplicated_tab_has_its_own_conversation(context: BrowserContext, app: App) -> None:
    page = visit(context, app.url)
    with context.expect_page() as opened:
        page.evaluate("window.open(location.href)")  # like a browser's "duplicate": sessionStorage is copied
    copy = opened.value
    expect(copy.get_by_role("heading", level=1)).to_be_visible()
    expect(copy.get_by_test_id("stChatInput")).to_be_visible()
    mine, its = (tab.evaluate("sessionStorage.getItem('fastglm-tab')") for tab in (page, copy))
    assert mine != its


def test_the_back_button_goes_back_to_the_choice_before(context: BrowserContext, app: App) -> None:
    page = visit(context, f"{app.url}/?model=demo&variant=int8")
    box = page.get_by_role("combobox", name="Model")
    expect(page.get_by_role("combobox", name="Variant")).to_have_value("int8")
    choose(page, "Model", "chatglm")
    expect(page).to_have_url(re.compile("model=%2F.*chatglm"))
    page.go_back()
    expect(box).to_have_value("demo (built in)")
    page.go_forward()
    expect(box).to_have_value("chatglm")


def test_a_host_that_is_killed_in_mid_answer(context: BrowserContext, app: App) -> None:
    page = chat(context, app)
    say(page, "first")
    expect(page.get_by_role("button", name="Answer again")).to_be_visible()
    hosts = app.hosts()
    assert len(hosts) == 1, "one host, shared by all tabs"
    hosts[0].suspend()  # so that the answer cannot end too soon
    say(page, "second")
    expect(page.get_by_text("Reading the question")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Reading the question")).to_be_visible()  # a reload finds the running answer again
    hosts[0].send_signal(signal.SIGKILL)
    expect(page.get_by_text("ask again to start it anew")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("button", name="Answer again")).to_be_visible()
    expect(page.get_by_text("ask again to start it anew")).to_have_count(0)
    expect(page.get_by_test_id("stChatMessage")).to_have_count(4)


def test_two_tabs_are_answered_at_the_same_time_and_one_is_stopped(context: BrowserContext, app: App) -> None:
    pages = [chat(context, app) for _ in range(2)]
    for number, page in enumerate(pages):
        say(page, f"warm up {number}")
        expect(page.get_by_role("button", name="Answer again")).to_be_visible()
    (host,) = app.hosts()
    host.suspend()  # so that no answer is over too soon
    for number, page in enumerate(pages):
        say(page, f"question {number}")
    for page in pages:
        expect(page.get_by_text("Reading the question")).to_be_visible()  # in the second tab too
    pages[0].get_by_role("button", name="Stop").click()
    host.resume()
    expect(pages[1].get_by_role("button", name="Answer again")).to_be_visible()
    expect(pages[1].get_by_test_id("stChatMessage")).to_have_count(4)
    expect(pages[1].get_by_text("question 1")).to_be_visible()
    expect(pages[1].get_by_text("question 0")).to_have_count(0)
    expect(pages[0].get_by_role("button", name="Stop")).to_have_count(0)
    expect(pages[0].get_by_test_id("stChatInput").locator("textarea")).to_be_enabled()


def test_two_variants_are_compared(context: BrowserContext, app: App) -> None:
    page = visit(context, f"{app.url}/compare")
    for side in (0, 1):
        choose(page, "Model", "chatglm", side)
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("Speed, B over A")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    expect(page.get_by_text("cannot be compared")).to_have_count(0)
    page.reload()
    expect(page.locator(".js-plotly-plot")).to_have_count(2)


def test_memory_is_given_back_when_the_last_tab_closes(context: BrowserContext, app: App) -> None:
    page = chat(context, app)
    say(page, "hello")
    expect(page.get_by_role("button", name="Answer again")).to_be_visible()
    assert app.hosts()
    page.close()
    for _ in range(120):
        if not app.hosts():
            return
        time.sleep(0.5)
    pytest.fail("the host outlives its users")
