"""The files that docs/serve.md shows: nginx in front of a server, and the unit of systemd."""

import getpass
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hosting import eventually
from serving import served

from fastglm.hosting.protocol import HostKey
from fastglm.serve.app import Settings

DOCS = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
NAME, KEY = "chat.example.com", "a-secret"
CHAT = {"messages": [{"role": "user", "content": "long"}], "stream": True}


def shown(kind: str) -> str:
    """The one block of a kind in the docs."""
    [block] = re.findall(rf"```{kind}\n(.*?)```", DOCS, re.DOTALL)
    return block


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture
def nginx(fake_model: None, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of nginx, as the docs configure it, before a server with a key."""
    if not shutil.which("nginx") or not shutil.which("openssl"):
        pytest.skip("nginx or openssl is not installed")
    certificate, secret = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={NAME}", "-days", "2"]
    made += ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(secret), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    with served(HostKey(), Settings(KEY, [NAME])) as behind:
        port = free_port()
        block = shown("nginx").replace("listen 443", f"listen 127.0.0.1:{port}")
        block = block.replace("/etc/letsencrypt/live/chat.example.com", str(tmp_path))
        block = block.replace("http://127.0.0.1:8000", str(behind.base_url).rstrip("/"))
        folders = "".join(
            f"{kind}_temp_path {tmp_path / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = tmp_path / "nginx.conf"
        config.write_text(
            f"user {getpass.getuser()};\ndaemon off;\nevents {{}}\n"
            f"pid {tmp_path / 'pid'};\nerror_log {tmp_path / 'errors'};\n"
            f"http {{\naccess_log off;\n{folders}{block}}}\n"
        )
        trusting = ssl.create_default_context(cafile=str(certificate))
        with subprocess.Popen(["nginx", "-p", str(tmp_path), "-c", str(config), "-e", "errors"]) as process:
            try:
                eventually(lambda: _listens(port) or process.poll() is not None, 20)
                assert process.poll() is None, (tmp_path / "errors").read_text()
                with httpx.Client(
                    base_url=f"https://127.0.0.1:{port}",
                    verify=trusting,
                    headers={"Host": NAME, "Authorization": f"Bearer {KEY}"},
                    timeout=60,
                ) as client:
                    yield client
            finally:
                process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_nginx_passes_keys_streams_and_large_bodies(nginx: httpx.Client) -> None:
    named = {"extensions": {"sni_hostname": NAME}}
    assert nginx.get("/health", **named).status_code == 200
    assert nginx.post("/", json={"prompt": "x"}, headers={"Authorization": ""}, **named).status_code == 401
    assert nginx.post("/", json={"prompt": "x"}, **named).json()["response"] == "x1 x2 x3 x4 x5 "
    assert f"https://{NAME}/v1" in nginx.get("/", **named).text
    moments = []
    with nginx.stream("POST", "/v1/chat/completions", json=CHAT, **named) as stream:
        for line in stream.iter_lines():
            if line:
                moments.append(time.monotonic())
    assert len(moments) > 20
    assert moments[-1] - moments[0] > 0.5  # they came one by one: the fake model takes a second
    assert nginx.post("/", json={"prompt": "x" * (3 << 20)}, **named).status_code == 200
    large = nginx.post("/", json={"prompt": "x" * (9 << 20)}, **named)
    assert (large.status_code, [*large.json()]) == (413, ["error"])


def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    unit = tmp_path / "fastglm.service"
    unit.write_text(shown("ini").replace("/opt/fastglm/bin/fastglm", sys.executable))
    read = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True)
    said = [line for line in read.stderr.splitlines() if "fastglm" in line]
    assert not said
