"""Unfinished answers, and the release of a closed tab's resources."""

import threading
import time

import pytest
from fake_pool import FakePool
from waiting import until

from dashboard.session import answering
from dashboard.session.browser_tab import Presence
from dashboard.session.conversation import Desk
from fastglm.errors import FastGLMError, MemoryShortError
from fastglm.history import of_rounds
from fastglm.hosting.protocol import HostKey

TAB = "a tab that nobody can guess"


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


@pytest.fixture
def desk(pool: FakePool) -> Desk:
    desk = Desk(pool)  # type: ignore[arg-type]
    desk.presence = Presence(desk.leave, grace=0.1)
    desk.presence.enter(TAB)
    return desk


def ask(desk: Desk, query: str) -> None:
    desk.ask(TAB, query)
    until(lambda: desk.turn(TAB) is None)


def test_an_answer_is_kept_with_its_figures(desk: Desk, pool: FakePool) -> None:
    ask(desk, "first")
    ask(desk, "<eop> second")
    first, second = desk.conversation(TAB).rounds
    assert second.response == pool.text
    assert second.figures is not None
    assert (second.figures.tokens, second.figures.memory, second.figures.stop) == (len(pool.text), 250_000_000, "eos")
    assert second.figures.decode_rate == pytest.approx(50)
    _, prompt, history, settings = pool.asked[-1]
    assert prompt == "<eop> second", "what a visitor says stays a string"
    assert history == of_rounds([("first", first.response)])
    assert settings["top_p"] == 0.7
    assert settings["owner"] == TAB, "nobody else knows it"
    assert Desk(pool).conversation(TAB) == desk.conversation(TAB), "it is in the file"  # type: ignore[arg-type]


def test_an_answer_is_stopped_midway_and_asked_again(desk: Desk, pool: FakePool) -> None:
    pool.pace = 0.05
    desk.ask(TAB, "go")
    until(lambda: (turn := desk.turn(TAB)) is not None and turn.text != "")
    desk.stop(TAB)
    until(lambda: desk.turn(TAB) is None)
    (only,) = desk.conversation(TAB).rounds
    assert 0 < len(only.response) < len(pool.text)
    assert only.figures is not None
    assert only.figures.stop is None
    pool.pace = 0
    desk.answer_last(TAB)
    until(lambda: desk.turn(TAB) is None)
    assert [kept.response for kept in desk.conversation(TAB).rounds] == [pool.text]
    assert pool.asked[-1][2] == [], "the answer that is replaced is no history"


def test_a_host_that_dies_says_so_and_can_be_asked_again(desk: Desk, pool: FakePool) -> None:
    pool.dies = 3
    ask(desk, "go")
    (only,) = desk.conversation(TAB).rounds
    assert "ask again" in str(only.error)
    assert only.response == pool.text[:3]
    pool.dies = None
    desk.answer_last(TAB)
    until(lambda: desk.turn(TAB) is None)
    assert desk.conversation(TAB).rounds[-1].error is None


def test_a_model_that_does_not_load(desk: Desk, pool: FakePool) -> None:
    pool.refuses = FastGLMError("shard 2 is missing")
    ask(desk, "go")
    assert desk.conversation(TAB).rounds[-1].error == "shard 2 is missing"


def test_an_unexpected_failure_is_one_line_too(desk: Desk, pool: FakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "get", lambda *a, **k: 1 / 0)
    ask(desk, "go")
    assert desk.conversation(TAB).rounds[-1].error == "ZeroDivisionError('division by zero')"


def test_waiting_is_told(desk: Desk, pool: FakePool) -> None:
    pool.gate, pool.first_state = threading.Event(), "waiting"
    desk.ask(TAB, "go")
    until(lambda: (turn := desk.turn(TAB)) is not None and turn.state == "waiting")
    turn = desk.turn(TAB)
    assert turn is not None
    assert turn.waiting_for == "a benchmark"
    assert turn.ahead == 2
    pool.gate.set()
    until(lambda: desk.turn(TAB) is None)


def test_another_variant_takes_the_place_of_the_first(desk: Desk, pool: FakePool) -> None:
    ask(desk, "go")
    desk.conversation(TAB).variant = "int4"
    ask(desk, "go")
    assert pool.held == {f"{TAB} chat": {HostKey("demo", "int4")}}


def test_clearing_while_an_answer_runs(desk: Desk, pool: FakePool) -> None:
    pool.pace = 0.05
    desk.ask(TAB, "go")
    running = desk.turn(TAB)
    assert running is not None
    desk.clear(TAB)
    until(lambda: running.ended)
    assert desk.conversation(TAB).rounds == []
    assert Desk(pool).conversation(TAB).rounds == []  # type: ignore[arg-type]


def test_a_closed_tab_gives_back_what_it_had(desk: Desk, pool: FakePool) -> None:
    ask(desk, "go")
    assert pool.held
    desk.presence.exit(TAB)
    until(lambda: not pool.held)


def test_a_tab_that_closes_while_its_model_loads(desk: Desk, pool: FakePool) -> None:
    pool.load_time = 0.6
    desk.ask(TAB, "go")
    desk.presence.exit(TAB)
    until(lambda: desk.turn(TAB) is None)
    until(lambda: not pool.held)


def test_a_tab_that_closes_just_before_its_model_is_asked_for(
    desk: Desk, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    get, left = pool.get, threading.Event()
    monkeypatch.setattr(pool, "get", lambda *a, **k: left.wait(10) and get(*a, **k))
    desk.ask(TAB, "go")
    desk.presence.exit(TAB)
    until(lambda: not desk.presence.here(TAB))
    time.sleep(0.1)
    left.set()
    until(lambda: desk.turn(TAB) is None)
    until(lambda: not pool.held)


def test_a_reload_gives_nothing_back(desk: Desk, pool: FakePool) -> None:
    ask(desk, "go")
    desk.presence.exit(TAB)
    desk.presence.enter(TAB)
    time.sleep(0.3)
    assert pool.held
    assert desk.presence.here(TAB)


def compare(desk: Desk, race: bool) -> answering.Comparison:
    desk.compare(TAB, (HostKey("demo", "original"), HostKey("demo", "int4")), "go", {"do_sample": False}, race)
    until(lambda: desk.duels[TAB].ended)
    return desk.duels[TAB]


def test_two_variants_answer_one_after_the_other_and_warm(desk: Desk, pool: FakePool) -> None:
    pool.texts["int4"] = "你好 their"
    duel = compare(desk, race=False)
    assert [turn.text for turn in duel.turns] == ["你好 there", "你好 their"]
    assert [(key.variant, settings.get("max_new_tokens")) for key, _, _, settings in pool.asked] == [
        ("original", answering.WARM_UP_TOKENS),
        ("original", None),
        ("int4", answering.WARM_UP_TOKENS),
        ("int4", None),
    ]
    assert not any("owner" in settings for *_, settings in pool.asked), "a measured prompt is read whole"


def test_a_race_has_no_warm_up_and_no_lease_of_its_own(desk: Desk, pool: FakePool) -> None:
    duel = compare(desk, race=True)
    assert [turn.state for turn in duel.turns] == ["done", "done"]
    assert len(pool.asked) == 2


def test_the_first_makes_room_if_memory_is_short(desk: Desk, pool: FakePool) -> None:
    get = pool.get

    def short(model: str, variant: str, *others: str, **more: object) -> object:
        if variant == "int4" and f"{TAB} left" in pool.held:
            raise MemoryShortError("too little memory")
        return get(model, variant, *others, **more)  # type: ignore[arg-type]

    pool.get = short  # type: ignore[method-assign, assignment]
    duel = compare(desk, race=False)
    assert [turn.state for turn in duel.turns] == ["done", "done"]


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_disk_that_fills_during_an_answer_ends_it_visibly(
    desk: Desk, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.gate = threading.Event()
    desk.ask(TAB, "go")
    monkeypatch.setattr("dashboard.session.state.replacing", full)
    pool.gate.set()
    until(lambda: desk.turn(TAB) is None)
    (only,) = desk.conversation(TAB).rounds
    assert only.response == pool.text, "what was said is not lost"
    assert desk.shelf.unsaved(TAB) == "No space left on device"
    ask(desk, "again")
    assert len(desk.conversation(TAB).rounds) == 2
    monkeypatch.undo()
    desk.clear(TAB)
    assert desk.shelf.unsaved(TAB) is None


def test_a_disk_that_is_full_for_the_host_too(desk: Desk, pool: FakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "get", full)
    ask(desk, "go")
    assert desk.conversation(TAB).rounds[-1].error == "No space left on device"


def test_a_failure_after_an_answer_ends_it_visibly(desk: Desk, pool: FakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.shelf, "save", lambda tab: 1 / 0 if desk.conversation(tab).rounds[-1].response else None)
    ask(desk, "go")
    turn = desk.turns[TAB]
    assert (turn.state, turn.error) == ("failed", "ZeroDivisionError('division by zero')")


def test_a_system_without_threads(desk: Desk, pool: FakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        desk.ask(TAB, "go")
        duel = answering.Comparison(*(_turn(pool, side) for side in "ab"), False, desk.release, lambda: None).start()
    assert "new thread" in str(desk.conversation(TAB).rounds[-1].error)
    assert [turn.state for turn in duel.turns] == ["failed", "failed"]


def test_a_comparison_that_cannot_make_room_ends_visibly(desk: Desk, pool: FakePool) -> None:
    def short(*_: object, **__: object) -> None:
        raise MemoryShortError("too little memory")

    pool.get = short  # type: ignore[method-assign, assignment]
    duel = answering.Comparison(_turn(pool, "a"), _turn(pool, "b"), False, full, full).start()
    until(lambda: duel.ended)
    assert [turn.state for turn in duel.turns] == ["failed", "failed"]


def _turn(pool: FakePool, user: str) -> answering.Turn:
    return answering.Turn(pool, user, HostKey("demo", "original"), "go", [])  # type: ignore[arg-type]
