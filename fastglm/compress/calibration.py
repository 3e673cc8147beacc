"""Calibration texts: a compression runs the model on them to see which of its numbers matter."""

from collections.abc import Sequence
from random import Random
from sys import maxsize

from ..errors import UsageError
from ..models.architecture import Tokenizer
from ..models.checkpoint import Checkpoint
from ..models.packing import Example, encode
from ..models.tokenizer_files import read_tokenizer
from ..text_files import Text

FEWEST = 32  # examples: fewer say little about which numbers matter
TOKENS = 16_384  # tokens of all examples together, whose states are in memory at once
ROW = 512  # most tokens of an example


def calibration_examples(
    checkpoint: Checkpoint, texts: Sequence[Text], most: int = TOKENS, wanted: int = 0
) -> list[Example]:
    """Examples of `most` tokens from all over the texts, or of all texts; always the same ones.

    Args:
        wanted: the least number of tokens.

    Raises:
        UsageError: the texts give fewer than `wanted` tokens or `FEWEST` examples.
        CheckpointError: the checkpoint has no tokenizer.
    """
    tokenizer = read_tokenizer(checkpoint.folder)
    found = examples(tokenizer, texts, min(ROW, checkpoint.config.context))
    tokens = sum(len(example.tokens) for example in found)
    if tokens < wanted:
        raise UsageError(
            f"The texts have {tokens:,} tokens, too few to calibrate this model, which needs {wanted:,}: add texts."
        )
    if len(found) < FEWEST:
        raise UsageError(f"{len(found)} texts are too few to calibrate on: give {FEWEST} or more, better {8 * FEWEST}.")
    Random(0).shuffle(found)
    total = 0
    for number, example in enumerate(found):
        total += len(example.tokens)
        if total > most:
            return found[: max(number, FEWEST)]
    return found


def examples(tokenizer: Tokenizer, texts: Sequence[Text], room: int) -> list[Example]:
    """The texts in the form that the model reads, at most `room` tokens each: the prompt, then the answer.

    Plain text is the answer to an empty prompt. A long answer is cut into parts that follow the same prompt each; a
    text whose prompt takes more than half of the room is left out.
    """
    return [example for text in texts for example in _examples(tokenizer, text, room)]


def _examples(tokenizer: Tokenizer, text: Text, room: int) -> list[Example]:
    try:
        return [encode(tokenizer, text.messages, text.answer, room, text.calls)]
    except ValueError:
        whole = encode(tokenizer, text.messages[-1:], text.answer, maxsize, text.calls)
    start = whole.context + 1
    if 2 * start > room:
        return []
    prompt, answer = whole.tokens[:start], whole.targets
    step = room - start
    return [Example(prompt + answer[cut : cut + step], whole.context) for cut in range(0, len(answer), step)]
