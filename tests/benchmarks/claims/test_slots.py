"""The claim about several requests at once, on a small model and with few tokens."""

from recorded import folder

from benchmarks.claims import slots


def test_the_same_answers_are_timed_at_once_and_one_by_one(monkeypatch):
    monkeypatch.setattr(slots, "PROMPT", 8)
    monkeypatch.setattr(slots, "ANSWER", 4)
    asked, seconds = [], slots._seconds
    monkeypatch.setattr(slots, "_seconds", lambda *args: asked.append(len(args[2])) or seconds(*args))
    found = slots.side_by_side(lambda _: None, str(folder("chatglm")), "fast", (2, 3), 1)
    assert asked == [1, 1, 2, 1, 1, 1, 3] * 2
    assert {count: estimate.value > 0 for count, estimate in found.items()} == {2: True, 3: True}
