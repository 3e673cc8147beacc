"""The server itself: its key, its checks of requests, its pages and its stop; with a model that obeys the prompt."""

import os
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from hosting import eventually
from serving import served

from fastglm.errors import UsageError
from fastglm.hosting.lease import holder, servers
from fastglm.hosting.protocol import HostKey
from fastglm.serve.app import Settings
from fastglm.serve.page import preferred
from fastglm.serve.server import check_exposure, read_key

KEY = "a-secret"


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error of a response, in OpenAI's format."""
    content = response.json()
    assert [*content] == ["error"]
    assert [*content["error"]] == ["message", "type", "param", "code"]
    return content["error"]


def test_the_published_question_is_answered(fake: httpx.Client) -> None:
    answer = fake.post("/", json={"prompt": "x", "history": []})
    assert answer.status_code == 200
    content = answer.json()
    assert content.pop("time")[:2] == "20"
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "metadata": "", "content": "x1 x2 x3 x4 x5 "}]
    assert content == {"response": "x1 x2 x3 x4 x5 ", "history": said, "status": 200}


def test_missing_and_null_fields_take_the_published_defaults(fake: httpx.Client) -> None:
    for fields in ({}, {"max_length": None, "top_p": None, "temperature": None, "history": None}):
        told = fake.post("/", json={"prompt": "settings", **fields}).json()["response"]
        assert "('max_length', 2048), " in told
        assert "('temperature', 0.95), ('top_p', 0.7)" in told
    given = {"max_length": 20000, "top_p": 1, "temperature": 0}
    told = fake.post("/", json={"prompt": "settings", **given}).json()["response"]
    assert "('max_length', 20000), " in told
    assert "('temperature', 0.0), ('top_p', 1.0)" in told


def test_a_history_goes_to_the_model_and_comes_back_with_the_round(fake_model: None, fake: httpx.Client) -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    content = fake.post("/", json={"prompt": "history", "history": messages}).json()
    assert content["response"] == (
        "[Message(role='system', content='s', metadata='', tools=None), "
        "Message(role='user', content='q', metadata='', tools=None)]"
    )
    assert content["history"][:3] == [*messages, {"role": "user", "content": "history"}]
    with served(HostKey("pairs")) as pairs:
        content = pairs.post("/", json={"prompt": "history", "history": [["q", "a"]]}).json()
        assert content["history"] == [["q", "a"], ["history", content["response"]]]
        assert "content='a'" in content["response"]


def test_a_call_of_a_tool_is_a_response_by_its_parts(fake: httpx.Client) -> None:
    content = fake.post("/", json={"prompt": "call"}).json()
    assert content["response"] == {"name": "search", "content": '{"query": "x"}'}
    offered = [{"role": "system", "content": "", "tools": [{"name": "search"}]}]
    content = fake.post("/", json={"prompt": "call", "history": offered}).json()
    assert content["response"] == {"name": "search", "parameters": {"query": "x"}}
    assert content["history"][-1] == {"role": "assistant", "metadata": "search", "content": '{"query": "x"}'}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 1}, "prompt"),
        ({"prompt": ["x"]}, "prompt"),
        ({"prompt": "x", "history": "y"}, "history"),
        ({"prompt": "x", "history": {"y": 1}}, "history"),
        ({"prompt": "x", "history": [["y"]]}, "history"),
        ({"prompt": "x", "history": [["y", None]]}, "history"),
        ({"prompt": "x", "history": [{"role": "nobody", "content": "y"}]}, "history"),
        ({"prompt": "x", "history": [{"role": "user"}]}, "history"),
        ({"prompt": "x", "max_length": 0}, "max_length"),
        ({"prompt": "x", "max_length": "9"}, "max_length"),
        ({"prompt": "x", "max_length": 9.5}, "max_length"),
        ({"prompt": "x", "max_length": True}, "max_length"),
        ({"prompt": "x", "top_p": 0}, "top_p"),
        ({"prompt": "x", "top_p": 1.1}, "top_p"),
        ({"prompt": "x", "temperature": -1}, "temperature"),
        ({"prompt": "x", "temperature": "hot"}, "temperature"),
        ({"prompt": "x", "num_beams": 4}, "num_beams"),
        ({"prompt": "context"}, "prompt"),
    ],
)
def test_a_wrong_field_is_named(shared_fake: httpx.Client, fields: dict[str, Any], param: str) -> None:
    answer = shared_fake.post("/", json=fields)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["param"] == param


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe\xfd",
        b'{"prompt": "x", "temperature": NaN}',
        b'{"prompt": "x", "temperature": Infinity}',
        b'{"prompt": "x", "max_length": ' + b"9" * 5000 + b"}",
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "x", "history": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_malformed_body_is_refused(shared_fake: httpx.Client, body: bytes) -> None:
    answer = shared_fake.post("/", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["type"] == "invalid_request_error"


def test_only_json_is_read_and_only_so_much(shared_fake: httpx.Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = shared_fake.post("/", content=b'{"prompt": "x"}', headers={"Content-Type": kind})
        assert answer.status_code == 415
        assert "application/json" in error_of(answer)["message"]
    large = b'{"prompt": "' + bytes([65]) * (8 << 20) + b'"}'
    for content in (large, iter([large])):  # with its length in the header, and in parts
        answer = shared_fake.post("/", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert "8 MiB" in error_of(answer)["message"]


def test_other_addresses_and_methods_are_refused_in_the_same_format(shared_fake: httpx.Client) -> None:
    assert error_of(shared_fake.get("/nothing"))["type"] == "not_found_error"
    answer = shared_fake.put("/", json={})
    assert answer.status_code == 405
    error_of(answer)


@pytest.mark.parametrize(("prompt", "status"), [("bug", 503), ("crash", 503), ("memory", 503), ("context", 400)])
def test_a_failed_answer_is_an_error(fake: httpx.Client, prompt: str, status: int) -> None:
    answer = fake.post("/", json={"prompt": prompt})
    assert answer.status_code == status
    assert "The log:" not in error_of(answer)["message"]
    assert fake.post("/", json={"prompt": "x"}).json()["response"] == "x1 x2 x3 x4 x5 "  # also by a new process


def test_the_state_brings_an_ended_model_back(fake: httpx.Client) -> None:
    assert fake.post("/", json={"prompt": "crash"}).status_code == 503
    assert fake.get("/health").status_code == 503
    eventually(lambda: fake.get("/health").status_code == 200)


def test_a_foreign_host_is_refused(shared_fake: httpx.Client) -> None:
    port = shared_fake.base_url.port
    for host in (f"localhost:{port}", "localhost", "127.0.0.1", f"[::1]:{port}", "192.168.1.7"):
        assert shared_fake.get("/health", headers={"Host": host}).status_code == 200
    for host in ("attacker.example", f"attacker.example:{port}", "localhost.attacker.example", "", "[", "1.2.3.4.5:1"):
        answer = shared_fake.get("/health", headers={"Host": host})
        assert error_of(answer)["code"] == "foreign_host", host


def test_a_key_guards_everything_but_the_pages_and_the_state(fake_model: None) -> None:
    with served(HostKey(), Settings(key=KEY)) as client:
        for given in (None, "Bearer wrong", f"Bearer {KEY}x", f"Basic {KEY}", KEY, "Bearer", "Bearer \xe4"):
            headers = {"Authorization": given.encode("latin-1")} if given else {"Authorization": ""}
            for method, path in (("POST", "/"), ("GET", "/metrics"), ("GET", "/nothing"), ("POST", "/health")):
                answer = client.request(method, path, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
                assert error_of(answer)["code"] == "invalid_api_key"
            for path in ("/", "/health", "/docs", "/openapi.json", "/static/swagger/swagger-ui.css"):
                assert client.get(path, headers=headers).status_code == 200
        assert client.post("/", json={"prompt": "x"}).status_code == 200
        assert client.get("/metrics").status_code == 200
        assert KEY not in client.get("/").text


def test_pages_of_other_origins_are_kept_out_unless_named(fake_model: None, shared_fake: httpx.Client) -> None:
    asks = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in shared_fake.options("/", headers=asks).headers
    with served(HostKey(), Settings(key=KEY, origins=["https://a.example"])) as client:
        asks["Access-Control-Request-Headers"] = "authorization, content-type"
        answer = client.options("/", headers=asks)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        answer = client.options("/", headers=asks | {"Origin": "https://b.example"})
        assert "access-control-allow-origin" not in answer.headers


def test_pages_explain_the_server_in_both_languages_from_its_own_files(shared_fake: httpx.Client) -> None:
    chinese = shared_fake.get("/", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert "发布的接口" in chinese.text
    assert chinese.headers["content-language"] == "zh"
    english = shared_fake.get("/", headers={"Accept-Language": "de, en;q=0.5"})
    assert "Ask as published" in english.text
    assert f"curl {str(shared_fake.base_url).rstrip('/')}/" in english.text
    docs = shared_fake.get("/docs").text
    assert "http" not in docs.replace("<!DOCTYPE html>", "")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert f"static/swagger/{name}" in docs
        assert shared_fake.get(f"/static/swagger/{name}").status_code == 200
    assert shared_fake.get("/openapi.json").json()["openapi"] == "3.0.3"


def test_the_preferred_language_is_found() -> None:
    assert preferred("", ["en", "zh"]) == "en"
    assert preferred("fr;q=x, zh;q=0.1", ["en", "zh"]) == "zh"
    assert preferred("zh;q=0.2, EN-gb;q=0.3", ["en", "zh"]) == "en"


def test_the_server_listens_while_the_model_loads(fake_model: None) -> None:
    with served(HostKey("slow"), ready=False) as client:
        answer = client.get("/health")
        assert answer.status_code == 503
        assert "not ready" in error_of(answer)["message"]
        assert client.get("/").status_code == 200
        assert client.get("/metrics").status_code == 200


def test_a_model_that_cannot_be_loaded_is_an_error_for_every_request(fake_model: None) -> None:
    with served(HostKey("missing"), ready=False) as client:
        answer = client.post("/", json={"prompt": "x"})
        assert answer.status_code == 500
        assert "no folder named missing" in error_of(answer)["message"]


def test_the_device_is_held_while_the_server_lives(fake_model: None) -> None:
    with served(HostKey()):
        assert servers("cpu") == f"a server (process {os.getpid()})"
    assert holder("cpu") is None


def test_a_client_that_goes_away_stops_its_answer(fake: httpx.Client) -> None:
    with pytest.raises(httpx.ReadTimeout):
        fake.post("/", json={"prompt": "slow"}, timeout=0.5)
    eventually(lambda: "fastglm_open_answers 0.0" in fake.get("/metrics").text)
    assert fake.post("/", json={"prompt": "large"}, timeout=20).status_code == 200  # the model gives it alone


def test_too_many_requests_are_refused(fake_model: None) -> None:
    with served(HostKey(), Settings(limit=1)) as client:
        slow = threading.Thread(target=_give_up, args=(client.base_url,))
        slow.start()
        eventually(lambda: "fastglm_open_answers 1.0" in client.get("/metrics").text)
        answer = client.post("/", json={"prompt": "x"})
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"
        assert error_of(answer)["type"] == "rate_limit_error"
        slow.join()
        eventually(lambda: client.post("/", json={"prompt": "x"}).status_code == 200)


def _give_up(url: httpx.URL) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, json={"prompt": "slow"}, timeout=2)


def test_an_answer_ends_with_its_deadline(fake_model: None) -> None:
    with served(HostKey(), Settings(deadline=0.5)) as client:
        answer = client.post("/", json={"prompt": "slow"})
        assert answer.status_code == 504
        assert error_of(answer)["code"] == "deadline"


def test_a_stop_lets_answers_finish(fake_model: None) -> None:
    answers: list[httpx.Response] = []

    def ask(url: httpx.URL) -> None:
        answers.append(httpx.post(url, json={"prompt": "long"}, timeout=60))

    with served(HostKey()) as client:
        asking = threading.Thread(target=ask, args=(client.base_url,))
        asking.start()
        eventually(
            lambda: (
                "fastglm_waiting_answers 0.0" in client.get("/metrics").text
                and "fastglm_open_answers 1.0" in client.get("/metrics").text
            )
        )
        client.close()
    asking.join()
    assert answers[0].status_code == 200
    assert answers[0].json()["response"].endswith("long50 ")


def test_half_a_body_disturbs_nobody(shared_fake: httpx.Client) -> None:
    address = (shared_fake.base_url.host, shared_fake.base_url.port)
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    with socket.create_connection(address) as left, socket.create_connection(address) as open_:
        left.sendall(head)
        open_.sendall(head[:20])
        left.close()
        assert shared_fake.post("/", json={"prompt": "x"}).status_code == 200


def test_figures_count_requests_and_tokens(fake: httpx.Client) -> None:
    fake.post("/", json={"prompt": "xyz"})
    fake.post("/", json={})
    text = fake.get("/metrics").text
    for line in (
        'fastglm_requests_total{path="/",status="200"} 1.0',
        'fastglm_requests_total{path="/",status="400"} 1.0',
        "fastglm_prompt_tokens_total 3.0",
        "fastglm_answer_tokens_total 5.0",
        "fastglm_ttft_seconds_count 1.0",
        "fastglm_time_per_token_seconds_count 1.0",
        'fastglm_memory_bytes{kind="weights"} 28.0',
    ):
        assert line in text


def test_the_key_is_read_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert read_key(file, {"FASTGLM_API_KEY": "other"}) == KEY
    assert read_key(None, {"FASTGLM_API_KEY": "other"}) == "other"
    assert read_key(None, {}) is None
    for content in ("", " \n", "two words", "钥匙", "x" * 5000):
        file.write_text(content)
        with pytest.raises(UsageError):
            read_key(file, {})
    with pytest.raises(UsageError, match="cannot be read"):
        read_key(tmp_path / "missing", {})
    with pytest.raises(UsageError, match="FASTGLM_API_KEY holds no key"):
        read_key(None, {"FASTGLM_API_KEY": ""})


def test_an_address_for_others_needs_a_key() -> None:
    for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost"):
        check_exposure(host, None, False)
    for host in ("0.0.0.0", "::", "192.168.1.7", "a.example"):
        with pytest.raises(UsageError, match="Without a key"):
            check_exposure(host, None, False)
        check_exposure(host, KEY, False)
        check_exposure(host, None, True)
