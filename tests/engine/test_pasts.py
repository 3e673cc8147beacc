"""Reuse of the pasts of ended requests: the texts of a cold start, for the same owner alone, in memory that is free."""

import random
from copy import deepcopy

import pytest
import torch
from learned import recorded
from recorded import folder

import fastglm
from fastglm.engine import GREEDY, FastEngine, Sampling, SpeculativeEngine, pasts, runner
from fastglm.engine.runner import Call, runner_of
from fastglm.engine.scheduler import Scheduler
from fastglm.engine.speculative import Draft
from fastglm.errors import MemoryShortError, NumbersError
from fastglm.models.glm import block
from fastglm.models.glm.config import GLMConfig
from fastglm.models.glm.model import GLMForConditionalGeneration

FIRST = list(range(100, 120))
NAMES = ["chatglm2", "chatglm3", "glm4"]


def tiny(seed=0, **settings):
    """A model with random weights and a long context."""
    torch.manual_seed(seed)
    fields = {"num_layers": 3, "hidden_size": 64, "ffn_hidden_size": 96, "num_attention_heads": 4, "kv_channels": 16}
    fields |= {"vocab_size": 300, "seq_length": 4096, "multi_query_attention": True, "multi_query_group_num": 2}
    model = GLMForConditionalGeneration(GLMConfig(**fields, **settings)).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3 if weight.ndim > 1 else 1.0)
    return model


@pytest.fixture(scope="module", params=[*NAMES, "random"])
def model(request):
    return tiny() if request.param == "random" else fastglm.load(str(folder(request.param)), "fast", "cpu")[0]


@pytest.fixture
def chatglm3():
    return fastglm.load(str(folder("chatglm3")), "fast", "cpu")[0]


class Talk:
    """Requests of owners to one engine, each of which is checked against a cold start."""

    def __init__(self, model, make=FastEngine):
        self.model, self.make = model, make

    def answer(self, prompt, owner="me", tokens=10):
        """The answer, and the number of tokens that were not read again."""
        engine = self.make(self.model)
        found = list(engine.generate(prompt, tokens, GREEDY, (), owner))
        cold = FastEngine(self.model)
        assert found == list(cold.generate(prompt, tokens, GREEDY, ()))
        assert cold.reused == 0
        assert runner_of(self.model).memory == 0
        return found, engine.reused


def test_later_turns_read_what_is_new_and_give_the_text_of_a_cold_start(model):
    talk, prompt = Talk(model), FIRST
    answer, reused = talk.answer(prompt)
    assert reused == 0
    for turn in range(2, 5):
        known, prompt = len(prompt) + len(answer), [*prompt, *answer, *range(turn, 5 * turn)]
        answer, reused = talk.answer(prompt)
        assert reused == known - 1  # the last token of an answer has not run
    assert len(runner_of(model)._pasts) == 1  # each turn goes on where the one before ended


def test_an_edited_conversation_is_read_again(model):
    talk = Talk(model)
    answer, _ = talk.answer(FIRST)
    whole = [*FIRST, *answer, 7, 8, 9]
    talk.answer(whole)
    assert talk.answer([*FIRST[:12], 9, 9, *whole[14:]])[1] == 12
    assert talk.answer([*whole[:25], 5])[1] == 25
    assert talk.answer(whole[:15])[1] == 14  # the last token is always read
    assert talk.answer(whole)[1] == len(whole) - 1
    assert talk.answer([9, *whole])[1] == 0


def test_nobody_gets_what_another_owner_has_read(model):
    talk = Talk(model)
    talk.answer(FIRST, "me")
    for owner in ("you", "", "ME"):
        assert talk.answer(FIRST, owner)[1] == 0
        assert talk.answer(FIRST, owner)[1] == len(FIRST) - 1
    assert talk.answer(FIRST, None)[1] == 0
    assert talk.answer(FIRST, "me")[1] == len(FIRST) - 1


@pytest.mark.parametrize("seed", range(3))
def test_random_conversations_of_two_owners(seed):
    model, draw = tiny(seed), random.Random(seed)
    talk, read = Talk(model), {"me": [], "you": []}
    for _ in range(20):
        owner = draw.choice(sorted(read))
        known = draw.choice(read[owner]) if read[owner] else []
        new = [draw.randrange(300) for _ in range(draw.randrange(1, 40))]
        prompt = [*known[: draw.randrange(len(known) + 1)], *new]
        best = max((pasts.common(torch.tensor(prompt[:-1]), torch.tensor(old)) for old in read[owner]), default=0)
        answer, reused = talk.answer(prompt, owner, draw.randrange(1, 20))
        assert reused == (best if best >= pasts.LEAST else 0)
        read[owner].append([*prompt, *answer[:-1]])


@torch.inference_mode()
@pytest.mark.parametrize("known", [8, 200, 1400, 1499])
def test_logits_of_a_prompt_in_two_parts_are_those_of_one(known, monkeypatch):
    model = tiny()
    running, prompt = runner_of(model), torch.randint(300, (1500,), generator=torch.Generator().manual_seed(1))
    slots, cold = running.prefill([prompt], [4])
    steps = [running.step(slots, torch.tensor([[token]]))[0] for token in (5, 6)]
    running.free(slots)
    slots, _ = running.prefill([prompt[:known]], [4], "me")
    running.keep(slots[0], prompt[:known].tolist())
    running.free(slots)
    monkeypatch.setattr(block, "ROWS", 512)
    slots, warm = running.prefill([prompt], [4], "me")
    assert slots[0].reused == known
    assert slots[0].length == 1500
    torch.testing.assert_close(warm, cold, rtol=1e-5, atol=2e-5)
    for token, wanted in zip((5, 6), steps, strict=True):
        torch.testing.assert_close(running.step(slots, torch.tensor([[token]]))[0], wanted, rtol=1e-5, atol=2e-5)
    running.free(slots)


def test_a_model_whose_tokens_see_later_ones_reads_everything():
    model = fastglm.load(str(folder("chatglm")), "fast", "cpu")[0]
    engine, prompt = FastEngine(model), [*FIRST[:9], 86, 89]
    for _ in range(2):
        list(engine.generate(prompt, 4, GREEDY, (), "me"))
        assert engine.reused == 0
    assert runner_of(model).past_memory == 0


def never(_token):
    return False


def test_requests_side_by_side_leave_what_each_has_read(monkeypatch):
    monkeypatch.setattr(runner, "ROOM", 8)  # the slots grow
    model = tiny()
    scheduler, prompts, found = Scheduler(model), [[id, *FIRST[: 9 + 4 * id]] for id in range(3)], [[], [], []]
    for turn in range(60):
        if turn % 4 == 0 and turn < 12:
            scheduler.add(turn // 4, prompts[turn // 4], 40, GREEDY, never, f"owner {turn // 4}")
        if turn == 20:
            scheduler.cancel(1)
        for news in scheduler.step():
            found[news.id].append(news.found())
    assert not scheduler.busy
    assert [len(answer) for answer in found] == [40, 16, 40]
    for id, (prompt, answer) in enumerate(zip(prompts, found, strict=True)):
        wanted = len(prompt) + len(answer) - 1
        assert Talk(model).answer([*prompt, *answer, 3, 4], f"owner {id}")[1] == wanted


def test_steps_that_are_launched_ahead_leave_the_same(monkeypatch):
    monkeypatch.setattr("fastglm.engine.scheduler.runs_ahead", lambda device: True)
    reader = "fastglm.engine.scheduler.TokenReader"
    monkeypatch.setattr(f"{reader}.__init__", lambda self, is_cuda: setattr(self, "_event", None))
    monkeypatch.setattr(f"{reader}.start", lambda self, token: setattr(self, "_token", token.clone()))
    model = tiny()
    answer, _ = Talk(model).answer(FIRST)
    assert Talk(model).answer([*FIRST, *answer, 1])[1] == len(FIRST) + 9
    found = list(FastEngine(model).generate(FIRST, 20, GREEDY, (answer[4],), "you"))
    assert Talk(model).answer([*FIRST, *found, 1], "you")[1] == len(FIRST) + len(found) - 1


def test_a_failed_request_leaves_the_tokens_before_its_failure(monkeypatch):
    model, calls = tiny(), []
    mlp = model.blocks[1].mlp
    forward = mlp.forward

    def fails(*args):
        calls.append(args)
        return forward(*args) * (torch.nan if len(calls) == 6 else 1)

    found = []
    with monkeypatch.context() as patch:
        patch.setattr(mlp, "forward", fails)
        with pytest.raises(NumbersError):
            found.extend(FastEngine(model).generate(FIRST, 20, GREEDY, (), "me"))  # token by token
    assert len(found) == 5
    assert Talk(model).answer([*FIRST, *found, 5])[1] == len(FIRST) + 4
    calls[:] = range(5)  # the prompt itself fails
    with monkeypatch.context() as patch:
        patch.setattr(mlp, "forward", fails)
        with pytest.raises(NumbersError):
            list(FastEngine(model).generate([9, *FIRST], 20, GREEDY, (), "me"))
    assert Talk(model).answer([9, *FIRST, 5])[1] == 0


def test_a_request_that_is_stopped_while_its_prompt_runs_leaves_nothing(monkeypatch, chatglm3):
    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(chatglm3.blocks[2].mlp, "forward", stopped)
        with pytest.raises(KeyboardInterrupt):
            list(FastEngine(chatglm3).generate(FIRST, 4, GREEDY, (), "me"))
    assert runner_of(chatglm3).past_memory == runner_of(chatglm3).memory == 0


class Memory:
    """A machine whose free memory is `room` less what a model's runner has."""

    def __init__(self, model, monkeypatch):
        self.room, self.running = 2**40, runner_of(model)
        monkeypatch.setattr("psutil.virtual_memory", lambda: self)

    @property
    def available(self):
        return self.room - self.running.memory - self.running.past_memory


def test_the_oldest_pasts_give_way_to_a_request(monkeypatch):
    model = tiny()
    memory, talk = Memory(model, monkeypatch), Talk(model)
    for owner in "abc":
        talk.answer(FIRST, owner)
    each = memory.running.past_memory // 3
    slots, _ = memory.running.prefill([torch.tensor(FIRST)], [10])
    memory.room = memory.running.memory + 2 * each
    memory.running.free(slots)
    talk.answer(FIRST, None)
    assert memory.running.past_memory == 2 * each
    assert talk.answer(FIRST, "c")[1] == len(FIRST) - 1
    assert talk.answer(FIRST, "a")[1] == 0
    memory.room -= 3 * each
    with pytest.raises(MemoryShortError):
        talk.answer(FIRST, "b")
    assert memory.running.past_memory == 0


def test_pasts_give_way_to_a_request_that_grows(monkeypatch):
    monkeypatch.setattr(runner, "ROOM", 4)
    model = tiny()
    memory, talk = Memory(model, monkeypatch), Talk(model)
    wanted, _ = talk.answer(FIRST, "a", 100)
    slots, _ = memory.running.prefill([torch.tensor(FIRST)], [4])
    memory.room = 2 * memory.running.memory  # 128 tokens, and no past beside them
    memory.running.free(slots)
    assert memory.running.past_memory > 0
    assert list(FastEngine(model).generate(FIRST, 100, GREEDY, (), "b")) == wanted
    assert memory.running.past_memory == 0


def test_pasts_take_a_part_of_the_free_memory_and_are_not_many(monkeypatch):
    model = tiny()
    memory, talk = Memory(model, monkeypatch), Talk(model)
    talk.answer(FIRST, "a")
    each = memory.running.past_memory
    slots, _ = memory.running.prefill([torch.tensor(FIRST)], [10])
    memory.room = memory.running.memory + pasts.SHARE * 2 * each
    memory.running.free(slots)
    for owner in "bcd":
        talk.answer(FIRST, owner)
    assert memory.running.past_memory == 2 * each
    memory.room = 2**40
    monkeypatch.setattr(pasts, "MOST", 3)
    for owner in "efghi":
        talk.answer(FIRST, owner)
    assert memory.running.past_memory == 3 * each
    assert talk.answer(FIRST, "g")[1] == len(FIRST) - 1


def scaled(model):
    with torch.no_grad():
        model.blocks[0].mlp.dense_4h_to_h.weight.mul_(1.5)


def replaced(model):
    weight = model.blocks[0].mlp.dense_4h_to_h.weight
    weight.data = 1.5 * weight.data


@pytest.mark.parametrize("change", [scaled, replaced, lambda model: model.to(torch.bfloat16)])
def test_no_past_of_other_weights_is_used(change):
    model = tiny()
    Talk(model).answer(FIRST)
    change(model)
    assert Talk(model).answer(FIRST)[1] == 0
    assert runner_of(model)._pasts.find(model, "me", torch.tensor(FIRST)) is not None


def test_weights_that_change_within_an_answer_leave_no_past():
    model = tiny()
    tokens = FastEngine(model).generate(FIRST, 9, GREEDY, (), "me")
    next(tokens)
    next(tokens)
    scaled(model)
    tokens.close()
    assert Talk(model).answer(FIRST)[1] == 0


def test_a_learned_prefix_stays_before_the_tokens():
    record = recorded("chatglm2-ptuning")
    model = fastglm.load(str(record.base), "fast", "cpu", adapter=str(record.adapter))[0]
    talk = Talk(model)
    answer, _ = talk.answer(FIRST)
    answer, reused = talk.answer([*FIRST, *answer, 5, 6])
    assert reused == len(FIRST) + 9
    assert talk.answer(FIRST)[1] == len(FIRST) - 1


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(do_sample=False, repetition_penalty=1.3)])
def test_drafts_and_their_target_keep_their_own(sampling):
    model, seen = tiny(), []
    draft = deepcopy(model)
    with torch.no_grad():
        for weight in draft.parameters():
            weight += 0.02 * weight.std() * torch.randn_like(weight)
    model.draft = Draft(draft, 0.2)
    prompt = FIRST
    for turn in range(3):
        engine = SpeculativeEngine(model)
        hook = draft.embedding.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[1]))
        found = list(engine.generate(prompt, 20, sampling, (), "me"))
        hook.remove()
        assert found == list(FastEngine(model).generate(prompt, 20, sampling, ()))
        assert engine.reused == (len(prompt) - 6 if turn else 0)
        assert max(seen) < (12 if turn else 21)  # tokens of the draft's longest run
        assert len(runner_of(model)._pasts) == len(runner_of(draft)._pasts) == 1
        prompt = [*prompt, *found, 1, 2, 3, 4, 5]
        seen.clear()


def test_a_model_over_several_devices_reuses_on_each(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr("fastglm.variants.load.resolve_devices", lambda names: [cpu] * len(names.split(",")))
    model = fastglm.load(str(folder("chatglm3")), "fast", "cpu,cpu")[0]
    assert len(model.stages) == 2
    talk = Talk(model)
    answer, _ = talk.answer(FIRST)
    assert talk.answer([*FIRST, *answer, 5, 6])[1] == len(FIRST) + 9


def test_a_prompt_that_finds_no_memory_runs_again_without_a_past(monkeypatch):
    model = tiny()
    running, fails = runner_of(model), [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")]
    Talk(model).answer(FIRST)
    mlp = model.blocks[1].mlp
    forward = mlp.forward

    def failing(*args):
        if fails:
            raise fails.pop()
        return forward(*args)

    monkeypatch.setattr(mlp, "forward", failing)
    slots, _ = running.prefill([torch.tensor(FIRST)], [4])
    assert running.past_memory == 0
    assert running._slots.taken == slots  # the first attempt has given its slot back
    assert running._slots.count == 1
    running.free(slots)


def test_an_unexpected_error_leaves_no_past(monkeypatch):
    model = tiny()
    mlp = model.blocks[1].mlp
    forward = mlp.forward
    with monkeypatch.context() as patch:
        patch.setattr(mlp, "forward", lambda x, residual: forward(x, residual) if x.shape[1] > 1 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(FastEngine(model).generate(FIRST, 4, GREEDY, (), "me"))
    assert runner_of(model).past_memory == runner_of(model).memory == 0
    assert Talk(model).answer(FIRST)[1] == 0


@torch.inference_mode()
def test_a_request_that_is_abandoned_within_another_call_leaves_no_past():
    running = runner_of(model := tiny())
    slots, _ = running.prefill([torch.tensor(FIRST)], [4], "me")
    with Call(running):  # garbage is collected in it
        running.keep(slots[0], FIRST)
        running.free(slots)
    assert running.past_memory == running.memory == 0
    assert Talk(model).answer(FIRST)[1] == 0
