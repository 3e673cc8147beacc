"""Products of activations with packed weights, in Triton: weights are read once and dequantised in registers.

A row of the matrix is a sequence of units of 16 bytes, four words of 32 bits each. Number n of word w of a unit is
column 4n + w of the unit. A thread loads four words at once, and one shift of these gives four numbers whose columns
are neighbours in x. A unit holds 16 columns in int8 and 32 in int4, and no group of a scale cuts a unit.

x is [batch, columns] without padding; the words are padded to whole units, and to whole groups if scales have groups.
Sums are in fp32, and the sum `Σ x·(q·scale + zero)` of a group is computed as `scale · Σ x·q + zero · Σ x`.

If there are too few rows to fill the card, several programs share the columns of a row (split-K): each writes its sum
in fp32, and `finish` adds the sums, always in the same order.
"""

import triton
import triton.language as tl


@triton.jit
def mantissa(words, one, PLACE: tl.constexpr, BITS: tl.constexpr):
    """The number at `PLACE` of each word, as a float in [1, 2), by a shift and one logical operation.

    The number's bits become the first bits of a mantissa with exponent 0, with the sign bit flipped: for q of b bits
    the result is 1 + (q + 2^(b-1)) / 2^b, so q = 2^b · result - 1.5 · 2^b. `one` is 0x3FC00000; it is an argument
    because mask and exclusive or become one instruction only if they are not both constants of the code.
    """
    SHIFT: tl.constexpr = 23 - BITS - BITS * PLACE
    MASK: tl.constexpr = ((1 << BITS) - 1) << (23 - BITS)
    moved = (words << SHIFT) if SHIFT >= 0 else (words >> -SHIFT)
    return ((moved & MASK) ^ one).to(tl.float32, bitcast=True)


@triton.jit
def row_at(place, rows, SWIGLU: tl.constexpr):
    """The row of the matrix at a place of a program's order: for SwiGLU each gate comes before the row that it
    scales.
    """
    return place % 2 * (rows // 2) + place // 2 if SWIGLU else place


@triton.jit
def halved(y):
    """SwiGLU of pairs, a gate and the number that it scales: [..., n] → [..., n / 2]."""
    if len(y.shape) == 1:
        gate, scaled = tl.split(tl.reshape(y, (y.shape[0] // 2, 2)))
    else:
        gate, scaled = tl.split(tl.reshape(y, (y.shape[0], y.shape[1] // 2, 2)))
    return gate * tl.sigmoid(gate) * scaled


@triton.jit
def write(y, out, batch, first, fits, part, size, rows, bias, residual, alpha, ROWS: tl.constexpr, SPLIT: tl.constexpr,
          HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr, GELU: tl.constexpr, SWIGLU: tl.constexpr):  # fmt: skip
    """Write the sums of `ROWS` places from `first` on: partial ones if columns are shared, otherwise with bias, GELU
    (tanh form) or SwiGLU, and `alpha · residual`.

    y: [ROWS], or [n, ROWS] with `batch` (int64) and `fits` of the shape [n, 1]; `size` is the size of the batch.
    """
    place = first + tl.arange(0, ROWS)
    if len(y.shape) == 2:
        place = place[None, :]
    row = row_at(place, rows, SWIGLU)
    if SPLIT:
        tl.store(out + (part * size + batch) * rows + row, y, mask=fits & (place < rows))
    else:
        if HAS_BIAS:
            y += tl.load(bias + row, mask=row < rows, other=0.0).to(tl.float32)
        if GELU:
            y *= tl.sigmoid(1.5957691216057308 * (y + 0.044715 * y * y * y))  # (1 + tanh u) / 2 = sigmoid 2u
        if SWIGLU:
            y, rows = halved(y), rows // 2
            place = first // 2 + tl.arange(0, ROWS // 2)
            if len(y.shape) == 2:
                place = place[None, :]
        at = batch * rows + place
        fits = fits & (place < rows)
        if HAS_RESIDUAL:
            y += alpha * tl.load(residual + at, mask=fits, other=0.0).to(tl.float32)
        tl.store(out + at, y.to(out.dtype.element_ty), mask=fits)


@triton.jit
def vector_product(x, words, scale, zero, bias, residual, out, alpha, one, size, rows, columns, units,
                   BITS: tl.constexpr, GROUP: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr,
                   SPLIT: tl.constexpr, HAS_ZERO: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr,
                   GELU: tl.constexpr, SWIGLU: tl.constexpr):  # fmt: skip
    """Multiply a row of x by `ROWS` rows of the matrix, on the ordinary cores. Grid: [size of the batch, rows / ROWS,
    parts].

    A thread takes one unit of every row, so its part of x serves `ROWS` times. `UNITS` is 32 times the warps. The rows
    of a batch follow each other, so all but the first find the weights in the cache. `GROUP` 0: one scale per row.
    """
    batch = tl.program_id(0).to(tl.int64)
    row = row_at(tl.program_id(1) * ROWS + tl.arange(0, ROWS), rows, SWIGLU)
    part, parts = tl.program_id(2), tl.num_programs(2)
    SPAN: tl.constexpr = 128 // BITS
    lane = tl.arange(0, 4 * UNITS)
    total = tl.zeros((ROWS, UNITS), tl.float32)
    for start in range(part * UNITS, units, parts * UNITS):
        at = row[:, None].to(tl.int64) * (4 * units) + (4 * start + lane)[None, :]
        held = tl.load(words + at, mask=(row < rows)[:, None] & (4 * start + lane < 4 * units)[None, :], other=0)
        column = (start + lane // 4) * SPAN + lane % 4
        dot = tl.zeros((ROWS, 4 * UNITS), tl.float32)
        sum_x = tl.zeros((4 * UNITS,), tl.float32)
        for place in tl.static_range(32 // BITS):
            inside = column + 4 * place < columns
            run = tl.load(x + batch * columns + column + 4 * place, mask=inside, other=0.0).to(tl.float32)
            dot += mantissa(held, one, place, BITS) * run[None, :]
            sum_x += run
        sums = tl.sum(tl.reshape(sum_x, (UNITS, 4)), 1)[None, :]
        products = tl.sum(tl.reshape(dot, (ROWS, UNITS, 4)), 2) * (1 << BITS) - sums * (1.5 * (1 << BITS))
        if GROUP:
            unit = start + tl.arange(0, UNITS)
            at = row[:, None] * (units * SPAN // GROUP) + (unit * SPAN // GROUP)[None, :]
            inside = (row < rows)[:, None] & (unit < units)[None, :]
            products *= tl.load(scale + at, mask=inside, other=0.0).to(tl.float32)
            if HAS_ZERO:
                products += sums * tl.load(zero + at, mask=inside, other=0.0).to(tl.float32)
        total += products
    y = tl.sum(total, 1)
    if not GROUP:
        y *= tl.load(scale + row, mask=row < rows, other=0.0).to(tl.float32)
    write(y, out, batch, tl.program_id(1) * ROWS, batch < size, part, size, rows, bias, residual, alpha, ROWS, SPLIT,
          HAS_BIAS, HAS_RESIDUAL, GELU, SWIGLU)  # fmt: skip


@triton.jit
def tile_product(x, words, scale, zero, bias, residual, out, alpha, one, size, rows, columns, units,
                 BITS: tl.constexpr, GROUP: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, BATCH: tl.constexpr,
                 SPLIT: tl.constexpr, HAS_ZERO: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr,
                 GELU: tl.constexpr, SWIGLU: tl.constexpr):  # fmt: skip
    """Multiply `BATCH` rows of x by `ROWS` rows of the matrix, on the tensor cores. Grid: [size / BATCH, rows / ROWS,
    parts].

    A step takes `UNITS` units, a whole group if scales have groups: the numbers, exact in either dtype of x, are
    multiplied first, and scaled afterwards in fp32.
    """
    batch = (tl.program_id(0) * BATCH + tl.arange(0, BATCH)).to(tl.int64)
    row = row_at(tl.program_id(1) * ROWS + tl.arange(0, ROWS), rows, SWIGLU)
    part, parts = tl.program_id(2), tl.num_programs(2)
    SPAN: tl.constexpr = 128 // BITS
    PLACES: tl.constexpr = 32 // BITS
    STEP: tl.constexpr = UNITS * SPAN
    place = BITS * tl.arange(0, PLACES)
    word = tl.arange(0, 4 * UNITS)
    total = tl.zeros((ROWS, BATCH), tl.float32)
    steps = (units + UNITS - 1) // UNITS
    for step in range(part, steps, parts):
        at = row[:, None].to(tl.int64) * (4 * units) + (step * 4 * UNITS + word)[None, :]
        inside = (row < rows)[:, None] & (step * 4 * UNITS + word < 4 * units)[None, :]
        held = tl.reshape(tl.load(words + at, mask=inside, other=0), (ROWS, UNITS, 1, 4))
        numbers = (held << (32 - BITS - place)[None, None, :, None]) >> (32 - BITS)
        numbers = tl.reshape(numbers, (ROWS, STEP)).to(tl.float32).to(x.dtype.element_ty)
        column = step * STEP + tl.arange(0, STEP)
        seen = (batch < size)[:, None] & (column < columns)[None, :]
        run = tl.load(x + batch[:, None] * columns + column[None, :], mask=seen, other=0.0)
        if GROUP:
            at = row * (units * SPAN // GROUP) + step
            products = tl.dot(numbers, tl.trans(run))
            total += products * tl.load(scale + at, mask=row < rows, other=0.0).to(tl.float32)[:, None]
            if HAS_ZERO:
                sums = tl.sum(run.to(tl.float32), 1)[None, :]
                total += sums * tl.load(zero + at, mask=row < rows, other=0.0).to(tl.float32)[:, None]
        else:
            total = tl.dot(numbers, tl.trans(run), total)
    if not GROUP:
        total *= tl.load(scale + row, mask=row < rows, other=0.0).to(tl.float32)[:, None]
    write(tl.trans(total), out, batch[:, None], tl.program_id(1) * ROWS, (batch < size)[:, None], part, size, rows,
          bias, residual, alpha, ROWS, SPLIT, HAS_BIAS, HAS_RESIDUAL, GELU, SWIGLU)  # fmt: skip


@triton.jit
def finish(sums, bias, residual, out, alpha, size, rows, parts, ROWS: tl.constexpr,
           HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr, GELU: tl.constexpr,
           SWIGLU: tl.constexpr):  # fmt: skip
    """Add the sums of the programs that shared columns, [parts, size, rows]. Grid: [rows / ROWS, size]."""
    row = row_at(tl.program_id(0) * ROWS + tl.arange(0, ROWS), rows, SWIGLU)
    batch = tl.program_id(1).to(tl.int64)
    y = tl.zeros((ROWS,), tl.float32)
    for part in range(parts):
        y += tl.load(sums + (part * size + batch) * rows + row, mask=row < rows, other=0.0)
    write(y, out, batch, tl.program_id(0) * ROWS, batch < size, 0, size, rows, bias, residual, alpha, ROWS, False,
          HAS_BIAS, HAS_RESIDUAL, GELU, SWIGLU)  # fmt: skip


@triton.jit
def unpack(words, scale, zero, ids, out, columns, units, BITS: tl.constexpr, GROUP: tl.constexpr, UNITS: tl.constexpr,
           HAS_ZERO: tl.constexpr):  # fmt: skip
    """Unpack rows `ids` (int64) of the weights to [len(ids), columns] in the dtype of out. Grid: [len(ids), units /
    UNITS].
    """
    place = tl.program_id(0).to(tl.int64)
    row = tl.load(ids + place)
    SPAN: tl.constexpr = 128 // BITS
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    word = tl.program_id(1) * 4 * UNITS + tl.arange(0, 4 * UNITS)
    held = tl.reshape(tl.load(words + row * (4 * units) + word, mask=word < 4 * units, other=0), (UNITS, 1, 4))
    shift = 32 - BITS - BITS * tl.arange(0, 32 // BITS)
    numbers = ((held << shift[None, :, None]) >> (32 - BITS)).to(tl.float32)
    if GROUP:
        at = row * (units * SPAN // GROUP) + unit * SPAN // GROUP
        numbers *= tl.load(scale + at, mask=unit < units, other=0.0).to(tl.float32)[:, None, None]
        if HAS_ZERO:
            numbers += tl.load(zero + at, mask=unit < units, other=0.0).to(tl.float32)[:, None, None]
    else:
        numbers *= tl.load(scale + row).to(tl.float32)
    column = tl.program_id(1) * UNITS * SPAN + tl.arange(0, UNITS * SPAN)
    numbers = tl.reshape(numbers, (UNITS * SPAN,)).to(out.dtype.element_ty)
    tl.store(out + place * columns + column, numbers, mask=column < columns)
