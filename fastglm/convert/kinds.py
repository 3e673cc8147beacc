"""The layouts that a checkpoint can be converted to, and the types of a GGUF file."""

from enum import StrEnum


class Layout(StrEnum):
    """Layouts of other programs."""

    glm = "glm"
    gguf = "gguf"


class Kind(StrEnum):
    """Types of the matrices in a GGUF file."""

    f16 = "f16"
    q8_0 = "q8_0"
    q4_0 = "q4_0"
