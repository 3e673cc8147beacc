"""GGUF files for llama.cpp, in its architecture `chatglm`, from checkpoints of ChatGLM2, 3, GLM-4 and CodeGeeX."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..compress.checkpoint_writer import new_path
from ..errors import CheckpointError, UsageError
from ..kernels.format import BLOCK_ROWS
from ..progress.progress import OnProgress
from .gguf_vocabulary import add_vocabulary
from .kinds import Kind
from .source import Source
from .weights import Weight, list_weights, read_weights

_NAMES = {
    "embedding": "token_embd",
    "final_norm": "output_norm",
    "head": "output",
    "attention_norm": "attn_norm",
    "attention_in": "attn_qkv",
    "attention_out": "attn_output",
    "mlp_norm": "ffn_norm",
    "mlp_in": "ffn_up",
    "mlp_out": "ffn_down",
}


def write_gguf(source: Source, out: Path, kind: Kind, progress: OnProgress | None) -> None:
    """Write a file; it appears when it is complete, and memory holds one matrix.

    Norms and biases are fp32. Matrices whose width is no multiple of 32 are f16 in every file, and the head of a `q4_0`
    file is `q8_0`, because errors in it count most.

    Raises:
        UsageError: the package `gguf` is missing.
        CheckpointError: the weights or the tokenizer cannot be read or expressed.
        DiskShortError: the disk of `out` is too small.
    """
    try:
        import gguf
    except ImportError as error:
        raise UsageError("Writing GGUF files needs gguf: pip install 'fastglm[gguf]'.") from error
    _check(source)
    weights = list_weights(source.checkpoint)
    with new_path(out, sum(_size(weight, kind) for weight in weights)) as path:
        writer = gguf.GGUFWriter(path, "chatglm")
        try:
            _describe(writer, source, kind)
            add_vocabulary(writer, source)
            for weight in weights:
                _announce(writer, weight, kind)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for weight, tensor in read_weights(source.checkpoint, progress):
                writer.write_tensor_data(_packed(weight, tensor, kind))
        finally:
            writer.close()


def _check(source: Source) -> None:
    if not source.vocabulary.ranks and not source.vocabulary.model:
        raise UsageError(
            f"{source.name} has a tokenizer.json, which this command does not write as GGUF: convert it --to glm, and "
            "that folder with llama.cpp's own convert_hf_to_gguf.py."
        )
    if source.config.attention_rows(0)[0] != source.config.hidden:
        raise UsageError(f"{source.name}: its heads are not as wide as its states, which llama.cpp needs.")


def _describe(writer: Any, source: Source, kind: Kind) -> None:
    """Add the sizes of the model."""
    import gguf

    config = source.config
    writer.add_name(source.name)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind.upper()}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.hidden)
    writer.add_feed_forward_length(config.inner(0))
    writer.add_block_count(config.layers)
    writer.add_head_count(config.query_heads(0))
    writer.add_head_count_kv(config.kv_heads(0))
    writer.add_layer_norm_rms_eps(config.layernorm_epsilon)
    base, divisor = config.base_and_divisor
    writer.add_rope_dimension_count(config.rotated)
    writer.add_rope_freq_base(base)
    if divisor != 1:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(divisor)


def _type(weight: Weight, kind: Kind) -> Any:
    """The type of a tensor in the file."""
    import gguf

    types = gguf.GGMLQuantizationType
    if len(weight.shape) == 1:
        return types.F32
    wanted = types.Q8_0 if weight.role == "head" and kind is Kind.q4_0 else types[kind.upper()]
    return wanted if weight.shape[1] % gguf.GGML_QUANT_SIZES[wanted][0] == 0 else types.F16


def _row_bytes(weight: Weight, kind: Kind) -> int:
    import gguf

    block, size = gguf.GGML_QUANT_SIZES[_type(weight, kind)]
    return int(weight.shape[-1] // block * size)


def _size(weight: Weight, kind: Kind) -> int:
    """Bytes of a tensor in the file."""
    rows = weight.shape[0] if len(weight.shape) == 2 else 1
    return rows * _row_bytes(weight, kind)


def _announce(writer: Any, weight: Weight, kind: Kind) -> None:
    """Add name, shape and type of a tensor, which is written later."""
    place = "" if weight.layer is None else f"blk.{weight.layer}."
    name = f"{place}{_NAMES[weight.role]}.{weight.end}"
    shape = (*weight.shape[:-1], _row_bytes(weight, kind))
    writer.add_tensor_info(name, shape, np.dtype(np.uint8), _size(weight, kind), raw_dtype=_type(weight, kind))


def _packed(weight: Weight, tensor: Tensor, kind: Kind) -> np.ndarray:
    """The bytes of a tensor in the file. Raises CheckpointError for numbers beyond fp16 in an f16 matrix."""
    from gguf.quants import quantize

    wanted = _type(weight, kind)
    with np.errstate(over="ignore"):
        blocks = [quantize(block.float().numpy(), wanted) for block in tensor.split(BLOCK_ROWS)]
    if any(block.dtype == np.float16 and not np.isfinite(block).all() for block in blocks):
        raise CheckpointError(f"{weight.module} has numbers beyond the range of f16: convert with --type q8_0.")
    return np.concatenate(blocks)
