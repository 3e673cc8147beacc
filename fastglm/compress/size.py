"""Size of a model and the bytes it reads per token, predicted from its config before any weight is made."""

import re
from dataclasses import dataclass

from ..kernels.layout import Layout
from ..models.facts import ModelFacts

# Share of a matrix's bytes that sparse tensor cores read at 2:4: half of the 16-bit numbers, and 2 bits of position
# each.
SPARSE_SHARE = (2 * 16 + 2 * 2) / (4 * 16)


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a model's weights; weights that are used twice count once."""

    parameters: int
    bytes: int
    read: int  # bytes of weights read per token: all except the embedding's other rows


def predict_size(config: ModelFacts) -> Size:
    """Predict the size of a model of `config`; weights that are not packed have the config's dtype, or fp16 if it names
    none.

    Bytes are read for one sequence at a time. At 2:4 the matrices are read as by sparse tensor cores, and stored with
    zeros.
    """
    width, layers = _width(config.dtype), range(config.layers)
    table = config.vocab_size, config.hidden_size
    tables = 1 if config.tie_word_embeddings else 2  # embedding, and head
    matrices = [matrix for layer in layers for matrix in config.matrices(layer)]
    others = config.others(None) + config.prefix_parameters + sum(map(config.others, layers))
    linear = sum(_bytes(config.linear_layout(), *matrix, width) for matrix in matrices)
    stored = _bytes(config.embedding_layout(), *table, width)
    parameters = tables * table[0] * table[1] + sum(rows * columns for rows, columns in matrices) + others
    share = SPARSE_SHARE if config.sparsity else 1
    row = 0 if config.tie_word_embeddings else stored / config.vocab_size  # of the embedding, beside the head
    read = round(linear * share + row) + stored + others * width
    return Size(parameters, tables * stored + linear + others * width, read)


def _bytes(layout: Layout | None, rows: int, columns: int, width: int) -> int:
    """Bytes of a matrix, whose numbers have `width` bytes if it is not packed."""
    return layout.bytes(rows, columns) if layout else rows * columns * width


def _width(dtype: object) -> int:
    """Bytes of a number of torch's dtype, or of its name, which tells the bits."""
    bits = re.search(r"\d+", str(dtype))
    return int(bits[0]) // 8 if bits else 2
