"""Prompts that are read in chunks between the steps of running requests: their sizes, order, failures and results."""

import pytest
import torch
from learned import recorded
from recorded import folder

import fastglm
from fastglm.engine import GREEDY, FastEngine, pace
from fastglm.engine.pace import FIRST, LEAST, Pace
from fastglm.engine.reading import Reading
from fastglm.engine.runner import runner_of
from fastglm.engine.scheduler import Scheduler
from fastglm.errors import MemoryShortError

CAUSAL, CHUNK = "glm4", 20
SHORT, LONG = list(range(100, 110)), [200 + place % 300 for place in range(100)]


@pytest.fixture(autouse=True)
def same_chunks(monkeypatch):
    """Chunks of at most one size, all layers of which run in a round, whatever the machine's speed is."""
    monkeypatch.setattr(pace, "LEAST", CHUNK)
    monkeypatch.setattr(pace, "MOST", CHUNK)
    monkeypatch.setattr(Pace, "budget", CHUNK + 0.1)


@pytest.fixture(scope="module")
def loaded():
    return fastglm.load(str(folder(CAUSAL)), "fast", "cpu")[0]


@pytest.fixture
def model(loaded):
    yield loaded
    assert runner_of(loaded).memory == 0


def never(_token):
    return False


def alone(model, prompt, tokens=30):
    return list(FastEngine(model).generate(prompt, tokens, GREEDY, ()))


class Rounds:
    """The rounds of a scheduler: new tokens by request, the tokens of each run of a prompt, and the number of parts of
    such runs in each round.
    """

    def __init__(self, model, monkeypatch):
        self.scheduler, self.found, self.widths, self.parts = Scheduler(model), {}, [], []
        advance, known = Reading.advance, []

        def noted(reading):
            if reading not in known:
                known.append(reading)
                self.widths.append(reading.tokens)
            self.parts[-1] += 1
            return advance(reading)

        monkeypatch.setattr(Reading, "advance", noted)

    def add(self, id, prompt, tokens=30, owner=None):
        self.scheduler.add(id, prompt, tokens, GREEDY, never, owner)

    def step(self, count=1):
        for _ in range(count):
            self.parts.append(0)
            for news in self.scheduler.step():
                self.found.setdefault(news.id, []).append(news.token)

    def finish(self):
        while self.scheduler.busy:
            self.step()
        return self.found


def test_a_round_takes_the_aimed_share_of_a_step(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(pace, "AIM", 2)
    speed = Pace()
    assert (speed.budget, speed.chunk(10 * LEAST, 1)) == (FIRST, LEAST)
    for _ in range(5):
        speed.see(0.010, 0)
        speed.see(0.015, 100)
    assert speed.budget == pytest.approx(400)
    speed.see(1.0, 0)
    speed.see(1.0, 100)
    assert speed.budget == pytest.approx(400)  # one slow round counts little
    for _ in range(9):
        speed.see(0.110, 100)  # 1 ms a token
    assert speed.budget == pytest.approx(20)


@pytest.mark.parametrize(
    ("unread", "parts", "tokens"),
    [(3, 5, 3), (110, 5, 110), (140, 5, 70), (301, 5, 101), (340, 5, 85), (300, 1, 50), (9000, 90, 500)],
)
def test_a_part_of_a_chunk_is_the_work_of_a_round_and_chunks_of_a_prompt_are_equal(monkeypatch, unread, parts, tokens):
    monkeypatch.undo()
    monkeypatch.setattr(Pace, "budget", 20.4)
    assert Pace().chunk(unread, parts) == tokens


def test_running_requests_get_a_token_in_each_round_of_a_long_prompt(model, monkeypatch):
    wanted, rounds = {0: alone(model, SHORT), 1: alone(model, LONG)}, Rounds(model, monkeypatch)
    rounds.add(0, SHORT)
    rounds.step(2)
    rounds.add(1, LONG)
    rounds.step(4)
    assert (len(rounds.found[0]), 1 in rounds.found) == (6, False)
    assert rounds.scheduler.slots == 2
    rounds.step()
    assert (len(rounds.found[0]), len(rounds.found[1])) == (7, 1)
    assert rounds.widths == [10, *[CHUNK] * 5]
    assert rounds.finish() == wanted


def test_a_prompt_is_read_whole_where_nothing_else_runs(model, monkeypatch):
    rounds = Rounds(model, monkeypatch)
    rounds.add(0, LONG, 4)
    rounds.finish()
    rounds.add(1, SHORT, 4)
    rounds.step(2)
    rounds.add(2, LONG, 4)
    rounds.finish()  # the other one ends within it
    assert rounds.widths == [100, 10, CHUNK, CHUNK, 60]


def test_prompts_are_read_in_the_order_of_their_requests(model, monkeypatch):
    rounds = Rounds(model, monkeypatch)
    rounds.add(0, SHORT, 40)
    rounds.step()
    for id, prompt in ((1, LONG[:40]), (2, LONG[:20]), (3, [7, 8, 9]), (4, [9, 8])):
        rounds.add(id, prompt, 40)
    rounds.step(2)
    assert (rounds.widths, set(rounds.found)) == ([10, 20, 20], {0, 1})
    rounds.step()
    assert (rounds.widths[3:], set(rounds.found)) == ([20], {0, 1, 2})
    rounds.step()
    assert (rounds.widths[4:], set(rounds.found)) == ([3, 2], {0, 1, 2, 3, 4})  # short prompts share a round
    rounds.finish()
    assert rounds.found[2] == alone(model, LONG[:20], 40)


def test_a_model_whose_tokens_see_later_ones_reads_whole_prompts_layer_by_layer(monkeypatch):
    model = fastglm.load(str(folder("chatglm")), "fast", "cpu")[0]
    long = [*range(5, 65), 86, 89]
    wanted, rounds = alone(model, long), Rounds(model, monkeypatch)
    monkeypatch.setattr(Pace, "budget", 30)
    rounds.add(0, [5, 86, 89])
    rounds.step()
    rounds.add(1, long)
    rounds.add(2, long)
    rounds.step(3)
    assert (rounds.widths, rounds.parts) == ([3, 62], [1, 1, 1, 1])  # each of the three layers in a round
    assert (len(rounds.found[0]), len(rounds.found[1]), 2 in rounds.found) == (4, 1, False)
    rounds.finish()
    assert (rounds.found[1], rounds.found[2]) == (wanted, wanted)


def test_a_chunk_runs_as_many_layers_as_a_round_has_room_for(model, monkeypatch):
    wanted, rounds = {0: alone(model, SHORT), 1: alone(model, LONG[:40])}, Rounds(model, monkeypatch)
    monkeypatch.setattr(Pace, "budget", 15)
    rounds.add(0, SHORT)
    rounds.step()
    rounds.add(1, LONG[:40])
    rounds.step(2)
    assert (rounds.widths, rounds.parts) == ([10, 20, 20], [1, 2, 2])  # the second round begins the second chunk
    assert (len(rounds.found[0]), 1 in rounds.found) == (3, False)
    rounds.step()
    assert (rounds.parts, len(rounds.found[1])) == ([1, 2, 2, 2], 1)
    assert rounds.finish() == wanted


def test_a_request_that_is_cancelled_leaves_its_slot_at_once(model, monkeypatch):
    wanted, rounds = alone(model, SHORT), Rounds(model, monkeypatch)
    rounds.add(0, SHORT)
    rounds.add(1, LONG)
    rounds.add(2, LONG[50:])
    rounds.step(4)
    taken = runner_of(model)._slots.taken
    assert len(taken) == 2
    rounds.scheduler.cancel(1)  # between two chunks
    assert len(taken) == 1
    rounds.step(2)
    assert len(taken) == 2
    rounds.scheduler.cancel(0)  # a running request
    assert len(taken) == 1
    assert rounds.found[0] == wanted[:6]
    assert rounds.finish()[2] == alone(model, LONG[50:])
    assert 1 not in rounds.found


def test_the_slot_of_a_prompt_moves_between_two_layers_where_a_request_leaves(model, monkeypatch):
    rounds = Rounds(model, monkeypatch)
    for id in range(3):
        rounds.add(id, SHORT[id:])
        rounds.step()
    monkeypatch.setattr(Pace, "budget", 7)
    rounds.add(3, LONG)
    rounds.step(5)
    assert (rounds.widths[3:], rounds.parts[3:]) == ([CHUNK, CHUNK], [1] * 5)
    rounds.scheduler.cancel(1)  # two layers of the second chunk have run
    found = rounds.finish()
    assert (found[2], found[3]) == (alone(model, SHORT[2:]), alone(model, LONG))


def failing(rounds, monkeypatch, error, runs):
    """Let the run of a prompt with this number raise an error after its layers have written."""
    advance = Reading.advance

    def broken(reading):
        logits = advance(reading)
        if len(rounds.widths) == runs:
            raise error
        return logits

    monkeypatch.setattr(Reading, "advance", broken)


def test_an_error_of_a_chunk_is_that_of_its_request_alone(model, monkeypatch):
    wanted, rounds, error = alone(model, SHORT), Rounds(model, monkeypatch), RuntimeError("a kernel failed")
    rounds.add(0, SHORT)
    rounds.step()
    rounds.add(1, LONG)
    rounds.add(2, LONG[60:])
    failing(rounds, monkeypatch, error, runs=4)
    assert rounds.finish() == {0: wanted, 1: [error], 2: alone(model, LONG[60:])}
    assert rounds.widths[:4] == [10, *[CHUNK] * 3]


def test_a_prompt_that_finds_no_memory_half_way_is_read_again_when_others_have_left(model, monkeypatch):
    wanted, rounds = alone(model, SHORT, 12), Rounds(model, monkeypatch)
    rounds.add(0, SHORT, 12)
    rounds.step()
    rounds.add(1, LONG)
    failing(rounds, monkeypatch, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), runs=4)
    rounds.step(5)
    assert len(runner_of(model)._slots.taken) == 1
    assert rounds.scheduler.slots == 1
    assert rounds.finish() == {0: wanted, 1: alone(model, LONG)}
    assert rounds.widths[:5] == [10, *[CHUNK] * 3, 100]


def test_a_prompt_that_finds_no_memory_alone_fails(model, monkeypatch):
    rounds = Rounds(model, monkeypatch)
    rounds.add(0, LONG)
    failing(rounds, monkeypatch, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), runs=1)
    (error,) = rounds.finish()[0]
    assert isinstance(error, MemoryShortError)


def test_chunks_go_on_where_the_past_of_the_owner_ends_and_leave_one(model, monkeypatch):
    engine = FastEngine(model)
    answer = list(engine.generate(LONG[:50], 10, GREEDY, (), "me"))
    prompt = [*LONG[:50], *answer, *LONG[50:]]
    wanted, rounds = alone(model, prompt), Rounds(model, monkeypatch)
    rounds.add(0, SHORT, 60)
    rounds.step()
    rounds.add(1, prompt, owner="me")
    found = rounds.finish()
    assert found[1] == wanted
    assert rounds.widths == [10, 19, 16, 16]  # 59 tokens are known
    again = FastEngine(model)
    assert list(again.generate([*prompt, *wanted, 5], 4, GREEDY, (), "me")) == alone(model, [*prompt, *wanted, 5], 4)
    assert again.reused == len(prompt) + len(wanted) - 1


def through(running, reading, others):
    """The result of a run; before each part, the others take a step."""
    while True:
        if others:
            running.step(others, torch.tensor([[7]]))
        logits = running.advance(reading)
        if logits is not None:
            return [logits]


def on_one_device(_patch):
    return fastglm.load(str(folder(CAUSAL)), "fast", "cpu")[0]


def over_two_devices(patch):
    cpu = torch.device("cpu")
    patch.setattr("fastglm.variants.load.resolve_devices", lambda names: [cpu] * len(names.split(",")))
    return fastglm.load(str(folder(CAUSAL)), "fast", "cpu,cpu")[0]


def with_learned_prefix(_patch):
    record = recorded("chatglm2-ptuning")
    return fastglm.load(str(record.base), "fast", "cpu", adapter=str(record.adapter))[0]


@torch.inference_mode()
@pytest.mark.parametrize("make", [over_two_devices, with_learned_prefix, on_one_device])
def test_logits_after_chunks_and_parts_are_those_of_the_whole_prompt(make, monkeypatch):
    model = make(monkeypatch)
    running, prompt, token = runner_of(model), torch.tensor(LONG), torch.tensor([[5]])
    slots, whole = running.prefill([prompt], [4])
    after = running.step(slots, token)[0].clone()
    running.free(slots)
    other, _ = running.prefill([prompt[:20]], [40])
    readings = [running.begin(prompt, 4, None, 30)]
    (slot,) = readings[0].slots
    found = []
    for _ in range(2):
        found += through(running, readings[-1], other)
        readings.append(running.go_on(slot, prompt, 35))
    running.free(other)  # the slot moves
    found += through(running, readings[-1], [])
    assert [each.shape for each in found[:2]] == [(1, 0)] * 2
    assert [reading.tokens for reading in readings] == [30, 35, 35]
    assert [reading.parts for reading in readings] == [2 if model.stages else len(model.blocks)] * 3
    assert running.unread(slot, LONG) == 0
    torch.testing.assert_close(found[2], whole, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(running.step([slot], token)[0], after, rtol=1e-5, atol=2e-5)
    running.free([slot])


def test_the_head_runs_for_the_last_token_of_a_prompt_alone(model, monkeypatch):
    seen, rounds = [], Rounds(model, monkeypatch)
    rounds.add(0, SHORT, 3)
    rounds.step()
    hook = model.head.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[:2]))
    rounds.add(1, LONG[:60], 1)
    rounds.step(2)
    assert len(seen) == 2  # of two steps
    rounds.step(3)
    hook.remove()
    assert len(seen) == 3
    assert rounds.widths == [10, 20, 20, 20]
    assert not rounds.scheduler.busy
