"""Clients of a scripted OpenAI server: times, tokens, errors, and loops of requests."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest
from fake_openai import FakeOpenAI, running

from benchmarks.serving import loops
from benchmarks.serving.asked import Asked
from benchmarks.serving.client import Client, Endpoint, EndpointError, read_key
from benchmarks.serving.load import Level
from benchmarks.serving.probe import OPTIONS, Known, probe
from benchmarks.serving.window import Window
from fastglm.errors import UsageError


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with running(FakeOpenAI()) as fake:
        yield fake


def _ask(server: FakeOpenAI, tokens: int = 5) -> Asked:
    async def ask() -> Asked:
        async with Client(Endpoint.read(server.url, "glm")) as client:
            return await client.ask("hello", tokens, OPTIONS[0])

    return asyncio.run(ask())


def _probe(server: FakeOpenAI, model: str | None = None, key: str | None = None) -> Known:
    async def look() -> Known:
        async with Client(Endpoint.read(server.url, model, key)) as client:
            return await probe(client, "text " * 100, "mark ")

    return asyncio.run(look())


def test_times_are_of_the_chunks_with_text(server: FakeOpenAI) -> None:
    server.first, server.pause = 0.2, 0.02
    asked = _ask(server)
    assert (asked.error, asked.tokens, len(asked.pieces), asked.counted) == (None, 5, 5, False)
    assert asked.ttft >= 0.2
    assert 0.02 * 4 <= asked.pieces[-1] - asked.pieces[0] <= asked.answer_time - 0.2
    (body,) = server.asked
    assert (body["model"], body["temperature"], body["max_tokens"], body["stream"]) == ("glm", 0, 5, True)


def test_tokens_are_those_of_the_usage_or_else_the_chunks(server: FakeOpenAI) -> None:
    server.tokens_of_a_chunk = 3
    assert _ask(server).tokens == 15
    server.usage = False
    asked = _ask(server)
    assert (asked.tokens, asked.counted, asked.prompt_tokens) == (5, True, None)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("status", "HTTP 429: too many requests"),
        ("error", "the stream says: {'message': 'out of memory'}"),
        ("cut", "the stream broke off after 1 chunks"),
        ("nonsense", "a chunk that is not OpenAI's: [1, 2"),
        ("mute", "an answer without text"),
    ],
)
def test_a_failure_is_a_result(server: FakeOpenAI, fault: str, said: str) -> None:
    server.fails = {0: fault}
    assert _ask(server).error == said
    assert _ask(server).error is None


def test_a_server_that_is_gone_is_a_result_too(server: FakeOpenAI) -> None:
    asked = _ask(FakeOpenAI(url="http://127.0.0.1:1"))
    assert (asked.status, asked.pieces) == (None, ())
    assert asked.error
    assert asked.error.startswith("ConnectError")


def test_the_look_finds_the_model_and_its_way_to_count(server: FakeOpenAI) -> None:
    known = _probe(server)
    assert (known.endpoint.model, known.gives_usage, known.full_length) == ("glm", True, True)
    assert (known.measure.frame, known.measure.each) == (5, 0.5)
    assert known.measure.characters(128) == 246


@pytest.mark.parametrize(
    ("refused", "usage", "full_length"),
    [(("ignore_eos",), True, False), (("ignore_eos", "stream_options"), False, False)],
)
def test_a_plainer_server_is_asked_plainly(
    server: FakeOpenAI, refused: tuple[str, ...], usage: bool, full_length: bool
) -> None:
    server.refused = refused
    known = _probe(server)
    assert (known.gives_usage, known.full_length) == (usage, full_length)


def test_a_server_that_cannot_be_measured_gives_one_clear_line(server: FakeOpenAI) -> None:
    with pytest.raises(EndpointError, match=r"no server answers at http://127.0.0.1:1/v1 \(ConnectError"):
        _probe(FakeOpenAI(url="http://127.0.0.1:1"))
    with pytest.raises(EndpointError, match="is no OpenAI endpoint: its /models answers HTTP 404"):
        _probe(FakeOpenAI(url=f"{server.url}/other"))
    server.fails = {-1: "status"}
    with pytest.raises(EndpointError, match=r"/v1 does not answer glm \(HTTP 429: too many requests\)"):
        _probe(server)
    server.models = ["glm", "other"]
    with pytest.raises(UsageError, match=r"has 2 models \(glm, other\): choose one by --model"):
        _probe(server)
    server.models = []
    with pytest.raises(EndpointError, match="no OpenAI endpoint"):
        _probe(server)


def test_a_key_is_wanted_refused_or_right(server: FakeOpenAI) -> None:
    server.key = "secret"
    with pytest.raises(EndpointError, match=r"wants a key: give it by --key-file \(HTTP 401\)"):
        _probe(server)
    with pytest.raises(EndpointError, match=r"refuses the key of --key-file"):
        _probe(server, key="wrong")
    known = _probe(server, key="secret")
    assert known.gives_usage
    assert "secret" not in repr(known.endpoint)


@pytest.mark.parametrize("content", ["", "two words", "é", None])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="--key-file"):
        read_key(file)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://box:8000", "http://box:8000/v1"),
        ("http://box:8000/", "http://box:8000/v1"),
        ("https://box/api/paas/v4/", "https://box/api/paas/v4"),
    ],
)
def test_an_address_ends_at_the_version(url: str, found: str) -> None:
    assert Endpoint.read(url).url == found


@pytest.mark.parametrize(
    "url",
    [
        "box:8000",
        "ftp://box",
        "http://",
        "http://a:b@box",
        "http://box/v1?key=1",
        "http://box:port",
        "http://" + "x" * 100,
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="--endpoint"):
        Endpoint.read(url)


def _play(server: FakeOpenAI, level: Level, tokens: int = 8) -> loops.Played:
    async def play() -> loops.Played:
        async with Client(Endpoint.read(server.url, "glm")) as client:

            async def send(number: int, share: float, due: float | None) -> Asked:
                return await client.ask(f"{number}", max(round(share * tokens), 2), {}, due)

            return await loops.play(level, send, Window.of(level, seconds=0), "seed")

    return asyncio.run(play())


def test_clients_ask_one_request_after_another_until_the_window_is_over(server: FakeOpenAI) -> None:
    played = _play(server, Level("clients", 4))
    assert server.most_at_work == 4
    counted = [each for each in played.asked if played.start <= each.due <= played.end]
    assert all(each.ended <= played.end or each.error is None for each in counted)
    assert sum(played.start < each.ended <= played.end for each in played.asked) == 8  # two rounds
    assert Counter(body["max_tokens"] for body in server.asked[:4]) == {2: 1, 4: 1, 6: 1, 8: 1}
    assert {body["max_tokens"] for body in server.asked[4:]} == {8}
    assert sorted(int(body["messages"][0]["content"]) for body in server.asked) == list(range(len(played.asked)))
    assert played.lags


def test_failures_are_counted_and_dropped_by_nobody(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "PAUSE", 0.0)
    server.fails = {3: "cut", 4: "status", 5: "error"}
    played = _play(server, Level("clients", 2))
    assert sum(each.error is not None for each in played.asked) == 3
    assert len(played.asked) == len(server.asked)


def test_arrivals_do_not_wait_for_answers(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrivals come a hundred times faster than the server answers one request."""
    monkeypatch.setattr(Level, "arrivals", lambda _self, seed: repeat(0.005))
    server.first = 0.5
    played = _play(server, Level("rate", 200))
    assert server.most_at_work > 20
    dues = sorted(each.due for each in played.asked)
    assert dues[5] - dues[0] == pytest.approx(0.025)
    assert all(each.error is None for each in played.asked)
    assert len(played.asked) < len(server.asked)  # the tail was broken off
