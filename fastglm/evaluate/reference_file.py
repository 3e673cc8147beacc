"""The file of a reference, for storage and for transport between machines: written atomically, and checked when
read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError
from ..models.head import FinalStates
from ..system.files import replacing

FORMAT = "fastglm-reference-3"  # 3: with the last states
OLD_FORMAT = "fastglm-reference-2"  # with the 64 best logits of every token, which give a too low KL
FINALS = ("states", "best", "losses")


@dataclass(frozen=True, slots=True)
class Subject:
    """Identity of a reference, and the shapes of its tensors."""

    checkpoint: str  # SHA-256 of config and weights
    questions: str  # SHA-256 of the questions, with the known answers
    examples: int
    targets: int  # tokens of the known answers
    vocabulary: int
    hidden: int  # width of the last states


@dataclass(frozen=True, slots=True)
class Kept:
    """Content of a file."""

    made: str  # precision and device of the states
    finals: FinalStates | None  # of all targets; None in a file of `OLD_FORMAT` until they are computed again
    answers: Mapping[int, str | None]  # the original's own answers by the number of the example; None: it did not end

    def write(self, path: Path, subject: Subject, head: Tensor | None = None) -> None:
        """Write to a temporary file and move it into place, so that a kill leaves no partial file.

        Args:
            head: the original's, for a file with everything that its logits are computed from.
        """
        metadata = {"format": FORMAT, "made": self.made, "checkpoint": subject.checkpoint}
        tensors = {} if self.finals is None else {name: getattr(self.finals, name).cpu() for name in FINALS}
        if head is not None:
            tensors["head"] = head
        text = json.dumps([[number, answer] for number, answer in sorted(self.answers.items())])
        tensors["answers"] = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        try:
            with replacing(path) as partial:
                save_file(contiguous, partial, metadata | {"questions": subject.questions})
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} could not be written ({error}): make room there.") from error


def rounded(states: Tensor) -> Tensor:
    """States as they are stored: in fp16, or in fp32 if they exceed its range.

    On tokens that the demo is unsure of, the stored states differ from the original by 4e-8 nats; in bf16 it would be
    3e-6.
    """
    fits = states.abs().max() <= torch.finfo(torch.float16).max
    return states.to(torch.float16 if fits else torch.float32)


def read(path: Path, subject: Subject, advice: str) -> Kept:
    """Read a file's content, except for a head, which the checkpoint has too.

    Raises CheckpointError with the file's fault and `advice`, in one line.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_origin(metadata, subject)
            is_old = metadata["format"] == OLD_FORMAT
            names = {"answers"} if is_old else _checked_names(file, subject)
            tensors = {name: file.get_tensor(name).clone() for name in names}
        _check_numbers(tensors, subject)
        answers = _answers(tensors.pop("answers"), subject.examples)
    except _WrongError as error:
        raise CheckpointError(f"{path} {error}: {advice}.") from error
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CheckpointError(f"{path} is truncated or corrupt, or not a reference: {advice}.") from error
    finals = FinalStates(*(tensors[name] for name in FINALS)) if tensors else None
    return Kept(metadata.get("made", "?"), finals, answers)


class _WrongError(Exception):
    """A file's fault, worded to follow the file's name."""


def _check_origin(metadata: Mapping[str, str], subject: Subject) -> None:
    found = metadata.get("format", "")
    if not found.startswith("fastglm-reference"):
        raise _WrongError("is not a reference of FAST-ChatGLM")
    if found not in (FORMAT, OLD_FORMAT):
        raise _WrongError(f"is of another version of FAST-ChatGLM ({found}, this one reads {FORMAT})")
    checkpoint = metadata.get("checkpoint", "")
    if checkpoint != subject.checkpoint:
        raise _WrongError(f"is of another checkpoint ({checkpoint[:12]}, this one is {subject.checkpoint[:12]})")
    if metadata.get("questions") != subject.questions:
        raise _WrongError("is of other questions than these")


def _checked_names(file: Any, subject: Subject) -> set[str]:
    """The names of the tensors to read, after checking the shapes of all."""
    shapes = {
        "states": (subject.targets, subject.hidden),
        "best": (subject.targets,),
        "losses": (subject.targets,),
        "head": (subject.vocabulary, subject.hidden),
    }
    dtypes = {"states": ("F16", "F32"), "best": ("I32",), "losses": ("F32",), "head": ("F16", "BF16", "F32")}
    found = set(file.keys())
    if found - {"head"} not in ({"answers"}, {"answers", *FINALS}):
        raise _WrongError(f"holds {', '.join(sorted(found))}, not {', '.join(FINALS)} and answers")
    for name in found - {"answers"}:
        tensor = file.get_slice(name)
        shape, dtype = tuple(tensor.get_shape()), tensor.get_dtype()
        if shape != shapes[name] or dtype not in dtypes[name]:
            raise _WrongError(f"has {name} of {shape} {dtype}, not {shapes[name]} {' or '.join(dtypes[name])}")
    return found - {"head"}


def _check_numbers(tensors: Mapping[str, Tensor], subject: Subject) -> None:
    for name in tensors.keys() & {"states", "losses"}:
        if not tensors[name].isfinite().all():
            raise _WrongError(f"has {name} that are not finite")
    best = tensors.get("best", torch.zeros(0))
    if not ((best >= 0) & (best < subject.vocabulary)).all():
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
        raise _WrongError("has an answer that is not a text")
    return answers
