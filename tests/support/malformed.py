"""Malformed requests to a server, as bytes for a socket, each with the statuses that fit it."""

import json
from dataclasses import dataclass
from typing import Any

ASK, CHAT, COMPLETE = "/", "/v1/chat/completions", "/v1/completions"
_HOST = "Host: localhost\r\n"
_JSON = "Content-Type: application/json\r\n"
_HI = {"role": "user", "content": "hi"}


@dataclass(frozen=True)
class Malformed:
    """A request that must be refused with one of these statuses, alone and while others are answered."""

    name: str
    data: bytes
    statuses: tuple[int, ...] = (400,)


def post(path: str, content: bytes, headers: str = _HOST + _JSON) -> bytes:
    """A whole request with a body."""
    return f"POST {path} HTTP/1.1\r\n{headers}Content-Length: {len(content)}\r\n\r\n".encode() + content


def _raw(path: str, content: bytes) -> Malformed:
    name = content if len(content) < 40 else content[:30] + b"... of %d" % len(content)
    return Malformed(f"{path} {name!r}", post(path, content))


def _fields(path: str, **fields: Any) -> Malformed:
    return Malformed(f"{path} {repr(fields)[:60]}", post(path, json.dumps(fields).encode()))


def _ask(**fields: Any) -> Malformed:
    return _fields(ASK, **({"prompt": "hi"} | fields))


def _chat(**fields: Any) -> Malformed:
    return _fields(CHAT, **({"messages": [_HI], "max_tokens": 2} | fields))


def _complete(**fields: Any) -> Malformed:
    return _fields(COMPLETE, **({"prompt": "hi", "max_tokens": 2} | fields))


def _nested(depth: int) -> bytes:
    return b'{"prompt": "hi", "history": ' + b"[" * depth + b"]" * depth + b"}"


def _deep_tool(depth: int) -> bytes:
    inner = b'{"a": ' * depth + b"1" + b"}" * depth
    return (
        b'{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, '
        b'"tools": [{"type": "function", "function": {"name": "f", "parameters": ' + inner + b"}}]}"
    )


def _head(line: str, headers: str = _HOST, body: str = "") -> bytes:
    return f"{line}\r\n{headers}\r\n{body}".encode("latin-1")


NOT_JSON = [
    _raw(ASK, content)
    for content in (
        b"",
        b" \n\t",
        b"{",
        b"null",
        b"true",
        b"[]",
        b'"hi"',
        b"1e999",
        b"{'prompt': 'hi'}",
        b'{"prompt": "hi",}',
        b'{"prompt": "hi"} {}',
        b'{"prompt": "hi"}\x00',
        b'{"prompt": "hi", // no\n "history": []}',
        b'{"prompt": "\x01\x02"}',
        b'{"prompt": "\xff\xfe"}',
        b'{"prompt": "\xed\xa0\x80"}',
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "\\udfff\\ud800"}',
        b'{"prompt": "hi", "history": [["a", "\\ud83d"]]}',
        b'{"prompt": "hi", "temperature": NaN}',
        b'{"prompt": "hi", "temperature": -Infinity}',
        b'{"prompt": "hi", "max_length": ' + b"9" * 5000 + b"}",
        b'{"prompt": "hi", "max_length": 1e400}',
        *map(_nested, (200, 900, 985, 2_000, 100_000)),
        b'{"prompt": "hi", "history": ' + b'{"a":' * 950 + b"1" + b"}" * 951,
        b'{"prompt": "hi", "history": [' + b"1," * 1_000_000 + b"1]}",
        b'{"prompt": "hi", ' + b", ".join(b'"%d": 1' % number for number in range(200_000)) + b"}",
    )
] + [
    _raw(CHAT, content)
    for content in (
        b'{"messages": [' + b"1," * 1_000_000 + b"1]}",
        b'{"messages": [{"role": "user", "content": "hi", '
        + b", ".join(b'"%d": 1' % number for number in range(200_000))
        + b"}]}",
        b'{"messages": [{"role": "user", "content": "\\udc00"}]}',
        b'{"messages": [{"role": "user", "content": NaN}]}',
        *map(_deep_tool, (120, 480, 950, 5_000)),
        b'{"messages": [{"role": "user", "content": "hi"}], "logit_bias": {'
        + b", ".join(b'"x%d": 1' % number for number in range(200_000))
        + b"}}",
    )
]

WRONG_FIELDS = [
    _fields(ASK),
    _ask(prompt=None),
    _ask(prompt=1),
    _ask(prompt=["hi"]),
    _ask(prompt={"text": "hi"}),
    _ask(history="hi"),
    _ask(history=[["hi"]]),
    _ask(history=[["hi", None]]),
    _ask(history=[["hi", "a", "b"]]),
    _ask(history=[{"role": "nobody", "content": "hi"}]),
    _ask(history=[{"role": "user", "content": {"a": []}}]),
    _ask(max_length=0),
    _ask(max_length=-(2**70)),
    _ask(max_length=True),
    _ask(max_length="9"),
    _ask(max_length=9.5),
    _ask(top_p=0),
    _ask(top_p=1.5),
    _ask(temperature=-0.1),
    _ask(temperature=1e300),
    _ask(num_beams=4),
    _ask(**{"prompt ": "hi"}),
    _ask(**{"__class__": "x"}),
    _chat(messages=[]),
    _chat(messages=None),
    _chat(messages={}),
    _chat(messages=[None]),
    _chat(messages=[[_HI]]),
    _chat(messages=[{"role": "user"}]),
    _chat(messages=[{"role": "user", "content": None}]),
    _chat(messages=[{"role": "user", "content": 5}]),
    _chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a"}}]}]),
    _chat(messages=[{"role": "nobody", "content": "hi"}]),
    _chat(messages=[_HI, {"role": "assistant", "content": "yes"}]),
    _chat(messages=[{"role": "system", "content": "hi"}]),
    _chat(messages=[{**_HI, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}]),
    _chat(messages=[{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}]}]),
    _chat(messages=[{**_HI, "secret": 1}]),
    _chat(max_tokens=0),
    _chat(n=0),
    _chat(n=17),
    _chat(n=2**80),
    _chat(seed=2**63),
    _chat(stop=[""]),
    _chat(stop=["a"] * 17),
    _chat(stop=5),
    _chat(stream="yes"),
    _chat(stream_options={"include_usage": True}),
    _chat(logit_bias={"x": 1}),
    _chat(logit_bias={"-1": 1}),
    _chat(logit_bias={"999999999": 1}),
    _chat(logit_bias={"1": 101}),
    _chat(logit_bias=[1]),
    _chat(top_logprobs=3),
    _chat(logprobs=True, top_logprobs=21),
    _chat(response_format={"type": "xml"}),
    _chat(response_format={"type": "json_schema"}),
    _chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nothing"}}}),
    _chat(tools=[{"type": "function"}]),
    _chat(tools=[{"type": "function", "function": {"name": "two words"}}]),
    _chat(tools=[{"type": "function", "function": {"name": "f" * 65}}]),
    _chat(tool_choice="required"),
    _chat(unknown=False),
    _complete(prompt=None),
    _complete(prompt=[]),
    _complete(prompt=[[]]),
    _complete(prompt=["hi", 1]),
    _complete(prompt=[1, "hi"]),
    _complete(prompt=[True]),
    _complete(prompt=[-1]),
    _complete(prompt=[2**70]),
    _complete(prompt=["hi"] * 17),
    _complete(prompt={"a": 1}),
    _complete(echo=True),
    _complete(logprobs=21),
    Malformed("an unknown model", post(CHAT, json.dumps({"model": "gpt", "messages": [_HI]}).encode()), (404,)),
]


def _post_head(headers: str, body: str = "") -> bytes:
    return _head("POST / HTTP/1.1", _HOST + _JSON + headers, body)


BROKEN_HTTP = [
    Malformed("no host", _head("GET /health HTTP/1.1", "")),
    Malformed("two hosts", _head("GET /health HTTP/1.1", _HOST + _HOST)),
    Malformed("a foreign host", post(ASK, b"{}", "Host: attacker.example\r\n" + _JSON), (421,)),
    Malformed("another type", post(ASK, b'{"prompt": "hi"}', _HOST + "Content-Type: text/plain\r\n"), (415,)),
    Malformed("no type", post(ASK, b'{"prompt": "hi"}', _HOST), (415,)),
    Malformed("another method", _head("PUT / HTTP/1.1"), (405,)),
    Malformed("a method nobody knows", _head("BREW / HTTP/1.1"), (405,)),
    Malformed("GET of a POST address", _head(f"GET {CHAT} HTTP/1.1"), (405,)),
    Malformed("an unknown address", _head("GET /v1/nothing HTTP/1.1"), (404,)),
    Malformed("a path out of the server", _head("GET /static/swagger/../../../etc/passwd HTTP/1.1"), (404,)),
    Malformed("a hidden path", _head("GET /static/swagger/%2e%2e/%2e%2e/METADATA HTTP/1.1"), (404,)),
    Malformed("a null in a path", _head("GET /static/swagger/%00 HTTP/1.1"), (404,)),
    Malformed("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n"),
    Malformed("a line alone", b"hello\r\n\r\n"),
    Malformed("no version", _head("GET /")),
    Malformed("a space in a header's name", _head("GET / HTTP/1.1", _HOST + "a b: c\r\n")),
    Malformed("a control character in a header", _head("GET / HTTP/1.1", _HOST + "a: b\x00c\r\n")),
    Malformed("a header without end", f"GET / HTTP/1.1\r\n{_HOST}a: {'b' * 100_000}".encode()),
    Malformed("headers without end", f"GET / HTTP/1.1\r\n{_HOST}{_JSON * 3000}".encode()),
    Malformed("a path without end", f"GET /{'a' * 100_000}".encode()),
    Malformed("no number as a length", _post_head("Content-Length: x\r\n")),
    Malformed("a negative length", _post_head("Content-Length: -1\r\n")),
    Malformed("two lengths", post(ASK, b'{"prompt": "hi"}', _HOST + _JSON + "Content-Length: 3\r\n")),
    Malformed("a length too short", _post_head("Content-Length: 5\r\n", '{"prompt": 1}')),
    Malformed("a length without bound", _post_head(f"Content-Length: {2**80}\r\n"), (400, 413)),
    Malformed("a large length", _post_head(f"Content-Length: {1 << 30}\r\n"), (413,)),
    Malformed("no chunk", _post_head("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n")),
    Malformed("another encoding", _post_head("Transfer-Encoding: gzip\r\n", "ab"), (400, 501)),
    Malformed("a compressed body", post(ASK, b"\x1f\x8b\x08\x00", _HOST + _JSON + "Content-Encoding: gzip\r\n")),
]

# Data after whose last byte nothing comes: the server waits for a while, then gives up.
HALF_OPEN = [
    b"",
    b"\r\n",
    b"PO",
    b"POST / HTTP/1.1\r\nHost: local",
    _post_head("Content-Length: 100\r\n", '{"prompt": '),
    _post_head("Content-Length: 100\r\nExpect: 100-continue\r\n"),
    _post_head("Transfer-Encoding: chunked\r\n", '5\r\n{"pro'),
    _head("GET /health HTTP/1.1") + b"GET /health HT",
]

CORPUS = [*NOT_JSON, *WRONG_FIELDS, *BROKEN_HTTP]
