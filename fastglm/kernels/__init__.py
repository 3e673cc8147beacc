"""Weight formats, their packing, and the kernels that multiply packed weights."""

from ..errors import UsageError
from .format import WeightFormat
from .int4 import Int4
from .int8 import Int8

FORMATS: dict[str, WeightFormat] = {
    format.name: format for format in (Int8(), *(Int4(group) for group in (32, 64, 128)))
}


def get_format(name: str) -> WeightFormat:
    """The format of a name. Raises UsageError with a list of names if there is none."""
    if name not in FORMATS:
        raise UsageError(f"Unknown weight format {name!r}; known are {', '.join(FORMATS)}.")
    return FORMATS[name]
