"""Greedy answers of the demo model equal those recorded before the engine had slots."""

import json
from pathlib import Path

import fastglm

RECORDED = Path(__file__).parents[1] / "fixtures" / "demo-answers.jsonl"


def test_two_hundred_greedy_answers() -> None:
    recorded = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    assert len(recorded) == 200
    model, tokenizer = fastglm.load("demo", "fast", "cpu", "float32")
    for row in recorded:
        pieces = fastglm.stream(model, tokenizer, row["question"], row["history"], max_new_tokens=48, do_sample=False)
        assert [*pieces][-1].text == row["answer"], row["question"]
