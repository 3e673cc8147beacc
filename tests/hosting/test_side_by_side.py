"""Several answers at once in one host, of a model that obeys the prompt (`fake_host.py`) and of a real one."""

import threading
import time

import pytest
from hosting import cache_held, evaluated, eventually, failing_step
from recorded import folder

from fastglm.errors import CancelledError, ContextError, HostError, UsageError
from fastglm.hosting.answer import Answer
from fastglm.hosting.host import Host
from fastglm.hosting.lease import holder, lease


def whole(prompt: str, count: int) -> str:
    """The text of an answer of `fake_host.py`."""
    return "".join(f"{prompt}{tokens} " for tokens in range(1, count + 1))


def test_threads_that_ask_at_once_are_answered_side_by_side(host: Host) -> None:
    answers: dict[str, Answer] = {}
    together = threading.Barrier(4)

    def ask(prompt: str) -> None:
        together.wait()
        answers[prompt] = host.ask(prompt, pause=0.005, count=100)

    threads = [threading.Thread(target=ask, args=[prompt]) for prompt in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: all(answer.piece for answer in answers.values()))
    assert [answer.state for answer in answers.values()] == ["running"] * 4
    for prompt, answer in answers.items():
        pieces = list(answer)
        assert [piece.tokens for piece in pieces] == list(range(1, 101))
        assert pieces[-1].text == whole(prompt, 100)


@pytest.mark.parametrize("victim", ["slow", "prefill"])
def test_a_cancelled_answer_leaves_the_others(host: Host, victim: str) -> None:
    others = [host.ask(prompt, pause=0.005, count=100) for prompt in "ab"]
    cancelled = host.ask(victim)
    eventually(lambda: cancelled.piece or victim == "prefill")
    time.sleep(0.1)
    cancelled.cancel()
    assert cancelled.wait(20)
    assert cancelled.state == "cancelled"
    for prompt, answer in zip("ab", others, strict=True):
        assert [piece.tokens for piece in answer] == list(range(1, 101))
        assert answer.piece
        assert answer.piece.text == whole(prompt, 100)


@pytest.mark.parametrize(("victim", "error"), [("context", ContextError), ("bug", HostError)])
def test_a_failed_answer_leaves_the_others(host: Host, victim: str, error: type[Exception]) -> None:
    others = [host.ask(prompt, pause=0.005, count=100) for prompt in "ab"]
    with pytest.raises(error):
        list(host.ask(victim))
    for prompt, answer in zip("ab", others, strict=True):
        assert [piece.text for piece in answer][-1] == whole(prompt, 100)


def test_a_host_counts_its_answers_and_their_slots(host: Host) -> None:
    assert (host.running, host.waiting, host.slots) == (0, 0, 0)
    first, second = host.ask("slow"), host.ask("slow")
    eventually(lambda: first.piece and second.piece)
    large = host.ask("large")  # finds no memory beside others
    eventually(lambda: large.state == "queued")
    assert (host.running, host.waiting, host.slots) == (2, 1, 2)
    first.cancel()
    assert first.wait(20)
    assert (host.running, host.waiting) == (1, 1)
    assert host.slots <= 2  # 2: it was tried once more
    second.cancel()
    assert large.wait(60)
    assert (host.running, host.waiting, host.slots) == (0, 0, 0)


def test_a_slow_reader_holds_up_nobody(host: Host) -> None:
    slow = iter(answer := host.ask("a", count=5_000))
    assert next(slow).tokens == 1  # and no further piece is read
    other = host.ask("b", count=5_000)
    assert other.wait(60)
    assert answer.wait(60)
    assert [piece.tokens for piece in slow] == list(range(2, 5_001))


def test_a_host_holds_one_lease_for_all_its_answers(host: Host) -> None:
    first, second = host.ask("slow"), host.ask("slow")
    eventually(lambda: first.piece and second.piece)
    assert holder("cpu") == "an answer of demo as int4"
    first.cancel()
    assert first.wait(20)
    assert holder("cpu") == "an answer of demo as int4"
    second.cancel()
    eventually(lambda: holder("cpu") is None)


def test_one_who_wants_the_device_alone_waits_for_running_answers_only(host: Host) -> None:
    running = host.ask("slow")
    eventually(lambda: running.piece)
    entered, leaves = threading.Event(), threading.Event()

    def benchmark() -> None:
        with lease("cpu", "a benchmark", exclusive=True):
            entered.set()
            leaves.wait(60)

    thread = threading.Thread(target=benchmark)
    thread.start()
    eventually(lambda: "a benchmark" in (holder("cpu") or ""))
    late = host.ask("x")
    eventually(lambda: late.state == "waiting")
    assert late.waiting_for == "a benchmark"
    assert not entered.wait(0.2)
    assert late.piece is None
    running.cancel()
    assert entered.wait(20)
    assert not late.wait(0.2)
    assert (late.state, late.piece) == ("waiting", None)
    leaves.set()
    assert late.wait(60)
    assert late.state == "done"
    thread.join()


def test_an_answer_joins_those_that_run_when_one_who_waited_for_the_device_gave_up(host: Host) -> None:
    running = host.ask("slow")
    eventually(lambda: running.piece)
    late: list[Answer] = []

    def give_up(_: str) -> None:
        late.append(host.ask("x") if not late else late[0])
        if late[0].state == "waiting":
            raise CancelledError("enough")

    with pytest.raises(CancelledError), lease("cpu", "a benchmark", exclusive=True, on_wait=give_up):
        pass
    assert late[0].wait(20)
    assert (late[0].state, running.state) == ("done", "running")


def test_a_function_is_applied_between_the_answers_before_and_after_it(host: Host) -> None:
    before = [host.ask(prompt, pause=0.01, count=30) for prompt in "ab"]
    eventually(lambda: all(answer.piece for answer in before))
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(bool(host.apply(evaluated, "pid"))))
    thread.start()
    time.sleep(0.05)
    after = host.ask("c")
    time.sleep(0.05)
    assert (after.piece, seen) == (None, [])
    given_up = host.ask("d")
    given_up.cancel()
    assert given_up.wait(20)
    assert not before[0].over
    thread.join(60)
    assert seen == [True]
    assert [answer.state for answer in before] == ["done"] * 2
    assert after.wait(60)
    assert [piece.text for piece in after][-1] == whole("c", 5)


def test_an_answer_without_memory_waits_for_those_that_run(host: Host) -> None:
    running = host.ask("slow")
    eventually(lambda: running.piece)
    large = host.ask("large")
    time.sleep(0.2)
    assert large.state == "queued"
    given_up, next_one = host.ask("x"), host.ask("x")
    assert large.ahead == 1
    time.sleep(0.1)
    given_up.cancel()
    assert given_up.wait(20)
    assert given_up.state == "cancelled"
    assert (large.state, next_one.piece) == ("queued", None)
    running.cancel()
    assert large.wait(60)
    assert next_one.wait(60)
    assert (large.state, next_one.state) == ("done", "done")


def test_a_real_model_gives_each_of_several_threads_the_text_that_it_gives_alone() -> None:
    prompts = ["你好", "Hello", "晚上睡不着应该怎么办", "one two three"]
    together: dict[str, Answer] = {}

    def ask(prompt: str, tokens: int = 60) -> Answer:
        together[prompt] = host.ask(prompt, max_new_tokens=tokens, do_sample=False, ignore_eos=True)
        return together[prompt]

    with Host.start(folder("chatglm"), "fast", "cpu", "float32") as host:
        alone = {prompt: list(ask(prompt)) for prompt in prompts}
        host.pause()  # so that none ends before the last is asked
        threads = [threading.Thread(target=ask, args=[prompt]) for prompt in prompts]
        for thread in threads:
            thread.start()
        cancelled = ask("Good morning", 240)
        failing = host.ask([10**6], max_new_tokens=60)
        for thread in threads:
            thread.join()
        host.resume()
        eventually(lambda: cancelled.piece)
        cancelled.cancel()
        with pytest.raises(UsageError, match="outside the vocabulary"):
            list(failing)
        for prompt in prompts:
            pieces = list(together[prompt])
            assert [piece.token for piece in pieces] == [piece.token for piece in alone[prompt]]
            assert pieces[-1].text == alone[prompt][-1].text
        assert cancelled.wait(60)
        assert cancelled.state == "cancelled"
        assert cancelled.piece
        assert 0 < cancelled.piece.tokens < 240


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_stopped_answer_of_a_real_model_frees_its_slot_within_a_step(has_begun: bool) -> None:
    with Host.start(folder("glm4"), "fast", "cpu", "float32") as host:
        running = host.ask("Hello", max_new_tokens=100_000, max_length=110_000, do_sample=False, ignore_eos=True)
        eventually(lambda: running.piece)
        prompt = [5 + place % 600 for place in range(100 if has_begun else 30_000)]
        stopped = host.ask(prompt, max_new_tokens=5_000, max_length=110_000, ignore_eos=True)
        eventually(lambda: stopped.piece if has_begun else host.slots == 2)
        assert (host.running, host.waiting, host.slots) == ((2, 0, 2) if has_begun else (1, 1, 2))
        stopped.cancel()
        assert stopped.wait(60)
        known = running.piece.tokens if running.piece else 0
        assert (stopped.state, host.slots, host.running, host.waiting) == ("cancelled", 1, 1, 0)
        eventually(lambda: running.piece and running.piece.tokens > known + 5)
        assert not running.over


def test_an_error_in_a_step_ends_each_answer_in_it_with_one_line_and_the_host_answers_on() -> None:
    def ask(prompt: str) -> Answer:
        return host.ask(prompt, max_new_tokens=60, do_sample=False, ignore_eos=True)

    def fail(*prompts: str, for_good: bool = False) -> None:
        host.apply(failing_step, len(prompts), for_good)
        host.pause()  # so that none ends before the last is asked
        answers = [ask(prompt) for prompt in prompts]
        host.resume()
        for answer in answers:
            with pytest.raises(HostError, match=r"^Answering failed unexpectedly \(RuntimeError: a kernel failed\)\. "):
                list(answer)
            assert "\n" not in (answer.error or "\n")

    with Host.start(folder("chatglm"), "fast", "cpu", "float32") as host:
        wanted = [piece.text for piece in ask("你好")]
        fail("你好", "Hello", "one two three")
        assert host.apply(cache_held) == 0
        assert [piece.text for piece in ask("你好")] == wanted
        fail("你好", "Hello", "one two three", for_good=True)
