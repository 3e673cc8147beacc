"""Host processes and their clients, with a model that does what the prompt says (`fake_host.py`)."""

import errno
import threading
import time
from pathlib import Path

import psutil
import pytest
from hosting import evaluated, eventually, gone

import fastglm.hosting.device_share
from fastglm.errors import (
    CancelledError,
    CheckpointError,
    ContextError,
    HomeError,
    HostError,
    MemoryShortError,
    UsageError,
)
from fastglm.hosting.host import Host
from fastglm.hosting.lease import lease
from fastglm.messages import Message
from fastglm.progress.progress import Progress

pytestmark = pytest.mark.usefixtures("fake_launch")


def test_start_relays_progress_and_tells_what_is_loaded() -> None:
    seen: list[Progress] = []
    given = {"cache": "int8", "adapter": "/a/prefix", "restricted": True, "threads": 1, "progress": seen.append}
    with Host.start("demo", "int4", "cpu", "fp32", **given) as host:
        assert [p.stage for p in seen] == ["start", "weights", "weights"]
        assert host.alive
        assert host.info.threads == 1
        assert (host.info.model, host.info.variant, host.info.dtype) == ("demo", "int4", "fp32 restricted")
        assert (host.info.cache, host.info.adapter) == ("int8", "/a/prefix")
        assert str(host.key) == "demo as int4 with /a/prefix"
        assert host.info.notes == ["a note"]
        assert psutil.pid_exists(host.info.pid)
        pid = host.info.pid
    assert gone(pid)
    assert not host.alive
    host.close()  # once more does no harm


def test_pieces_arrive_as_they_were_sent(host: Host) -> None:
    answer = host.ask("x")
    pieces = list(answer)
    assert [p.text for p in pieces] == ["x1 ", "x1 x2 ", "x1 x2 x3 ", "x1 x2 x3 x4 ", "x1 x2 x3 x4 x5 "]
    assert [p.tokens for p in pieces] == [1, 2, 3, 4, 5]
    assert [p.stop for p in pieces] == [None] * 4 + ["length"]
    assert pieces[-1] == answer.piece
    assert list(answer) == pieces  # again, from the start
    assert answer.state == "done"
    assert answer.error is None
    assert answer.wait(0)


def test_text_that_changes_at_its_end_is_rebuilt(host: Host) -> None:
    answer = host.ask("rewrite")
    assert [p.text for p in answer] == ["a", "a,", "a，b", "", "new", "ne"]
    assert answer.piece is not None
    assert answer.piece.text == "ne"


def test_history_and_settings_reach_the_model(host: Host) -> None:
    history = [Message("user", "你好"), Message("assistant", "hello")]
    (piece,) = host.ask("history", history)
    assert piece.text == repr(history)
    assert (piece.rounds_left_out, piece.cache_memory) == (3, 99)
    assert len(list(host.ask("x", count=9))) == 9


def test_a_function_is_applied_to_the_model_in_the_process(host: Host) -> None:
    seen: list[Progress] = []
    answer = host.ask("x", pause=0.02)
    eventually(lambda: answer.state == "running")
    assert host.apply(evaluated, "pid", progress=seen.append) == (host.info.pid, "int4", "tokenizer")
    assert answer.state == "done"  # it was not interrupted
    assert seen == [Progress("answer", 1, 2)]
    host.apply(evaluated, "pid")
    assert len(seen) == 1


def test_progress_that_raises_ends_the_call_and_leaves_the_host(host: Host) -> None:
    callers: list[threading.Thread] = []

    def stopped(_: Progress) -> None:
        callers.append(threading.current_thread())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        host.apply(evaluated, "pid", progress=stopped)
    assert callers == [threading.current_thread()]
    assert host.apply(evaluated, "pid")[0] == host.info.pid
    assert list(host.ask("x"))


def test_a_small_model_decodes_on_one_thread_and_is_evaluated_on_all() -> None:
    with Host.start("demo", "int4", "cpu", "fp32") as host:
        assert host.info.threads == 1
        for _ in range(2):
            assert host.apply(evaluated, "threads")[0] == 2  # of the fake torch


def test_errors_of_an_applied_function_are_passed_on(host: Host) -> None:
    with pytest.raises(UsageError, match=r"^another vocabulary$"):
        host.apply(evaluated, "usage")
    with pytest.raises(HostError, match=r"failed unexpectedly .ZeroDivisionError: a bug.*The log: "):
        host.apply(evaluated, "bug")
    assert list(host.ask("x"))
    with pytest.raises(HostError, match="signal 9"):
        host.apply(evaluated, "crash")


def test_memory_is_measured(host: Host) -> None:
    list(answer := host.ask("history"))
    measured = host.memory()
    assert (measured.weights, measured.cache) == (28, 99)
    assert measured.peak >= measured.current > 1_000_000
    assert answer.memory is not None
    assert answer.memory.cache == 99
    host.reset_peak()
    measured = host.memory()
    assert measured.peak >= measured.current


@pytest.mark.parametrize("prompt", ["x", "prefill"])
def test_cancel_stops_and_the_next_answer_works(host: Host, prompt: str) -> None:
    answer = host.ask(prompt, pause=0.02, count=100_000)
    eventually(lambda: answer.state == "running" and (answer.piece or prompt == "prefill"))
    time.sleep(0.2)
    answer.cancel()
    assert answer.wait(20)
    assert answer.state == "cancelled"
    answer.cancel()  # too late to matter
    assert len(list(host.ask("y"))) == 5


def test_cancel_right_after_asking(host: Host) -> None:
    for pause in (0, 0.0001, 0.001):
        answers = [host.ask("x", count=1_000_000) for _ in range(5)]
        for answer in answers:
            time.sleep(pause)
            answer.cancel()
        for answer in answers:
            assert answer.wait(60)
            assert answer.state == "cancelled"
    assert len(list(host.ask("y"))) == 5


@pytest.mark.parametrize(
    ("prompt", "error", "line"),
    [
        ("context", ContextError, "too long; shorten it"),
        (
            "memory",
            MemoryShortError,
            "Answering took more memory than there is: clear the conversation, or pick a smaller variant.",
        ),
        ("bug", HostError, "Answering failed unexpectedly (ZeroDivisionError: a bug). The log: "),
    ],
)
def test_a_failed_answer_leaves_the_host_usable(host: Host, prompt: str, error: type[Exception], line: str) -> None:
    answer = host.ask(prompt)
    with pytest.raises(error) as caught:
        list(answer)
    assert type(caught.value) is error
    assert str(caught.value).startswith(line)
    assert answer.state == "failed"
    assert answer.error == str(caught.value)
    assert "\n" not in answer.error
    assert len(list(host.ask("x"))) == 5


def test_an_unexpected_error_is_in_the_log(home: Path, host: Host) -> None:
    answer = host.ask("bug")
    answer.wait(60)
    host.close()
    (log,) = (home / "logs").iterdir()
    assert str(log) in (answer.error or "")
    assert 'ZeroDivisionError("a bug")' in log.read_text()


def test_no_log_stays_where_nothing_failed(home: Path, host: Host) -> None:
    host.ask("x").wait(60)
    host.close()
    assert list((home / "logs").iterdir()) == []


@pytest.mark.parametrize(
    ("model", "error", "line"),
    [
        ("missing", CheckpointError, "no folder named missing; check the path"),
        ("big", MemoryShortError, "big needs 9 GB and 1 GB are free"),
        ("bug", HostError, "Loading bug as int4 failed unexpectedly (KeyError: 'transformer.word_embeddings.weight"),
        ("out", MemoryShortError, "Loading out as int4 took more memory than there is: pick a smaller variant."),
        ("dies", HostError, "The process that ran dies as int4 ended (signal 9"),
        (
            "exits",
            HostError,
            "The process that ran exits as int4 ended (exit status 3: last words): ask again",
        ),
    ],
)
def test_errors_of_loading_cross(model: str, error: type[Exception], line: str) -> None:
    with pytest.raises(error) as caught:
        Host.start(model, "int4")
    assert type(caught.value) is error
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    if isinstance(caught.value, MemoryShortError) and model == "big":
        assert (caught.value.needed, caught.value.free) == (9, 1)


def test_progress_can_stop_loading() -> None:
    def stop(progress: Progress) -> None:
        if progress.stage == "slow":
            raise CancelledError("enough")

    before = psutil.Process().children()  # other tests' processes may still be there
    with pytest.raises(CancelledError, match="enough"):
        Host.start("slow", progress=stop)
    assert not set(psutil.Process().children()) - set(before)


def test_an_answer_waits_for_a_device_in_use_and_says_for_whom(host: Host) -> None:
    with lease("cpu", "a benchmark", exclusive=True):
        assert len(list(host.ask("x", lease=False))) == 5
        given_up, answer = host.ask("y"), host.ask("z", pause=0.01, count=100_000)
        eventually(lambda: given_up.state == "waiting")
        assert given_up.waiting_for == "a benchmark"
        given_up.cancel()
        assert given_up.wait(60)
        assert given_up.state == "cancelled"
        eventually(lambda: answer.state == "waiting")
    eventually(lambda: answer.state == "running")
    assert answer.waiting_for == ""


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("a bug"), HomeError("it is full")]
)
def test_a_failure_before_an_answer_ends_it_and_the_next_has_its_turn(
    host: Host, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(fastglm.hosting.device_share, "lease", failing)
        answer = host.ask("x")
        assert answer.wait(60)
    assert answer.state == "failed"
    assert str(error) in (answer.error or "")
    assert host.ask("x").wait(60)
