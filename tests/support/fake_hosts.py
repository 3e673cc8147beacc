"""Fakes of hosts, tokenizer and subject; the events of the hosts are written into a log."""

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from benchmarks.execution.request import Subject
from fastglm.errors import FastGLMError, HostError, MemoryShortError
from fastglm.evaluate.arithmetic import Arithmetic
from fastglm.evaluate.scoring import Findings, Judged, judge
from fastglm.evaluate.throughput import batch_time, ready_for_batches
from fastglm.generation.piece import Piece
from fastglm.hosting.protocol import HostInfo
from fastglm.progress.progress import Progress
from fastglm.system.memory import Memory

SPEEDS = {"original": 0.010, "fast": 0.005, "int8": 0.004, "int4": 0.002, "speculative": 0.003}  # s/token


class FakeTokenizer:
    """Makes one token per character, and two special tokens at the end of a prompt."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(character) for character in text]

    def build_inputs_with_special_tokens(self, ids: list[int]) -> list[int]:
        return [*ids, 1, 2]


@dataclass
class FakeAnswer:
    pieces: list[Piece]
    error: FastGLMError | None = None

    def wait(self, timeout: float | None = None) -> bool:
        time.sleep(float(os.environ.get("FAKE_ANSWER_TAKES", "0")))
        return True

    def __iter__(self) -> Any:
        yield from self.pieces
        if self.error:
            raise self.error


@dataclass
class FakeMachine:
    """Starts fake hosts and keeps the log; `room` is the number of hosts that fit into its memory."""

    room: int = 99
    folder: str | None = None  # the folder that variants are loaded from
    crash: dict[str, int] = field(default_factory=dict)  # number of the answer that kills a variant's host
    largest_batch: dict[str, int] = field(default_factory=dict)  # batch size at which a variant runs out of memory
    too_large: set[str] = field(default_factory=set)  # variants that never fit into memory
    log: list[tuple[str, str]] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)
    asked: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    noise: float = 0.1  # spread of the times of answers
    clock: Any = field(default_factory=itertools.count)
    load_time: float = 0.5
    pace: Callable[[], float] = lambda: 1.0  # spread of a process's times around its variant's
    on_load: Callable[[str], object] = lambda _variant: None

    def load(self, variant: str, progress: Any) -> "FakeHost":
        if len(self.loaded) >= self.room or variant in self.too_large:
            self.log.append(("no room", variant))
            raise MemoryShortError("2 GB are needed and 1 GB is free: pick a smaller variant", 2, 1)
        self.on_load(variant)
        self.log.append(("load", variant))
        self.loaded.add(variant)
        return FakeHost(self, variant)


class FakeHost:
    def __init__(self, machine: FakeMachine, variant: str) -> None:
        self.machine, self.variant, self.paused, self.pace = machine, variant, False, machine.pace()
        self.info = HostInfo(
            pid=1,
            model="demo",
            variant=variant,
            engine="fast",
            device="cpu",
            dtype="float32",
            parameters=1000,
            weights_memory=4000,
            load_time=machine.load_time,
            context_length=2048,
            folder=machine.folder,
        )

    def ask(self, prompt: list[int], *, max_new_tokens: int, lease: bool, **settings: Any) -> FakeAnswer:
        assert settings == {"do_sample": False, "ignore_eos": True}
        assert not lease
        assert not self.paused
        assert self.variant in self.machine.loaded
        self.machine.log.append(("ask", self.variant))
        asked = self.machine.asked.setdefault(self.variant, [])
        asked.append(tuple(prompt))
        if self.machine.crash.get(self.variant) == len(asked):
            return FakeAnswer([], HostError("the process that ran it ended (signal 11): ask again"))
        slow = self.pace * SPEEDS[self.variant] * (1 + self.machine.noise * (next(self.machine.clock) % 4))
        times = [len(prompt) / 1000 + slow * i for i in range(max_new_tokens)]
        more = {"cache_memory": 100, "acceptance": 0.75 if self.variant == "speculative" else None}
        pieces = [Piece("", 5, i + 1, len(prompt), at, times[0], **more) for i, at in enumerate(times)]
        return FakeAnswer(pieces)

    def apply(self, function: Any, *arguments: Any, progress: Any = None) -> Any:
        """Return an invented result of the real function."""
        assert self.variant in self.machine.loaded
        assert not self.paused
        work = {judge: self._judge, batch_time: self._batch, ready_for_batches: self._ready}[function]
        return work(*arguments, progress)

    def _ready(self, _progress: Any) -> None:
        self.machine.log.append(("ready", self.variant))

    def _batch(self, prompts: list[list[int]], tokens: int, _progress: Any) -> float:
        """Seconds of a batch: sequences share the weights, so four take half as long again as one."""
        self.machine.log.append(("batch", f"{self.variant} {len(prompts)}"))
        if len(prompts) >= self.machine.largest_batch.get(self.variant, 99):
            raise MemoryShortError("Evaluating took more memory than there is: pick a smaller variant.")
        return SPEEDS[self.variant] * tokens * (5 + len(prompts)) / 6

    def _judge(self, questions: list[Any], _longest: int, arithmetic: Arithmetic, progress: Any) -> Findings:
        """Judge every question alike; a host that crashes at its first answer crashes here."""
        if self.machine.crash.get(self.variant) == 1:
            raise HostError("the process that ran it ended (signal 11): ask again")
        progress(Progress("answer", len(questions), len(questions), "questions"))
        kl = (0.1, 0.2, 0.3, 0.4)
        judged = [Judged(f"you said: {asked[-1].content}", (0.5, 0.5, 0.5, 0.5), kl, 3) for asked, *_ in questions]
        return Findings(judged, arithmetic, "float32 on cpu")

    def memory(self) -> Memory:
        return Memory(4000, 100, 9000, 10000)

    def reset_peak(self) -> None:
        self.machine.log.append(("reset peak", self.variant))

    def pause(self) -> None:
        assert not self.paused
        self.paused = True
        self.machine.log.append(("pause", self.variant))

    def resume(self) -> None:
        self.paused = False
        self.machine.log.append(("resume", self.variant))

    def close(self) -> None:
        self.machine.loaded.discard(self.variant)
        self.machine.log.append(("close", self.variant))


def hosts_of(machine: FakeMachine) -> Any:
    """Replace `Host`, whose hosts are then the machine's."""
    return SimpleNamespace(start=lambda model, variant, device, progress, threads: machine.load(variant, progress))


def subject(model: str, device: str) -> Subject:
    """Replace `benchmarks.execution.request.read_subject`."""
    return Subject(FakeTokenizer(), 2048, "cpu")
