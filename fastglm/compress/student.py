"""The config of a student, by its differences from its teacher's: whole numbers, or shares such as 0.5."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from ..errors import CheckpointError, UsageError
from ..models.chatglm.config import ChatGLM6BConfig
from .prune.width import kept, same_or_list
from .size import predict_size

COUNTS = ("num_layers", "hidden_size", "num_attention_heads", "inner_hidden_size", "head_dim")
TIE = "tie_word_embeddings"


def check_student(fields: Mapping[str, Any]) -> None:
    """Raise UsageError for no fields, an unknown field of a student, or an impossible value."""
    if not fields:
        raise UsageError(f"student has no fields: name some of {', '.join((*COUNTS, TIE))}")
    for name, value in fields.items():
        if name not in (*COUNTS, TIE):
            raise UsageError(f"student has no field {name!r}; it has {', '.join((*COUNTS, TIE))}")
        if name == TIE:
            right, wanted = isinstance(value, bool), "true or false"
        else:
            right = (type(value) is int and value > 0) or (type(value) is float and 0 < value <= 1)
            wanted = "a whole number, 1 or more, or a share such as 0.5"
        if not right:
            raise UsageError(f"student: {name} must be {wanted} (got {value!r})")


def smaller(teacher: ChatGLM6BConfig, fields: Mapping[str, Any]) -> ChatGLM6BConfig:
    """The teacher's config with these fields; heads keep their width if `head_dim` is not given.

    If a teacher's layers differ, the student's layers are like the teacher's at the same depth.

    Raises:
        UsageError: the student would not be smaller than its teacher, or is impossible.
    """
    if teacher.sparsity:
        raise UsageError("the teacher is 2:4 sparse, which its student would not be: distil before sparse24")
    student = deepcopy(teacher)
    layers = student.num_layers = _count(fields.get("num_layers", 1.0), teacher.num_layers)
    if layers > teacher.num_layers:
        raise UsageError(f"{layers} layers are more than the {teacher.num_layers} of the teacher that they begin from")
    like = [layer * teacher.num_layers // layers for layer in range(layers)]
    heads, inner = fields.get("num_attention_heads", 1.0), fields.get("inner_hidden_size", 1.0)
    student.num_attention_heads = same_or_list([_count(heads, teacher.query_heads(layer)) for layer in like])
    student.inner_hidden_size = same_or_list([_width(inner, teacher.inner(layer)) for layer in like])
    student.hidden_size = _width(fields.get("hidden_size", 1.0), teacher.hidden_size)
    student.head_dim = _width(fields.get("head_dim", 1.0), int(teacher.head_dim or 0))
    student.tie_word_embeddings = fields.get(TIE, teacher.tie_word_embeddings)
    student.layer_numbers = None
    try:
        student.check()
    except CheckpointError as error:
        raise UsageError(f"student: {str(error).removeprefix('config.json: ')}") from error
    ours, theirs = predict_size(student).parameters, predict_size(teacher).parameters
    if ours >= theirs:
        raise UsageError(f"the student has {ours:,} parameters, its teacher {theirs:,}: make it smaller")
    return student


def _count(value: float, whole: int) -> int:
    return max(1, round(whole * value)) if isinstance(value, float) else value


def _width(value: float, whole: int) -> int:
    return kept(whole, value) if isinstance(value, float) else value
