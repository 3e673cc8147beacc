"""The layouts of packed matrices on disk, as data that needs no torch.

Rows are outputs, columns are inputs, as in `nn.Linear`. The layout is equal for every device.
"""

from dataclasses import dataclass
from math import prod

from ..errors import UsageError

BYTES = {"int8": 1, "float16": 2, "bfloat16": 2}  # of a number of each dtype


@dataclass(frozen=True, slots=True)
class Layout:
    """A way to store a matrix: whole bytes of packed numbers, a scale for each row or group of columns, and a zero for
    each group.
    """

    name: str
    bits: int
    group: int | None = None  # columns that share a scale and a zero; None: a row has one scale and no zero
    scale: str = "bfloat16"

    def spec(self, rows: int, columns: int) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shapes and dtypes of the tensors."""
        groups = -(-columns // (self.group or columns))
        width = groups * (self.group or columns) * self.bits // 8
        shape = (rows, groups) if self.group else (rows,)
        names = ("weight_scale", "weight_zero") if self.group else ("weight_scale",)
        return {"weight": ((rows, width), "int8")} | dict.fromkeys(names, (shape, self.scale))

    def bytes(self, rows: int, columns: int) -> int:
        """The number of bytes of the tensors."""
        return sum(prod(shape) * BYTES[dtype] for shape, dtype in self.spec(rows, columns).values())


def int4_layout(group: int | None) -> Layout:
    """int4 in groups of columns; without groups the published layout."""
    return Layout(f"int4-g{group}", 4, group) if group else Layout("int4-published", 4, scale="float16")


def int8_layout(scale: str = "bfloat16") -> Layout:
    """int8 with a scale for each row; the published scales are float16."""
    return Layout("int8", 8, scale=scale)


LAYOUTS = {layout.name: layout for layout in (int8_layout(), *map(int4_layout, (32, 64, 128)))}
PUBLISHED = {8: int8_layout("float16"), 4: int4_layout(None)}  # by `quantization_bit` of a published config


def get_layout(name: str) -> Layout:
    """The layout of a format's name. Raises UsageError with a list of names if there is none."""
    if name not in LAYOUTS:
        raise UsageError(f"Unknown weight format {name!r}; known are {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]
