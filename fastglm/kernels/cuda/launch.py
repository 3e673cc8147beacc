"""The choice of a kernel by number of rows and card, and its launch.

The rule follows from the bytes to read and the work to do; it is not measured yet (`python -m benchmarks promises
--only kernels` times every way that it chooses from):

- One row: the ordinary cores, a unit of 16 bytes per thread, as many warps as a row has units for. They take about four
  instructions per weight, and a card of 130 multiprocessors at 1.9 GHz starts 32 · 10^12 per second: enough for int4
  weights that arrive at 4 TB/s.
- Up to 256 rows: tensor cores, from shared memory, the numbers dequantised tile by tile.
- More: the weights are unpacked, a block of rows at a time, for the library's product, which the unpacking (2.5 bytes
  read and written per weight) no longer delays much.
- Compute capability 7.5 has tensor cores that Triton does not use: there the ordinary cores take up to 4 rows.

If there are fewer than two programs per multiprocessor, several programs share the columns of a row.
"""

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from ..epilogue import NOTHING, Epilogue
from ..format import BLOCK_ROWS
from . import products
from .layout import span

ONE = 0x3FC00000  # see `products.mantissa`
VECTOR, TILE = 1, 256  # largest number of rows of x for each way
VECTOR_BEFORE_8 = 4
PROGRAMS = 2  # programs that a multiprocessor should have
MOST_PARTS = 16
STEP = 128  # columns of a tile's step if scales have no groups; 4 units of int4


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed matrix of rows × columns: words [rows, 4 · units] in int32, and scales and zeros, [rows, groups], or
    [rows] and None if `group` is 0.
    """

    words: Tensor
    scale: Tensor
    zero: Tensor | None
    columns: int
    bits: int
    group: int

    @property
    def rows(self) -> int:
        """Number of outputs."""
        return self.words.shape[0]

    @property
    def units(self) -> int:
        """Number of 16-byte units in a row."""
        return self.words.shape[1] // 4


@dataclass(frozen=True, slots=True)
class Way:
    """A way to multiply: by `vector`, `tile` or `library`; `rows` × `batch` per program, `units` per step, by `parts`
    programs that share the columns.
    """

    kernel: str
    rows: int = 0
    batch: int = 1
    units: int = 0
    warps: int = 4
    stages: int = 2
    parts: int = 1


def choose(matrix: Packed, size: int, capability: tuple[int, int], multiprocessors: int) -> Way:
    """The way for `size` rows of x, by the rule above."""
    tensor_cores = capability >= (8, 0)
    if size <= (VECTOR if tensor_cores else VECTOR_BEFORE_8):
        return vector(matrix, size, multiprocessors)
    if size <= TILE and tensor_cores:
        return tile(matrix, size, multiprocessors)
    return Way("library")


def vector(matrix: Packed, size: int, multiprocessors: int) -> Way:
    """A way on the ordinary cores."""
    warps = next(warps for warps in (4, 2, 1) if 32 * warps <= matrix.units or warps == 1)
    return _shared(Way("vector", rows=4, units=32 * warps, warps=warps), matrix, size, multiprocessors)


def tile(matrix: Packed, size: int, multiprocessors: int) -> Way:
    """A way on the tensor cores: tiles of 64 × 16, or of 128 × 64 if x has more rows."""
    units = (matrix.group or STEP) // span(matrix.bits)
    if size <= 16:
        way = Way("tile", rows=64, batch=16, units=units, warps=4, stages=4)
    else:
        way = Way("tile", rows=128, batch=64, units=units, warps=8, stages=3)
    return _shared(way, matrix, size, multiprocessors)


def _shared(way: Way, matrix: Packed, size: int, multiprocessors: int) -> Way:
    programs = triton.cdiv(matrix.rows, way.rows) * triton.cdiv(size, way.batch)
    steps = triton.cdiv(matrix.units, way.units)
    parts = max(1, min(PROGRAMS * multiprocessors // programs, steps, MOST_PARTS))
    return Way(way.kernel, way.rows, way.batch, way.units, way.warps, way.stages, parts)


@cache
def card(device: torch.device) -> tuple[tuple[int, int], int]:
    """Compute capability of a card, and its number of multiprocessors."""
    properties = torch.cuda.get_device_properties(device)
    return (properties.major, properties.minor), properties.multi_processor_count


def linear(x: Tensor, matrix: Packed, after: Epilogue = NOTHING) -> Tensor:
    """Multiply x, [size, columns] in fp16 or bf16 → [size, rows], or half of them after SwiGLU, in the dtype of x."""
    return run(choose(matrix, x.shape[0], *card(x.device)), x, matrix, after)


def run(way: Way, x: Tensor, matrix: Packed, after: Epilogue = NOTHING) -> Tensor:
    """Multiply like `linear`, in the given way. Launches on the current device."""
    if way.kernel == "library":
        return _library(x, matrix, after)
    x, size, rows = x.contiguous(), x.shape[0], matrix.rows
    out = torch.empty(size, rows // 2 if after.swiglu else rows, dtype=x.dtype, device=x.device)
    shared = way.parts > 1
    target = torch.empty(way.parts, size, rows, device=x.device) if shared else out
    bias, residual = (x if given is None else given.contiguous() for given in (after.bias, after.residual))
    ends = {"HAS_BIAS": after.bias is not None, "HAS_RESIDUAL": after.residual is not None}
    ends |= {"GELU": after.gelu, "SWIGLU": after.swiglu}
    kernel = products.vector_product if way.kernel == "vector" else products.tile_product
    kernel[triton.cdiv(size, way.batch), triton.cdiv(rows, way.rows), way.parts](
        x,
        matrix.words,
        matrix.scale,
        matrix.scale if matrix.zero is None else matrix.zero,
        bias,
        residual,
        target,
        after.scale,
        ONE,
        size,
        rows,
        matrix.columns,
        matrix.units,
        BITS=matrix.bits,
        GROUP=matrix.group,
        ROWS=way.rows,
        UNITS=way.units,
        SPLIT=shared,
        HAS_ZERO=matrix.zero is not None,
        **ends,
        **({"BATCH": way.batch} if way.kernel == "tile" else {}),
        num_warps=way.warps,
        num_stages=way.stages,
    )
    if shared:
        grid = (triton.cdiv(rows, 256), size)
        products.finish[grid](target, bias, residual, out, after.scale, size, rows, way.parts, ROWS=256, **ends)
    return out


def unpacked(matrix: Packed, dtype: torch.dtype, ids: Tensor) -> Tensor:
    """Unpack the rows `ids` of the weights, [len(ids), columns] in `dtype`."""
    out = torch.empty(len(ids), matrix.columns, dtype=dtype, device=ids.device)
    units = 64
    products.unpack[len(ids), triton.cdiv(matrix.units, units)](
        matrix.words,
        matrix.scale,
        matrix.scale if matrix.zero is None else matrix.zero,
        ids,
        out,
        matrix.columns,
        matrix.units,
        BITS=matrix.bits,
        GROUP=matrix.group,
        UNITS=units,
        HAS_ZERO=matrix.zero is not None,
    )
    return out


def _library(x: Tensor, matrix: Packed, after: Epilogue) -> Tensor:
    blocks = torch.arange(matrix.rows, device=x.device).split(BLOCK_ROWS)
    found = [F.linear(x, unpacked(matrix, x.dtype, block)) for block in blocks]
    return after.apply(found[0] if len(found) == 1 else torch.cat(found, 1), x.dtype)
