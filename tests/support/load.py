"""A crowd of clients for a server: right, malformed, oversized, impatient, slow and silent ones.

A seed and the number of a request decide its kind, so that a failure repeats. All answers are known beforehand.
"""

import contextlib
import itertools
import json
import os
import random
import re
import signal
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
from malformed import ASK, CHAT, COMPLETE, CORPUS, HALF_OPEN, Malformed, post

import fastglm
from fastglm.messages import RawText

_KINDS = {"whole": 56, "stream": 15, "abort": 10, "malformed": 12, "oversized": 1, "silent": 2, "slow": 2, "state": 2}
_OVERSIZED = post(ASK, b'{"prompt": "' + b"a" * (8 << 20) + b'"}')
_WORDS = ["你好", "再说一次", "天气", "数字", "苹果", "hello", "one", "two", "学习", "模型", "城市", "春天"]


@dataclass(frozen=True)
class Known:
    """A request whose answers are known."""

    path: str
    body: dict[str, Any]
    texts: tuple[str, ...]

    def told(self, content: Any) -> tuple[str, ...]:
        """The answers of a response."""
        if self.path == ASK:
            return (content["response"],)
        choices = sorted(content["choices"], key=lambda choice: choice["index"])
        return tuple(choice["text"] if "text" in choice else choice["message"]["content"] for choice in choices)


def known_answers(model: Any, tokenizer: Any, words: int = len(_WORDS)) -> list[Known]:
    """Requests of all kinds, greedy and by seeds, with the answers of `fastglm.stream`; no two have equal answers."""

    def text(prompt: Any, history: Any = None, **settings: Any) -> str:
        return [*fastglm.stream(model, tokenizer, prompt, history, **settings)][-1].text

    found = []
    for number, word in enumerate(_WORDS[:words]):
        tokens = 8 + number
        messages = [{"role": "user", "content": word}]
        ask = {"prompt": word, "history": [], "max_length": 40 + number, "temperature": 0}
        found.append(Known(ASK, ask, (text(word, do_sample=False, max_length=40 + number),)))
        round_ = [*messages, {"role": "assistant", "content": found[-1].texts[0]}]
        again = {"messages": [*round_, *messages], "temperature": 0, "max_tokens": tokens}
        found.append(Known(CHAT, again, (text(word, round_, do_sample=False, max_new_tokens=tokens),)))
        drawn = tuple(text(word, max_new_tokens=tokens, temperature=1.0, seed=number + more) for more in range(2))
        chat = {"messages": messages, "temperature": 1, "max_tokens": tokens, "seed": number, "n": 2}
        found.append(Known(CHAT, chat, drawn))
        complete = {"prompt": word, "temperature": 0, "max_tokens": tokens}
        found.append(Known(COMPLETE, complete, (text(RawText(word), do_sample=False, max_new_tokens=tokens),)))
    return [*{one.texts: one for one in found}.values()]


@dataclass
class Report:
    """Figures of a load."""

    answers: Counter[str] = field(default_factory=Counter)  # by kind and status
    recoveries: list[float] = field(default_factory=list)  # seconds from a kill to the next answer
    silent: list[tuple[float, socket.socket]] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{kind}: {count}" for kind, count in sorted(self.answers.items()))
        return f"{counts}; recoveries {', '.join(f'{seconds:.2f} s' for seconds in self.recoveries)}"


class Load:
    """Clients of the server at a URL, whose host is a process below `pid`."""

    def __init__(self, url: str, pid: int, known: list[Known], seed: int, clients: int = 8) -> None:
        self.report = Report()
        self.faults: list[str] = []
        self._url, self._pid, self._known, self._seed, self._clients = url, pid, known, seed, clients
        self._lock = threading.Lock()
        self._kills: list[list[float]] = []  # begin and end of each time without a host

    def run(self, numbers: range, kills: int = 0) -> None:
        """Make the requests with these numbers; the host is killed at so many of them. Raises AssertionError for
        wrong answers.
        """
        chance = random.Random(f"{self._seed} {numbers.start}")
        self._at = {*chance.sample(numbers[: -len(numbers) // 10], kills)}
        waiting = iter(numbers)
        threads = [threading.Thread(target=self._work, args=(waiting,)) for _ in range(self._clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self.faults, "\n".join(self.faults)

    def _work(self, waiting: "itertools.chain[int]") -> None:
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as client:
            while len(self.faults) < 5:
                with self._lock:
                    number = next(waiting, None)
                if number is None:
                    return
                try:
                    self._request(client, number)
                except Exception as error:
                    self.faults.append(f"seed {self._seed}, request {number}: {type(error).__name__}: {error}")

    def _request(self, client: httpx.Client, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")
        (kind,) = chance.choices([*_KINDS], [*_KINDS.values()])
        known = chance.choice(self._known)
        if number in self._at:
            self._kill(client, known)
            return
        began = time.monotonic()
        match kind:
            case "malformed":
                status = refused(self._url, chance.choice(CORPUS))
            case "oversized":
                status = refused(self._url, Malformed("oversized", _OVERSIZED, (413,)))
            case "silent":
                connection = connected(self._url)
                connection.sendall(chance.choice(HALF_OPEN))
                self.report.silent.append((began, connection))
                status = 0
            case "state":
                status = client.get(chance.choice(["/metrics", "/v1/models", "/", "/docs"])).status_code
                assert status == 200
            case "whole":
                status = self._whole(client, known, began)
            case "abort":
                status = self._abort(client, known, chance)
            case _:
                status = self._stream(client, known, began, chance.uniform(0.01, 0.05) if kind == "slow" else 0)
        with self._lock:
            self.report.answers[f"{kind} {status or ''}".strip()] += 1

    def _whole(self, client: httpx.Client, known: Known, began: float) -> int:
        answer = client.post(known.path, json=known.body)
        if answer.status_code == 200:
            assert known.told(answer.json()) == known.texts, f"{known}: {answer.text}"
        else:
            self._check_failure(answer.json(), answer.status_code, began)
        return answer.status_code

    def _stream(self, client: httpx.Client, known: Known, began: float, pause: float) -> int:
        if known.path == ASK:
            return self._whole(client, known, began)
        texts = [""] * len(known.texts)
        with client.stream("POST", known.path, json={**known.body, "stream": True}) as answer:
            if answer.status_code != 200:
                self._check_failure(json.loads(answer.read()), answer.status_code, began)
                return answer.status_code
            events = []
            for line in answer.iter_lines():
                events += [line.removeprefix("data: ")] * line.startswith("data: ")
                time.sleep(pause)
        *chunks, last = events
        for chunk in map(json.loads, chunks):
            for choice in chunk["choices"]:
                texts[choice["index"]] += choice["text"] if "text" in choice else choice["delta"].get("content") or ""
        assert all(whole.startswith(text) for text, whole in zip(texts, known.texts, strict=True)), f"{known}: {texts}"
        if last == "[DONE]":
            assert tuple(texts) == known.texts, f"{known}: {texts}"
            return 200
        self._check_failure(json.loads(last), 503, began)
        return 503

    def _abort(self, client: httpx.Client, known: Known, chance: random.Random) -> int:
        """Go away before the head of the answer, or after some of its parts."""
        body = {**known.body, **({} if known.path == ASK else {"stream": True, "max_tokens": 400})}
        if chance.random() < 0.5:
            with connected(self._url) as connection:
                connection.sendall(post(known.path, json.dumps(body).encode()))
                time.sleep(chance.uniform(0, 0.05))
            return 0
        with client.stream("POST", known.path, json=body) as answer:
            for _ in itertools.islice(answer.iter_raw(), chance.randint(0, 5)):
                pass
        return 0

    def _kill(self, client: httpx.Client, known: Known) -> None:
        """Kill the host, and ask until there is an answer."""
        began = time.monotonic()
        away = [began, float("inf")]
        self._kills.append(away)
        os.kill(host_below(self._pid), signal.SIGKILL)
        while (status := self._whole(client, known, began)) != 200:
            assert status == 503
        away[1] = time.monotonic()
        self.report.recoveries.append(away[1] - began)

    def _check_failure(self, content: Any, status: int, began: float) -> None:
        """Check that a failure is the end of a killed host."""
        check_error(content)
        end = time.monotonic()
        at_a_kill = any(began <= back and killed <= end for killed, back in self._kills)
        assert at_a_kill, (status, content)
        assert (status, content["error"]["code"]) == (503, "model_ended"), content

    def check_silent(self, seconds: float) -> None:
        """Check that the server has ended the connections of silent clients so many seconds after their last byte."""
        for began, connection in self.report.silent:
            connection.settimeout(max(0.1, began + seconds - time.monotonic()))
            data = b"".join(iter(lambda: connection.recv(1 << 16), b""))  # noqa: B023
            if b"\r\n\r\n{" in data and b'{"status"' not in data:
                check_error(json.loads(data.rpartition(b"\r\n\r\n")[2]))
            connection.close()
        self.report.silent.clear()


def check_error(content: Any) -> None:
    """Check that a body is an error in OpenAI's format."""
    assert [*content] == ["error"], content
    assert [*content["error"]] == ["message", "type", "param", "code"], content
    assert content["error"]["message"], content


def refused(url: str, malformed: Malformed) -> int:
    """Send a malformed request and check that it is refused as it must be; returns the status."""
    with connected(url) as connection:
        with contextlib.suppress(OSError):  # refused before its end
            connection.sendall(malformed.data)
        status, body = response(connection)
    assert status in malformed.statuses, f"{malformed.name}: {status} {body[:300]!r}"
    check_error(json.loads(body))
    return status


def connected(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", httpx.URL(url).port or 80), timeout=60)


def response(connection: socket.socket) -> tuple[int, bytes]:
    """The status and the body of the next response, which has a length."""
    data = b""
    while not (found := re.match(rb"HTTP/1.1 (\d+) .*?content-length: (\d+).*?\r\n\r\n(.*)", data, re.I | re.S)) or len(
        found[3]
    ) < int(found[2]):
        part = connection.recv(1 << 16)
        assert part, f"the connection ended after {data[:300]!r}"
        data += part
    return int(found[1]), found[3]


def host_below(pid: int) -> int:
    """The process that holds the model of a server: the newest child of the process that forks hosts."""
    forking = [child for child in psutil.Process(pid).children() if _forks_hosts(child)]
    return max((child for one in forking for child in one.children()), key=psutil.Process.create_time).pid


def _forks_hosts(process: psutil.Process) -> bool:
    try:
        return "fastglm.hosting.spawn" in process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return False


def resident(pid: int) -> float:
    """MiB of a process in memory."""
    return psutil.Process(pid).memory_info().rss / 2**20
