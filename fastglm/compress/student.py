"""The config of a student, by its differences from its teacher's: whole numbers, or shares such as 0.5."""

from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError, UsageError
from ..models.facts import LayerShape
from .configs import Facts, kept
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


def smaller(teacher: Facts, fields: Mapping[str, Any]) -> Facts:
    """The teacher's config with these fields; heads keep their width if `head_dim` is not given.

    If a teacher's layers differ, the student's layers are like the teacher's at the same depth.

    Raises:
        UsageError: the student would not be smaller than its teacher, or is impossible.
    """
    if teacher.sparsity:
        raise UsageError("the teacher is 2:4 sparse, which its student would not be: distil before sparse24")
    layers = _count(fields.get("num_layers", 1.0), teacher.layers)
    if layers > teacher.layers:
        raise UsageError(f"{layers} layers are more than the {teacher.layers} of the teacher that they begin from")
    like = [layer * teacher.layers // layers for layer in range(layers)]
    heads, inner = fields.get("num_attention_heads", 1.0), fields.get("inner_hidden_size", 1.0)
    student = teacher.with_layers([_shape(teacher.shape(layer), heads, inner) for layer in like])
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


def _shape(shape: LayerShape, heads: float, inner: float) -> LayerShape:
    """A layer's widths with other numbers; queries share their keys as before."""
    kv_heads = max(1, _count(heads, shape.query_heads) * shape.kv_heads // shape.query_heads)
    return LayerShape(kv_heads * (shape.query_heads // shape.kv_heads), kv_heads, _width(inner, shape.inner))


def _count(value: float, whole: int) -> int:
    return max(1, round(whole * value)) if isinstance(value, float) else value


def _width(value: float, whole: int) -> int:
    return kept(whole, value) if isinstance(value, float) else value
