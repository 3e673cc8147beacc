"""The Serve page: its permission, its form, and the figures of a running server, whose model obeys the prompt."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serving
from fake_pool import FakePool
from hosting import LAUNCH_FAKE, eventually
from page_run import TAB, Open, box, button, healthy, press, run_until, shown, words
from serving import running
from streamlit.testing.v1 import AppTest

import fastglm.hosting.host
import fastglm.serve.served_model
from dashboard.serve import launch
from dashboard.serve.figures import quantile, rate, read
from fastglm.errors import HostError
from fastglm.hosting.protocol import HostKey
from fastglm.serve.app import Settings
from fastglm.serve.record import Record, announced
from fastglm.serve.shared_host import SharedHost

PAGE = "pages/serve.py"
Started = list[tuple[HostKey, str, int, str | None]]


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTGLM_ALLOW_SERVE", "1")
    monkeypatch.setattr(launch, "_latest", None)


@pytest.fixture
def started(allowed: None, monkeypatch: pytest.MonkeyPatch) -> Started:
    """The servers that the page wants started."""
    found: Started = []
    monkeypatch.setattr(launch, "start", lambda *wanted: found.append(wanted))
    monkeypatch.setattr(launch, "starting", lambda: found[-1][2] if found else None)
    return found


@contextlib.contextmanager
def server(monkeypatch: pytest.MonkeyPatch, variant: str = "int4", key: str | None = None) -> Iterator[SharedHost]:
    """A running server of the demo's variant that has left its record."""
    with monkeypatch.context() as patch:
        patch.setattr(fastglm.hosting.host, "LAUNCH", LAUNCH_FAKE)
        patch.setattr(fastglm.serve.served_model, "read_facts", serving.fake_facts)
        with running(HostKey("demo", variant), Settings(key)) as host, announced(host.record):
            eventually(lambda: host.is_ready)
            yield host


def figures(app: AppTest) -> dict[str, str]:
    return {found.label: found.value for found in app.metric}


def test_without_permission_the_page_explains_and_offers_nothing(open_page: Open) -> None:
    with announced(Record("http://127.0.0.1:8000", HostKey(), "demo", False)):
        app = open_page(PAGE)
    assert "FASTGLM_ALLOW_SERVE=1" in words(app)
    assert "8000" not in words(app)
    assert not app.button


def test_a_server_is_started_with_the_choices(open_page: Open, pool: FakePool, started: Started) -> None:
    pool.held["idle chat"] = {HostKey("demo", "int4")}
    app = press(open_page(PAGE), "Start")
    assert started == [(HostKey("demo", "int4"), "127.0.0.1", 8000, None)]
    assert not pool.held, "the app's own copy would lie beside the server's"
    assert not app.code
    app.toggle[0].set_value(True)
    press(app, "Start")
    assert started[-1][3] == app.code[0].value


def test_an_address_for_others_gets_a_key_which_is_shown_once(open_page: Open, started: Started) -> None:
    app = open_page(PAGE)
    app.text_input[0].set_value("0.0.0.0")
    press(app, "Start")
    (_, host, _, secret) = started[0]
    assert host == "0.0.0.0"
    assert secret
    assert len(secret) >= 32
    assert [found.value for found in app.code] == [secret]
    assert not open_page(PAGE, tab="another-tab-of-the-same-person").code
    press(app, "Copied")
    assert not app.code


def test_the_key_of_a_server_that_has_ended_is_forgotten(open_page: Open, started: Started) -> None:
    app = open_page(PAGE)
    app.toggle[0].set_value(True)
    assert press(app, "Start").code
    started.clear()
    assert not healthy(app.run()).code


def test_a_failed_start_is_told_in_one_line(
    open_page: Open, allowed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "log").write_text("Loading …\nerror: 127.0.0.1:8000 cannot be used (Address already in use).\n")
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(2)"]) as process:
        process.wait()
    monkeypatch.setattr(launch, "_latest", launch.Launch(process, 8000, tmp_path / "log"))
    app = open_page(PAGE)
    assert [shown(error.value) for error in app.error] == ["127.0.0.1:8000 cannot be used (Address already in use)."]
    (tmp_path / "log").write_text("demo as int4 is ready\n")
    assert "exit status 2" in words(open_page(PAGE))


def test_a_running_server_is_watched_and_stopped(
    open_page: Open, allowed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(monkeypatch, key="nobody-sees-it") as host:
        list(host.ask("x"))
        slow = host.ask("slow")
        eventually(lambda: slow.piece)
        app = open_page(PAGE)
        found = figures(app)
        assert (found["Requests now"], found["Slots in use"], found["Tokens/s"]) == ("1", "1", "—")
        assert found["First token, p50 / p95"] == "0.01 / 0.02 s"
        assert found["Memory"].endswith("MB")
        curl, python = (block.value for block in app.code)
        assert f"curl {host.record.url}/ " in curl
        assert f'base_url="{host.record.url}/v1", api_key="KEY"' in python
        assert 'model="demo"' in python
        run_until(app, lambda app: figures(app)["Tokens/s"] not in ("—", "0.0"))
        assert app.number_input[0].value == 8000
        text = words(app) + curl + python
        assert host.record.token not in text
        assert "nobody-sees-it" not in text
        slow.cancel()
        press(app, "Stop")
        eventually(lambda: not host.is_ready)
        assert button(app, f"stop-{host.record.url}").disabled
    run_until(app, lambda app: not app.metric)


def ask(app: AppTest, text: str) -> AppTest:
    healthy(app.chat_input[0].set_value(text).run())
    return run_until(app, lambda app: button(app, "again"))


def test_the_chat_asks_a_server_that_has_the_variant(
    open_page: Open, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page("pages/chat.py", variant="int4")
    ask(app, "first")
    assert pool.held == {f"{TAB} chat": {HostKey("demo", "int4")}}
    with server(monkeypatch):
        assert "A running server has loaded this variant" in words(healthy(app.run()))
        ask(app, "again")
        assert "again1 again2 again3 again4 again5" in words(app)
        assert "5 tokens" in words(app)
        assert "in use" in words(app)
        assert not pool.held
        assert len(pool.asked) == 1
        healthy(app.chat_input[0].set_value("slow").run())
        run_until(app, lambda app: "slow1 slow2" in words(app))
        healthy(button(app, "stop").click().run())
        run_until(app, lambda app: button(app, "again"))
        assert "Stopped." in words(app)
    ask(app, "last")
    assert pool.asked[-1][1] == "last"


def test_the_chat_waits_for_a_server_that_loads(
    open_page: Open, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SharedHost, "is_ready", False)
    loading = "A server is loading int4 …"
    app = open_page("pages/chat.py", variant="int4")
    with announced(Record("http://127.0.0.1:9", HostKey("demo", "int4"), "demo", False)):
        healthy(app.chat_input[0].set_value("hello").run())
        run_until(app, lambda app: loading in [bar.proto.text for bar in app.get("progress")])
    run_until(app, lambda app: button(app, "again"))
    assert pool.text in words(app), "the server ended before it was ready"


def test_a_comparison_asks_the_server_and_says_that_it_was_beside_one(
    open_page: Open, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(monkeypatch):
        app = open_page("pages/compare.py", prompt="x")
        assert box(app, "Variant").value == "original"
        press(app, "Compare")
        run_until(app, lambda app: app.get("plotly_chart"))
        assert [key.variant for key, *_ in pool.asked] == ["original"] * 2
        assert "neither variant was alone" in words(app)
        assert "alone on the device" not in words(app)


def metrics(tokens: int, ttft: str = "") -> str:
    names = ("open_answers", "waiting_answers", "most_open_answers", "slots")
    return "".join(f"fastglm_{name} 1.0\n" for name in names) + f"fastglm_answer_tokens_total {tokens}.0\n{ttft}"


def test_figures_are_read_from_the_metrics() -> None:
    lines: list[Any] = [("0.1", 2.0), ("0.2", 4.0), ("+Inf", 5.0)]
    ttft = "".join(f'fastglm_ttft_seconds_bucket{{le="{bound}"}} {count}\n' for bound, count in lines)
    first, second = read(metrics(10, ttft), at=1.0), read(metrics(30), at=5.0)
    assert rate([], first) is None
    assert rate([first], second) == 5.0
    assert rate([second], first) is None
    assert quantile(first.ttft, 0.5) == pytest.approx(0.125)
    assert quantile(first.ttft, 0.95) == 0.2
    assert quantile(second.ttft, 0.5) is None
    with pytest.raises(HostError, match="another version"):
        read("fastglm_slots 1.0\n")
