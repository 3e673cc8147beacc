"""Greedy answers of the demo model equal those recorded before the engine had slots."""

import json
from pathlib import Path

import fastglm
from fastglm.generation.piece import Piece
from fastglm.generation.streams import Streams

ALONE, AT_ONCE = 40, 16  # answers of one request after the other; of the rest side by side
RECORDED = Path(__file__).parents[1] / "fixtures" / "demo-answers.jsonl"


def test_two_hundred_greedy_answers() -> None:
    recorded = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    assert len(recorded) == 200
    model, tokenizer = fastglm.load("demo", "fast", "cpu", "float32")
    for row in recorded[:ALONE]:
        pieces = fastglm.stream(model, tokenizer, row["question"], row["history"], max_new_tokens=48, do_sample=False)
        assert [*pieces][-1].text == row["answer"], row["question"]
    streams, texts = Streams(model, tokenizer), {}
    for start in range(ALONE, len(recorded), AT_ONCE):
        for id, row in enumerate(recorded[start : start + AT_ONCE], start):
            streams.add(id, row["question"], row["history"], max_new_tokens=48, do_sample=False)
        while streams.busy:
            texts |= {id: piece.text for id, piece in streams.step() if isinstance(piece, Piece)}
    for id, text in texts.items():
        assert text == recorded[id]["answer"], recorded[id]["question"]
    assert len(texts) == len(recorded) - ALONE
