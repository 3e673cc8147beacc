"""Loading a checkpoint: the model is built without weights, placed on its devices and filled tensor by tensor."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import GenerationConfig

from ..errors import MemoryShortError, UsageError
from ..kernels import huge_pages
from ..kernels.packed import PackedWeight, QuantizedEmbedding
from ..placement import Entries, plan
from ..progress.progress import OnProgress, Progress
from ..system.devices import default_dtype, free_memory, resolve_devices
from ..system.files import in_words
from . import bitsandbytes
from .architecture import Tokenizer
from .base import ModelConfig
from .checkpoint import Checkpoint
from .language_model import LanguageModel
from .prefix_weights import stored_prefix
from .tokenizer_files import read_tokenizer

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# Beside the weights: activations, a cache of some hundred tokens, the allocator's slack.
_HEADROOM = 1.05


@dataclass(frozen=True, slots=True)
class Opened:
    """A checkpoint with checked tensors that are still to be read, or a config for random weights (`tensors` None)."""

    config: ModelConfig
    tokenizer: Tokenizer
    tensors: Iterator[tuple[str, Tensor]] | None = None


def load_checkpoint(
    folder: Path, device: str = "auto", dtype: str = "auto", progress: OnProgress | None = None
) -> LanguageModel:
    """The model of a checkpoint with its weights as they are stored, multiplied exactly.

    Args:
        device: as for `fastglm.load`.
        dtype: likewise.

    Raises:
        CheckpointError, DeviceError, MemoryShortError, UsageError: an unreadable checkpoint, a missing device, too
            little memory, an unknown dtype.
    """
    devices = resolve_devices(device)
    wanted = resolve_dtype(dtype, devices[0])
    opened = open_checkpoint(folder)
    assert opened.tensors is not None
    model = build(opened.config, devices[0], wanted)
    target = place(model, devices, wanted, str(folder), "," in device)
    fill(model, opened.tensors, target, wanted, progress)
    return model


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The dtype of a name; `auto` is float32 on CPUs and float16 elsewhere. Raises UsageError."""
    if dtype == "auto":
        return default_dtype(device)
    if dtype not in DTYPES:
        raise UsageError(f"Unknown dtype {dtype!r}; known are auto, {', '.join(DTYPES)}.")
    return DTYPES[dtype]


def open_checkpoint(folder: Path, trim_image_tokens: bool = False, generation: str = "auto") -> Opened:
    """Config, tokenizer and checked tensors of a folder; the projection of a learned prefix is computed.

    Args:
        trim_image_tokens: drop the 20000 image tokens that no text uses from an old vocabulary of 150528.
        generation: as for `fastglm.load`.

    Raises:
        CheckpointError: it cannot be read, or its parts do not belong together.
        UsageError: a generation for an architecture that has one alone.
    """
    checkpoint = Checkpoint(folder, generation)
    tokenizer = read_tokenizer(folder, generation)
    checkpoint.settle_head()
    config, tensors = checkpoint.config, checkpoint.tensors()
    config.agree(tokenizer)
    if trim_image_tokens:
        tokenizer = config.trim(tokenizer)
        tensors = _last_rows(checkpoint, tensors, config.vocab_size)
    opened = Opened(config, tokenizer, tensors)
    return adapt(opened, stored_prefix(checkpoint)) if config.pre_seq_len else opened


def adapt(opened: Opened, prefix: Tensor) -> Opened:
    """The opened model with a learned prefix, in place of any that it has: [length, width]."""
    config = opened.config
    config.pre_seq_len, config.prefix_projection = len(prefix), False
    name = config.architecture.tensors.prefix
    if opened.tensors is None:
        return opened
    others = (pair for pair in opened.tensors if not pair[0].startswith(f"{name}."))
    return replace(opened, tensors=chain(others, [(f"{name}.embedding.weight", prefix)]))


def build(
    config: ModelConfig,
    device: torch.device,
    dtype: torch.dtype,
    *,
    exact: bool = True,
    bits: bitsandbytes.Form | None = None,
) -> LanguageModel:
    """The model without weights.

    Args:
        exact: packed weights are multiplied without rounding activations.
        bits: the form in which bitsandbytes holds the linear layers.
    """
    with torch.device("meta"):
        model = config.architecture.model_class(config)
    if bits:
        bitsandbytes.replace_linears(model, bits, device, dtype)
    for module in model.modules():
        if isinstance(module, PackedWeight):
            module.exact = exact
    return model


def place(
    model: LanguageModel, devices: list[torch.device], dtype: torch.dtype, name: str, spread: bool
) -> torch.device:
    """Choose the device of each layer, and return the device of everything else.

    Args:
        name: the model's name in errors.
        spread: use all devices, even if the first could hold the whole model.

    Raises:
        MemoryShortError: it does not fit, found before any weight is read.
    """
    model.entries = _entries(model, devices, dtype, name, spread)
    return model.stages[-1][1] if model.stages else devices[0]


def fill(
    model: LanguageModel,
    tensors: Iterator[tuple[str, Tensor]],
    device: torch.device,
    dtype: torch.dtype,
    progress: OnProgress | None,
    *,
    in_huge_pages: bool = False,
) -> None:
    """Put every tensor into the model; a complete packed matrix is converted to its kernel's layout.

    Args:
        device: of everything but the layers that are on others.
        progress: called after every tensor, in bytes.
        in_huge_pages: put large tensors in main memory into huge pages, if the system gives them.
    """
    total = _weights_bytes(model, dtype)
    modules = dict(model.named_modules())
    for module in modules.values():
        if isinstance(module, QuantizedEmbedding):
            module.like = torch.empty(0, dtype=dtype, device=device)
    elsewhere: dict[int | None, torch.device] = {layer: other for layers, other in model.stages for layer in layers}
    done = 0
    for name, tensor in tensors:
        path, _, leaf = name.rpartition(".")
        if path == model.names.head and model.config.tie_word_embeddings:
            continue  # stored beside the embedding that it equals
        target = elsewhere.get(model.names.split(name)[0], device)
        module = modules[path]
        held = module.get_parameter(leaf) if leaf in module._parameters else module.get_buffer(leaf)
        if leaf in module._buffers:
            module._buffers[leaf] = tensor.to(target, held.dtype, copy=True)
            done += held.nbytes
        else:
            if bitsandbytes.planned_bytes(held):
                module._parameters[leaf] = bitsandbytes.quantise(held, tensor.to(dtype), target)
            else:
                if in_huge_pages:
                    weight = huge_pages.empty(tensor.shape, dtype, target).copy_(tensor)
                else:
                    weight = tensor.to(target, dtype, copy=True)
                module._parameters[leaf] = nn.Parameter(weight, requires_grad=False)
            done += _planned_bytes(held, dtype)
        if isinstance(module, PackedWeight) and not any(part.is_meta for part in module.parts().values()):
            module.prepare(dtype)
            if in_huge_pages:
                module.use_huge_pages()
        if progress:
            progress(Progress("load", done, total, "B"))
    model.tie()
    model.eval().requires_grad_(False)
    model.generation_config = GenerationConfig.from_model_config(model.config)


def weights_memory(model: nn.Module) -> int:
    """Bytes of a model's weights in memory, including its draft's; a weight used twice counts once."""
    packed = [module for module in model.modules() if isinstance(module, PackedWeight)]
    plain = {p.data_ptr(): p.nbytes for m in model.modules() if m not in packed for p in m.parameters(recurse=False)}
    scales = sum(tensor.nbytes for module in model.modules() for tensor in bitsandbytes.scales(module))
    draft = getattr(model, "draft", None)
    drafting = weights_memory(draft.model) if draft else 0
    return sum(module.memory() for module in packed) + sum(plain.values()) + scales + drafting


def count_parameters(model: nn.Module) -> int:
    """Number of weights, whatever their format; a weight used twice counts once."""
    plain = {p.data_ptr(): bitsandbytes.count(p) for p in model.parameters()}
    return sum(plain.values()) + sum(m.rows * m.columns for m in model.modules() if isinstance(m, PackedWeight))


def _last_rows(
    checkpoint: Checkpoint, tensors: Iterator[tuple[str, Tensor]], count: int
) -> Iterator[tuple[str, Tensor]]:
    """The tensors with only the last `count` rows of embedding and head, packed or not."""
    matrices = (checkpoint.names.embedding, checkpoint.names.head)
    for name, tensor in tensors:
        yield name, tensor[-count:] if name.rpartition(".")[0] in matrices else tensor


def _weights_bytes(module: nn.Module, dtype: torch.dtype) -> int:
    """Bytes the weights will take; parameters in floating point become `dtype`."""
    tied = None
    if isinstance(module, LanguageModel) and module.config.tie_word_embeddings:
        tied = f"{module.names.head}.weight"
    parameters = sum(_planned_bytes(p, dtype) for name, p in module.named_parameters() if name != tied)
    return parameters + sum(buffer.nbytes for buffer in module.buffers())


def _planned_bytes(place: Tensor, dtype: torch.dtype) -> int:
    return bitsandbytes.planned_bytes(place) or place.numel() * dtype.itemsize


def _entries(model: LanguageModel, devices: list[torch.device], dtype: torch.dtype, name: str, spread: bool) -> Entries:
    """The layers that begin on another device; empty if the first device holds the model and need not share it.

    Raises MemoryShortError.
    """
    needed = _weights_bytes(model, dtype)
    if len(devices) == 1 or (not spread and needed * _HEADROOM <= free_memory(devices[0])):
        _check_memory(needed, devices[0], name)
        return {}
    layers = [_weights_bytes(block, dtype) for block in model.blocks]
    ends, config = needed - sum(layers), model.config
    cache = config.cache_bytes(dtype) * config.context
    heads = [config.kv_heads(layer) for layer in range(len(layers))]
    each = [round(layer * _HEADROOM + cache * count / sum(heads)) for layer, count in zip(layers, heads, strict=True)]
    free = [(device, free_memory(device)) for device in devices]
    found = plan(each, round(ends * _HEADROOM), free, len(devices) if spread else 1)
    if found is None:
        total = sum(each) + round(ends * _HEADROOM)
        cards = ", ".join(f"{device} ({in_words(room)} free)" for device, room in free)
        raise MemoryShortError(
            f"{name} needs {in_words(total)} with its cache, and does not fit on {cards}, layer by layer: "
            "close other programs, choose a smaller variant (int8, int4) or more cards.",
            needed=total,
            free=sum(room for _, room in free),
        )
    return found


def _check_memory(needed: int, device: torch.device, name: str) -> None:
    free = free_memory(device)
    if needed * _HEADROOM > free:
        raise MemoryShortError(
            f"{name} needs {in_words(needed * _HEADROOM)} on {device}, {in_words(free)} are free: "
            "close other programs, choose a smaller variant (int8, int4) or another device.",
            needed=int(needed * _HEADROOM),
            free=free,
        )
