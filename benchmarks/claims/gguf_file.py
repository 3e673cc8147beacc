"""The second demo model as a GGUF file: llama.cpp predicts the same tokens as this project."""

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch

import fastglm
from benchmarks.measure.bounds import ClaimedFigure, count
from benchmarks.peers.llama import Llama
from benchmarks.peers.peer import lacking
from benchmarks.run.isolated import apart
from benchmarks.run.progress import Reporter
from benchmarks.run.questions import held_out
from fastglm.convert.conversion import convert
from fastglm.convert.kinds import Layout
from fastglm.evaluate.scoring import encoded
from fastglm.progress.progress import OnProgress, Progress

MODEL = "demo-glm"
POSITIONS = 200
PROMISED = "demo-glm as an f16 GGUF file: llama.cpp and original have the same best token at 190 of 200 positions"


def promise(reporter: Reporter) -> list[ClaimedFigure]:
    """Compare the best tokens in held-out answers, where llama.cpp is installed (the extra `peers`)."""
    if lacking("llama_cpp", "gguf"):
        return []
    same = apart(equal_tokens, reporter, MODEL, POSITIONS)
    return [count(same, POSITIONS, least=round(0.95 * POSITIONS))]


def equal_tokens(progress: OnProgress, name: str, positions: int) -> int:
    """The number of positions, in the known answers to held-out questions, at which both have the same best token.

    Both read the ids of this project's tokenizer, because llama.cpp spells no unknown character by its bytes.
    """
    model, tokenizer = fastglm.load(name, "original", "cpu", "float32")
    asked = [question.asked for question in held_out(1, name)]
    examples = encoded(tokenizer, asked[::7], model.context_length)  # of every skill
    with tempfile.TemporaryDirectory() as folder:
        theirs = Llama(convert(name, Layout.gguf, Path(folder) / "model.gguf"), model.context_length, 1)

        def same() -> Iterator[bool]:
            for number, example in enumerate(examples):
                progress(Progress("original and llama.cpp in turn", number, len(examples)))
                with torch.inference_mode():
                    ours = model(input_ids=torch.tensor([example.tokens])).logits[0].argmax(-1).tolist()
                both = list(zip(ours, theirs.best(example.tokens), strict=True))
                yield from (mine == other for mine, other in both[example.context : -1])

        found = list(islice(same(), positions))
    assert len(found) == positions
    return sum(found)
