"""A scripted OpenAI server in a thread of this process, which notes the requests that it gets."""

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


@dataclass
class FakeOpenAI:
    """Answers with as many chunks as `max_tokens`, two characters a token, `pause` seconds apart."""

    models: list[str] = field(default_factory=lambda: ["glm"])
    key: str | None = None
    pause: float = 0.001
    first: float = 0.0  # seconds before the first chunk
    refused: tuple[str, ...] = ()  # fields that a request may not have
    usage: bool = True
    tokens_of_a_chunk: int = 1
    fails: dict[int, str] = field(default_factory=dict)  # by request: "status", "error", "cut", "nonsense", "mute"
    asked: list[dict[str, Any]] = field(default_factory=list)
    at_work: int = 0
    most_at_work: int = 0
    url: str = ""
    loading: int = 0  # looks at its health until it is ready

    def app(self) -> Starlette:
        posts = [Route("/v1/chat/completions", self.answer, methods=["POST"])]
        return Starlette(routes=[Route("/v1/models", self.list_models), Route("/health", self.health), *posts])

    async def health(self, _: Request) -> Response:
        self.loading -= 1
        return JSONResponse({}, 503 if self.loading > 0 else 200)

    async def list_models(self, request: Request) -> Response:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return JSONResponse({"error": {"message": "no such key"}}, 401)
        return JSONResponse({"object": "list", "data": [{"id": name} for name in self.models]})

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        if unknown := [name for name in self.refused if name in body]:
            return JSONResponse({"error": {"message": f"unknown field {unknown[0]}"}}, 400)
        self.asked.append(body)
        fault = self.fails.get(len(self.asked) - 1) or self.fails.get(-1, "")
        if fault == "status":
            return JSONResponse({"error": {"message": "too many requests"}}, 429)
        return StreamingResponse(self.stream(body, fault), media_type="text/event-stream")

    async def stream(self, body: dict[str, Any], fault: str) -> AsyncIterator[str]:
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            async for chunk in self.chunks(body, fault):
                yield f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk, ensure_ascii=False)}\n\n"
        finally:
            self.at_work -= 1

    async def chunks(self, body: dict[str, Any], fault: str) -> AsyncIterator[Any]:
        yield _chunk({"role": "assistant", "content": ""})
        await asyncio.sleep(self.first)
        for number in range(body["max_tokens"]):
            if number == 1 and fault == "error":
                yield {"error": {"message": "out of memory"}}
                return
            if number == 1 and fault == "cut":
                return
            if number == 1 and fault == "nonsense":
                yield "[1, 2"
            if fault != "mute":
                yield _chunk({"content": "一\u2028"})  # a line's end to Python, none to this protocol
            await asyncio.sleep(self.pause)
        yield _chunk({}, "stop")
        if self.usage and body.get("stream_options", {}).get("include_usage"):
            read = 5 + len(body["messages"][0]["content"]) // 2
            made = body["max_tokens"] * self.tokens_of_a_chunk
            yield {"choices": [], "usage": {"prompt_tokens": read, "completion_tokens": made}}
        yield "[DONE]"


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


@contextmanager
def running(fake: FakeOpenAI) -> Iterator[FakeOpenAI]:
    """Serve at a free port in the block."""
    server = uvicorn.Server(uvicorn.Config(fake.app(), port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
        fake.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield fake
    finally:
        server.should_exit = True
        thread.join()


def main(arguments: list[str]) -> None:
    """Stand in for `fastglm serve`: serve at the port of `--port`, or end with an error for the variant `int8`."""
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    if given["--variant"] == "int8":
        raise SystemExit("loading …\nerror: too little memory for int8")
    fake = FakeOpenAI([given["--model"]])
    fake.loading = 3
    uvicorn.run(fake.app(), port=int(given["--port"]), log_level="critical", lifespan="off")


if __name__ == "__main__":
    main(sys.argv[1:])
