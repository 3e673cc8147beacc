import pytest
from fake_hosts import FakeTokenizer

from benchmarks.run.workload import TEXT, Workload, prompts
from fastglm.errors import UsageError


@pytest.mark.parametrize("length", [3, 32, 128, 2000, 5000])
def test_prompts_have_the_exact_length_and_end_as_the_tokenizer_wants(length: int) -> None:
    made = prompts(FakeTokenizer(), length, 6)
    assert [len(prompt) for prompt in made] == [length] * 6
    assert all(prompt[-2:] == [1, 2] for prompt in made)


def test_prompts_are_real_text_and_each_begins_elsewhere() -> None:
    made = prompts(FakeTokenizer(), 40, 6)
    text = TEXT.read_text(encoding="utf-8")
    assert len({tuple(prompt) for prompt in made}) == 6
    assert all("".join(map(chr, prompt[:-2])) in text + text for prompt in made)


def test_prompts_are_the_same_every_time() -> None:
    assert prompts(FakeTokenizer(), 32, 3) == prompts(FakeTokenizer(), 32, 3)


def test_a_prompt_without_room_for_text_is_refused() -> None:
    with pytest.raises(UsageError, match="no room for text"):
        prompts(FakeTokenizer(), 2, 1)


@pytest.mark.parametrize(
    ("prompt_tokens", "answer_tokens", "repeats", "said"),
    [
        ((0,), 8, 1, "prompt length"),
        ((), 8, 1, "prompt length"),
        ((8, 8), 8, 1, "twice"),
        ((8,), 1, 1, "2 tokens"),
        ((8,), 8, 0, "repeats"),
    ],
)
def test_senseless_workloads_are_refused(
    prompt_tokens: tuple[int, ...], answer_tokens: int, repeats: int, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Workload(prompt_tokens, answer_tokens, repeats)


def test_a_prompt_and_its_answer_must_fit_into_the_context() -> None:
    workload = Workload((32, 200), 56, 1)
    workload.check(256)
    with pytest.raises(UsageError, match="context of 255 tokens"):
        workload.check(255)


def test_more_prompts_than_the_text_has_places_begin_again() -> None:
    found = prompts(FakeTokenizer(), 8, 5000)
    assert len(found) == 5000
    assert found[0] in found[1:]
