"""Size of a model and the bytes it reads per token, predicted from its config before any weight is made."""

from dataclasses import dataclass

import torch

from ..kernels.packed import PackedWeight
from ..models.base import ModelConfig

# Share of a matrix's bytes that sparse tensor cores read at 2:4: half of the 16-bit numbers, and 2 bits of position
# each.
SPARSE_SHARE = (2 * 16 + 2 * 2) / (4 * 16)


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a model's weights; weights that are used twice count once."""

    parameters: int
    bytes: int
    read: int  # bytes of weights read per token: all except the embedding's other rows


def predict_size(config: ModelConfig) -> Size:
    """Predict the size of a model of `config`; weights that are not packed have the config's dtype, or fp16 if it names
    none.

    One sequence at a time. At 2:4 the matrices are read as by sparse tensor cores, and stored with zeros.
    """
    dtype: torch.dtype = config.dtype or torch.float16
    with torch.device("meta"):
        model = config.architecture.model_class(config)
    parameters = stored = read = 0
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if module is model.head and config.tie_word_embeddings:
            own = []
        count, size = sum(p.numel() for p in own), sum(p.numel() for p in own) * dtype.itemsize
        touched = float(size)
        if isinstance(module, torch.nn.Linear) and config.sparsity and model.names.split(name)[0] is not None:
            touched -= (1 - SPARSE_SHARE) * module.weight.numel() * dtype.itemsize
        if isinstance(module, PackedWeight):
            count += module.rows * module.columns
            size += module.format.bytes(module.rows, module.columns)
            touched = size
        if module is model.embedding and not config.tie_word_embeddings:
            touched = size / config.vocab_size  # one row
        parameters, stored, read = parameters + count, stored + size, read + round(touched)
    return Size(parameters, stored, read)
