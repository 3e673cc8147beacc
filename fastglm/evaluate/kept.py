"""The file that a reference is kept in, and carried between machines by: written whole, and checked as it is read."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError
from .streamed import BestLogits

FORMAT = "fastglm-reference-2"  # 2: with answers
BEST = 64  # logits of every token
LOGITS = tuple(field.name for field in fields(BestLogits))


@dataclass(frozen=True, slots=True)
class Subject:
    """What a reference is of, and what its tensors have to fit."""

    checkpoint: str  # SHA-256 of config and weights
    questions: str  # SHA-256 of what is asked, with the known answers
    examples: int
    targets: int  # tokens of the known answers
    vocabulary: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file holds."""

    made: str  # in which precision, and on what
    best: BestLogits  # of all targets
    answers: Mapping[int, str | None]  # the original's own, by the number of the example; None: it did not end

    def write(self, path: Path, subject: Subject) -> None:
        """Writes beside the place and moves there, so that a kill leaves no half of a file."""
        metadata = {"format": FORMAT, "made": self.made, "checkpoint": subject.checkpoint}
        tensors = {name: getattr(self.best, name).cpu().contiguous() for name in LOGITS}
        text = json.dumps([[number, answer] for number, answer in sorted(self.answers.items())])
        tensors["answers"] = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            save_file(tensors, partial, metadata | {"questions": subject.questions})
            os.replace(partial, path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} could not be written ({error}): make room there.") from error
        finally:
            partial.unlink(missing_ok=True)


def read(path: Path, subject: Subject, advice: str) -> Kept:
    """The file's content. Raises CheckpointError: what is wrong with the file, and `advice`, in one line."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_origin(metadata, subject)
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  # not a dict
        _check_tensors(tensors, subject)
        answers = _answers(tensors["answers"], subject.examples)
    except _WrongError as error:
        raise CheckpointError(f"{path} {error}: {advice}.") from error
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CheckpointError(f"{path} is truncated or corrupt, or no reference: {advice}.") from error
    return Kept(metadata.get("made", "?"), BestLogits(*(tensors[name] for name in LOGITS)), answers)


class _WrongError(Exception):
    """What is wrong with a file, to be read after its name."""


def _check_origin(metadata: Mapping[str, str], subject: Subject) -> None:
    found = metadata.get("format", "")
    if not found.startswith("fastglm-reference"):
        raise _WrongError("is no reference of FAST-ChatGLM")
    if found != FORMAT:
        raise _WrongError(f"is of another version of FAST-ChatGLM ({found}, this one reads {FORMAT})")
    checkpoint = metadata.get("checkpoint", "")
    if checkpoint != subject.checkpoint:
        raise _WrongError(f"is of another checkpoint ({checkpoint[:12]}, this one is {subject.checkpoint[:12]})")
    if metadata.get("questions") != subject.questions:
        raise _WrongError("is of other questions than these")


def _check_tensors(tensors: Mapping[str, Tensor], subject: Subject) -> None:
    if tensors.keys() != {*LOGITS, "answers"}:
        raise _WrongError(f"holds {', '.join(sorted(tensors))}, not {', '.join(LOGITS)} and answers")
    wide, narrow = (subject.targets, min(BEST, subject.vocabulary)), (subject.targets,)
    shapes = {"tokens": wide, "logits": wide, "total": narrow, "target": narrow}
    for name, shape in shapes.items():
        tensor, dtype = tensors[name], torch.int32 if name == "tokens" else torch.float32
        if (tensor.shape, tensor.dtype) != (shape, dtype):
            given = f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
            raise _WrongError(f"has {name} of {given}, not {shape} {str(dtype).removeprefix('torch.')}")
        if not tensor.isfinite().all():
            raise _WrongError(f"has a {name} that is not finite")
    if not ((tensors["tokens"] >= 0) & (tensors["tokens"] < subject.vocabulary)).all():
        raise _WrongError(f"names a token beyond the vocabulary of {subject.vocabulary}")


def _answers(encoded: Tensor, examples: int) -> dict[int, str | None]:
    try:
        found = json.loads(encoded.to(torch.uint8).numpy().tobytes())
        answers = dict(found)
    except (ValueError, TypeError) as error:
        raise _WrongError("has answers that cannot be read") from error
    if not all(type(number) is int and 0 <= number < examples for number in answers):
        raise _WrongError(f"has an answer to a question beyond the {examples} asked")
    if not all(answer is None or isinstance(answer, str) for answer in answers.values()):
        raise _WrongError("has an answer that is no text")
    return answers
