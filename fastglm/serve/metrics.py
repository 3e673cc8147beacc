"""Figures of a server for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastglm.generation.piece import Piece
from fastglm.system.memory import Memory

_TTFT = tuple(round(0.02 * 2 ** (step / 2), 3) for step in range(27))  # seconds, to 164
_PER_TOKEN = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56)


class Metrics:
    """Counts requests, tokens and times."""

    def __init__(self, limit: int) -> None:
        """`limit` is the largest number of answers that may run or wait."""
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("fastglm_requests", "Requests answered.", ["path", "status"], registry=registry)
        self._prompt = Counter("fastglm_prompt_tokens", "Tokens of prompts.", registry=registry)
        self._reused = Counter(
            "fastglm_reused_tokens", "Tokens of prompts that were not read again.", registry=registry
        )
        self._answer = Counter("fastglm_answer_tokens", "Tokens of answers.", registry=registry)
        self.open = Gauge("fastglm_open_answers", "Answers that run or wait.", registry=registry)
        most = Gauge("fastglm_most_open_answers", "Answers that may run or wait; more are refused.", registry=registry)
        most.set(limit)
        self._slots = Gauge("fastglm_slots", "Answers that hold keys and values.", registry=registry)
        self.waiting = Gauge("fastglm_waiting_answers", "Answers without a token yet.", registry=registry)
        self._ttft = Histogram("fastglm_ttft_seconds", "Time to the first token.", buckets=_TTFT, registry=registry)
        self._per_token = Histogram(
            "fastglm_time_per_token_seconds",
            "Mean time between the tokens of an answer after the first.",
            buckets=_PER_TOKEN,
            registry=registry,
        )
        self._memory = Gauge("fastglm_memory_bytes", "Memory of the model's process.", ["kind"], registry=registry)

    def saw(self, piece: Piece) -> None:
        """Count a piece of an answer."""
        self._answer.inc()
        if piece.tokens == 1:
            self._prompt.inc(piece.prompt_tokens)
            self._reused.inc(piece.reused_tokens)
            self._ttft.observe(piece.ttft)
        if piece.stop and (rate := piece.decode_rate):
            self._per_token.observe(1 / rate)

    def text(self, memory: Memory | None, slots: int) -> bytes:
        """All figures in Prometheus' text format, with the memory and the slots of the model's process."""
        self._slots.set(slots)
        if memory:
            for kind in ("weights", "cache", "current", "peak"):
                self._memory.labels(kind).set(getattr(memory, kind))
        return generate_latest(self._registry)

    def counting(self, app: ASGIApp) -> ASGIApp:
        """An app whose requests are counted by address and status."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route = scope.get("route")
                    self._requests.labels(getattr(route, "path", "other"), message["status"]).inc()
                await send(message)

            await app(scope, receive, sending if scope["type"] == "http" else send)

        return counted
