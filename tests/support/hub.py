"""A hub on this machine, slow enough to be interrupted, that holds one checkpoint."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPO, COMMIT = "owner/golden", "1" * 40
CHUNK = 1 << 14


class _Handler(BaseHTTPRequestHandler):
    """Answers as a hub: facts about the repository, its list of files, and the files, also from a byte on."""

    server: "_Server"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        name = path.rpartition("/")[2]
        if path.startswith("/api/models/"):
            siblings = [{"rfilename": each, "size": len(data)} for each, data in self.server.files.items()]
            tree = [
                {"type": "file", "path": each, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for each, data in self.server.files.items()
            ]
            about = {"id": REPO, "modelId": REPO, "sha": COMMIT, "private": False, "siblings": siblings, "tags": []}
            self.send(json.dumps(tree if "/tree/" in path else about).encode(), "application/json", body)
        elif "/resolve/" in path and name in self.server.files:
            self.send(self.server.files[name], "application/octet-stream", body, name)
        else:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def send(self, data: bytes, kind: str, body: bool, name: str = "") -> None:
        begin = 0
        if wanted := self.headers.get("Range"):
            begin = int(wanted.removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data) - begin))
        if wanted:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        if name:
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        try:
            for place in range(begin, len(data) if body else 0, CHUNK):
                self.wfile.write(data[place : place + CHUNK])
                if name:
                    time.sleep(self.server.pause)
        except OSError:  # the client was killed
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    """A hub with files; it sleeps `pause` seconds after each chunk of them."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], pause: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.pause = files, pause


@contextmanager
def hub(files: dict[str, bytes], seconds: float) -> Iterator[str]:
    """Run a hub whose files take `seconds` in all; yields its address."""
    server = _Server(files, seconds * CHUNK / sum(map(len, files.values())))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
