"""The door of the app: open for everybody on this machine; from elsewhere only with the password or a login.

`st.secrets` has the `password`, or the section `auth` of `st.login`, with the list `emails` of permitted addresses if
the provider lets in others too. An app with one of them asks for it on its own machine too.
"""

import hashlib
import hmac
import ipaddress
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

import streamlit as st
from streamlit.errors import StreamlitAuthError, StreamlitSecretNotFoundError

from dashboard.markup import plain
from dashboard.texts import say

STAYS = 12 * 3600.0  # seconds for which a tab's password stays valid
FIRST, LONGEST = 1.0, 300.0  # seconds to wait after the first failure, doubling with each, and the longest wait
MOST = 10_000  # addresses whose failures are remembered
PROXIED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")  # headers that proxies add
EXAMPLES = (
    'password = "a long sentence that nobody guesses"\n',
    'emails = ["you@example.org"]\n\n[auth]\nredirect_uri = "https://HOST/oauth2callback"\n'
    'cookie_secret = "a long random text"\nclient_id = "…"\nclient_secret = "…"\n'
    'server_metadata_url = "https://PROVIDER/.well-known/openid-configuration"\n',
)


log = logging.getLogger(__name__)


class Door:
    """Knows the tabs that gave the password, and slows down guessing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By tab: the password it gave, and the time until which it is valid.
        self._inside: dict[str, tuple[bytes, float]] = {}
        # By address: the number of failures, and the time of the next permitted attempt.
        self._failures: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def inside(self, tab: str, password: str) -> bool:
        """Tell whether a tab has given the present password."""
        with self._lock:
            given, until = self._inside.get(tab, (b"", 0.0))
        return until > self._clock() and hmac.compare_digest(given, _digest(password))

    def enter(self, tab: str, given: str, password: str, address: str) -> float | None:
        """Let a tab in, or return the seconds until `address` may try again. Earlier attempts are not checked."""
        with self._lock:
            now = self._clock()
            count, again = self._failures.get(address, (0, 0.0))
            if now < again:
                return again - now
            if hmac.compare_digest(_digest(given), _digest(password)):
                self._failures.pop(address, None)
                self._inside = {tab: kept for tab, kept in self._inside.items() if kept[1] > now}
                self._inside[tab] = (_digest(password), now + STAYS)
                return None
            wait = min(FIRST * 2.0 ** min(count, 30), LONGEST)
            if len(self._failures) >= MOST:
                del self._failures[min(self._failures, key=lambda name: self._failures[name][1])]
            self._failures[address] = (count + 1, now + wait)
            return wait


@st.cache_resource(show_spinner=False)
def _door() -> Door:
    return Door()


def check(tab: str) -> None:
    """Return if the visitor may come in; otherwise draw the form or the set-up instructions, and stop the page."""
    try:
        secrets: Mapping[str, Any] = st.secrets.to_dict()
    except (StreamlitSecretNotFoundError, OSError, ValueError) as error:
        if "No secrets found" not in str(error):
            log.warning("secrets.toml cannot be read: %s", error)
            _stop(say("door-broken"))
        secrets = {}
    if password := str(secrets.get("password") or ""):
        if not _door().inside(tab, password):
            _ask(tab, password)
    elif "auth" in secrets:
        _check_login(secrets["auth"], secrets.get("emails"))
    elif not is_local(st.get_option("server.address"), st.context.headers):
        _explain()


def is_local(address: str | None, headers: Mapping[str, str]) -> bool:
    """Tell whether a request comes from this machine: the server listens only here, and no proxy forwards the
    request.
    """
    hosts = [address or ""]
    if "Host" in headers:
        hosts.append(urlsplit(f"//{headers['Host']}").hostname or "")
    if origin := headers.get("Origin"):
        hosts.append(urlsplit(origin).hostname or "")
    return all(map(is_loopback, hosts)) and not any(name in headers for name in PROXIED)


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ask(tab: str, password: str) -> NoReturn:
    with st.form("door", width=420):
        given = st.text_input(say("door-password"), type="password", max_chars=1000)
        asked = st.form_submit_button(say("door-enter"), type="primary", icon=":material/login:")
    if asked:
        wait = _door().enter(tab, given, password, _address())
        if wait is None:
            st.rerun()
        _stop(say("door-wrong", seconds=f"{max(wait, 1):.0f}"))
    st.stop()


def _address() -> str:
    return st.context.ip_address or ""


def _check_login(auth: Mapping[str, Any], emails: Any) -> None:
    """Let in everybody whom the provider knows, or only `emails`."""
    try:
        if not st.user.get("is_logged_in"):
            named = [name for name, told in auth.items() if isinstance(told, Mapping)]
            for name in [""] if "client_id" in auth else named:
                if st.button(
                    f"{say('door-login')} {plain(name)}".strip(), key=f"login-{name}", icon=":material/login:"
                ):
                    st.login(name or None)
            st.stop()
    except StreamlitAuthError:
        _stop(say("door-no-authlib"))
    account = str(st.user.get("email") or st.user.get("sub") or "")
    if emails is not None and (account not in emails or st.user.get("email_verified") is False):
        st.error(say("door-stranger", account=account), icon=":material/block:")
        st.button(say("door-logout"), icon=":material/logout:", on_click=st.logout)
        st.stop()


def _explain() -> NoReturn:
    st.warning(say("door-how"), icon=":material/lock:")
    for words, example in zip((say("door-password-how"), say("door-login-how")), EXAMPLES, strict=True):
        st.markdown(words)
        st.code(example, language="toml")
    st.stop()


def _stop(line: str) -> NoReturn:
    st.error(line, icon=":material/lock:")
    st.stop()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
