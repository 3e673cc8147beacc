"""Every page asks for the password or a login, and explains their set-up."""

from pathlib import Path

import pytest
import streamlit as st
from page_run import PAGES, Open, healthy, words
from streamlit.testing.v1 import AppTest

from dashboard import door

WORD = "a long sentence"


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that listens on the whole network."""
    get_option = st.get_option
    monkeypatch.setattr(st, "get_option", lambda name: "0.0.0.0" if name == "server.address" else get_option(name))


def closed(app: AppTest) -> bool:
    """Tell whether a page shows only its title, and nothing about the machine."""
    return not app.caption and not app.selectbox and not app.chat_input and "Test GPU" not in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_closed_beyond_loopback(page: str, open_page: Open, everywhere: None) -> None:
    app = open_page(f"pages/{page}.py")
    assert app.title[0].value == page.capitalize()
    assert "Other machines can reach this app" in words(app)
    assert 'password = "' in app.code[0].value
    assert closed(app)


def test_how_it_is_set_up_in_chinese(open_page: Open, everywhere: None) -> None:
    assert "只有知道密码或已登录的人才能进入" in words(open_page("streamlit_app.py", locale="zh-CN"))


def test_the_password_opens_all_pages_of_a_tab(
    open_page: Open, everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "FIRST", 60.0)
    monkeypatch.setattr(door, "_address", lambda: "10.0.0.1")
    app = open_page("pages/chat.py", secrets={"password": WORD})
    assert closed(app)
    app.text_input[0].set_value("a guess")
    healthy(app.button[0].click().run())
    assert "Wrong password" in words(app)
    assert closed(app)
    app.text_input[0].set_value(WORD)
    healthy(app.button[0].click().run())
    assert "Try again in" in words(app), "the right one is not looked at so soon"
    assert closed(app)
    door._door.clear()
    healthy(app.button[0].click().run())
    assert app.chat_input
    for page in ("chat", "history"):
        assert not closed(open_page(f"pages/{page}.py", secrets={"password": WORD})), (
            "another page and a reload do not ask again"
        )
    assert closed(open_page("pages/chat.py", secrets={"password": "another"}))


def test_a_password_is_asked_for_on_this_machine_too(open_page: Open) -> None:
    assert closed(open_page("pages/memory.py", secrets={"password": WORD}))
    assert not closed(open_page("pages/memory.py", secrets={"password": ""}))


def test_a_login_is_asked_for_and_may_be_for_some(
    open_page: Open, everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = {"cookie_secret": "x" * 40, "redirect_uri": "http://127.0.0.1/oauth2callback", "client_id": "a"}
    app = open_page("pages/chat.py", secrets={"auth": auth})
    assert [button.label for button in app.button] == ["Log in"]
    assert closed(app)

    known = {"is_logged_in": True, "email": "me@a.example"}
    monkeypatch.setattr(st, "user", {**known, "email_verified": True})
    assert not closed(open_page("pages/chat.py", secrets={"auth": auth}))
    assert not closed(open_page("pages/chat.py", secrets={"auth": auth, "emails": ["me@a.example"]}))
    app = open_page("pages/chat.py", secrets={"auth": auth, "emails": ["you@a.example"]})
    assert "me@a.example may not come in" in words(app)
    assert closed(app)
    monkeypatch.setattr(st, "user", {**known, "email_verified": False})
    assert closed(open_page("pages/chat.py", secrets={"auth": auth, "emails": ["me@a.example"]}))


@pytest.mark.parametrize("page", PAGES)
def test_a_home_that_cannot_be_used_is_one_line_on_every_page(
    page: str, open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (file := tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTGLM_HOME", str(file))
    app = open_page(f"pages/{page}.py")
    (line,) = app.error
    assert str(file.name) in line.value
    assert "\n" not in line.value
    assert not app.selectbox


def test_strangers_are_not_told_where_the_home_is(
    open_page: Open, everywhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "no folder"
    file.touch()
    monkeypatch.setenv("FASTGLM_HOME", str(file))
    app = open_page("pages/chat.py")
    assert "Other machines can reach this app" in words(app)
    assert "no folder" not in words(app)
