"""The quality suite: its questions, and the figures of the answers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.environment import run_facts
from benchmarks.execution.request import RunRequest
from benchmarks.measure import graded_answer, statistics, wording
from benchmarks.measure.graded_answer import Graded
from benchmarks.run.questions import held_out, read_texts
from fastglm.errors import UsageError


def answers(right: list[bool | None], **changes: object) -> list[Graded]:
    return [
        Graded(
            **{
                "variant": "int4",
                "number": number,
                "labels": {"skill": f"s{number % 2}", "split": "new operands", "language": "en"},
                "history": [],
                "question": "?",
                "expected": "四",
                "answer": "4",
                "right": hit,
                "tokens": 1 + number % 3,
                "nats": 0.5 * (number + 1),
                "kl": 0.1 * number,
                "agreed": 1,
                **changes,
            }  # type: ignore[arg-type]
        )
        for number, hit in enumerate(right)
    ]


def test_figures_are_those_of_a_plain_loop() -> None:
    found = {
        (metric, json.dumps(dict(params))): value for metric, params, value in graded_answer.rows(answers([True] * 9))
    }
    given = answers([True] * 9)
    nats, tokens = sum(a.nats for a in given), sum(a.tokens for a in given)
    assert found["perplexity", "{}"].value == pytest.approx(math.exp(nats / tokens))
    assert found["bits_per_byte", "{}"].value == pytest.approx(nats / math.log(2) / 27)
    assert found["kl_divergence", "{}"].value == pytest.approx(sum(a.kl or 0 for a in given) / tokens)
    assert found["top1_agreement", "{}"].value == pytest.approx(9 / tokens)
    low, high = found["perplexity", "{}"].low, found["perplexity", "{}"].high
    assert low is not None
    assert high is not None
    assert low < math.exp(nats / tokens) < high


def test_accuracies_are_counted_by_label() -> None:
    found = {
        tuple(sorted(params.items())): value
        for metric, params, value in graded_answer.rows(answers([True, False, True, True]))
        if metric == "skill_accuracy"
    }
    assert (found[()].value, found[()].n) == (0.75, 4)
    assert found[(("skill", "s0"),)].value == 1
    assert found[(("language", "en"), ("skill", "s1"))].value == 0.5
    assert found[(("split", "new operands"),)].n == 4


def test_unknown_figures_are_left_out() -> None:
    own = answers([None, None], labels={"texts": "own.jsonl"}, kl=None, agreed=None)
    assert [(metric, dict(params)) for metric, params, _ in graded_answer.rows(own)] == [
        ("perplexity", {"texts": "own.jsonl"}),
        ("bits_per_byte", {"texts": "own.jsonl"}),
    ]


def test_figures_of_expected_answers_say_their_arithmetic_and_vocabulary() -> None:
    scored = {"arithmetic": "exact", "precision": "float32 on cpu", "vocabulary": 9000}
    found = {metric: dict(params) for metric, params, _ in graded_answer.rows(answers([True] * 3), scored)}
    assert found["skill_accuracy"].keys() <= {"skill", "language", "split"}
    for metric in ("perplexity", "bits_per_byte", "kl_divergence", "top1_agreement"):
        assert found[metric] == {"arithmetic": "exact", "vocabulary": 9000}


def test_the_tail_of_kl_is_that_of_all_tokens() -> None:
    draw = np.random.default_rng(0)
    kl = [draw.gamma(0.2, 0.1, count).tolist() for count in draw.integers(1, 40, 60)]
    (_, p99, near), (_, top, largest) = graded_answer.tails(kl, answers([True] * 60), {"arithmetic": "exact"})
    flat = np.concatenate(kl)
    assert near.value == pytest.approx(np.quantile(flat, 0.99))
    assert near.low is not None
    assert near.low < near.value
    assert (largest.value, largest.low) == (flat.max(), None)
    assert (p99["quantile"], top["quantile"]) == (0.99, 1.0)
    assert [wording.words(params) for params in (p99, top)] == ["p99, exact arithmetic", "largest, exact arithmetic"]
    assert list(graded_answer.tails([None, *kl], answers([True] * 61), {})) == []


def test_a_kl_of_an_earlier_version_is_marked_as_a_lower_bound() -> None:
    def run(settings: dict[str, object], suites: tuple[str, ...] = ("quality",)) -> dict[str, object]:
        return {"suites": suites, "settings": settings}

    assert [remark.key for remark in run_facts.scored(run({"device": "cpu"}))] == ["lower-bound"]
    assert list(run_facts.scored(run({"device": "cpu"}, ("latency",)))) == []
    scored = {name: {"arithmetic": how} for name, how in (("int8", "exact"), ("bnb-int8", "decoding"))}
    exact, decoding = run_facts.scored(run({"arithmetic": "exact", "scored": scored}))
    assert "(int8)" in str(exact)
    assert "(bnb-int8)" in str(decoding)
    assert wording.kind("kl_divergence", {"texts": "a"}) == "texts a, lower bound"
    assert wording.kind("kl_divergence", {"arithmetic": "exact"}) == "exact arithmetic"
    assert wording.kind("perplexity", {}) == ""


def test_a_share_of_all_or_none_has_an_interval_too() -> None:
    every, none = statistics.share(40, 40), statistics.share(0, 40)
    assert (every.value, every.high) == (1, pytest.approx(1))
    assert every.low == pytest.approx(1 / (1 + 1.959964**2 / 40))  # Wilson's, at 100 %
    assert none.high == pytest.approx(1 - every.low)  # type: ignore[operator]


def test_intervals_of_means_hold_what_they_promise() -> None:
    draw, held = np.random.default_rng(1), 0
    for _ in range(100):
        tokens = draw.integers(1, 9, 80)
        nats = draw.gamma(2.0, 0.1, 80) * tokens  # 0.2 a token on average
        estimate = statistics.mean_ratio(nats.tolist(), tokens.tolist())
        assert estimate.low is not None
        assert estimate.high is not None
        held += estimate.low <= 0.2 <= estimate.high
    assert 88 <= held <= 100


def test_held_out_questions_are_labelled_and_the_same_every_time() -> None:
    asked = held_out(1)
    assert {tuple(question.labels) for question in asked} == {("skill", "split", "language")}
    assert asked == held_out(1)
    assert all(question.right(question.text.answer) for question in asked)
    assert not any(question.right(None) for question in asked)


def test_a_model_is_asked_what_the_demo_it_was_made_from_knows(tmp_path: Path) -> None:
    def skills(model: str) -> set[str]:
        return {question.labels["skill"] for question in held_out(1, model)}

    parents = [{"model": "/made/earlier"}, {"model": "demo-glm"}]  # the nearest first
    (tmp_path / "fastglm.json").write_text(json.dumps({"parents": parents}))
    assert skills(str(tmp_path)) == skills("demo-glm") == {*skills("demo"), "calculator"}
    assert held_out(1, "shape:glm-4-9b@2") == held_out(1)
    calls = {question.text.calls for question in held_out(1, "demo-glm")}
    results = {question.text.closing[-1].role for question in held_out(2, "demo-glm") if question.text.closing}
    assert (calls, results) == ({"", "calculator"}, {"observation"})


def test_a_users_own_questions(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    lines = [{"prompt": "你好", "answer": "你好！"}, {"prompt": "b", "answer": "c", "history": [["d", "e"]]}]
    file.write_text("\n\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    first, second = read_texts(file)
    assert first.text == ([], "你好", "你好！", (), (), "")
    assert second.text.history == [("d", "e")]
    assert first.right("你好！") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"prompt": "a", "answer": "b"}\n{"prompt": ', "line 2 is not JSON"),
        ('{"prompt": "a"}', 'line 1: write "prompt" and "answer"'),
        ('{"prompt": "a", "answer": "b", "anwser": "c"}', "and nothing else"),
        ('\n["a", "b"]', 'line 2: write "prompt"'),
        ('{"prompt": "a", "answer": " "}', 'line 1: "answer" is a text'),
        ('{"prompt": "a", "answer": "b", "history": [["c"]]}', '"history" is a list of pairs'),
        ('{"prompt": "a\\u0000", "answer": "b"}', 'line 1: "prompt" is a text'),
        ('{"prompt": "a", "answer": "\\ud800"}', 'line 1: "answer" is a text'),
        ("[" * 100_000, "line 1 is not JSON"),
        ("", "has no questions"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_its_line(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_texts(file)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_ends_of_lines_do_not_end_a_question(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_bytes('{"prompt": "a\u2028b\x85", "answer": "c"}\r\n{"prompt": "d", "answer": "e"}'.encode())
    assert [question.text.prompt for question in read_texts(file)] == ["a\u2028b\x85", "d"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_texts(tmp_path / "missing.jsonl")


def test_random_weights_and_texts_for_nothing_are_refused(tmp_path: Path) -> None:
    def order(model: str, suites: str, texts: Path | None = None) -> RunRequest:
        return RunRequest.read(model, "original", suites, "8", "8", "2", "cpu", "1", texts)

    with pytest.raises(UsageError, match="random weights"):
        order("shape:chatglm-6b@1", "quality").questions()
    assert order("shape:chatglm-6b@1", "latency").questions() == []
    with pytest.raises(UsageError, match="add --suite quality"):
        order("demo", "latency", tmp_path)
