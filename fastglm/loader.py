"""The one loader: a model and a variant, on a device, ready to answer."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import GenerationConfig

from .compress.quantize import quantise_folder
from .errors import CheckpointError, MemoryShortError, UsageError
from .hardware import free_memory, resolve_device
from .home import folder
from .kernels.format import ReferenceKernel
from .kernels.linear import PackedWeight, QuantizedEmbedding
from .loaded import LoadedInfo
from .models import bnb
from .models.chatglm import ChatGLMForConditionalGeneration
from .models.checkpoint import Checkpoint
from .models.config import ChatGLM6BConfig
from .models.shape import random_tensors, shape_config
from .models.source import Source, demo_folder, find_source
from .models.tokenizer import ChatGLMTokenizer
from .models.vocabulary import trim_config, trim_rows
from .progress import OnProgress, Progress
from .variants import BITSANDBYTES_ON_CPU, Variant, bitsandbytes_reason, get_variant

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# Beside the weights: activations, a cache of some hundred tokens, the allocator's slack.
_HEADROOM = 1.05
_IGNORED = "rotary_emb.inv_freq"


def load(
    model: str = "demo",
    variant: str = "original",
    device: str = "auto",
    dtype: str = "auto",
    *,
    cache: str = "auto",
    restricted: bool = False,
    trim_image_tokens: bool = False,
    progress: OnProgress | None = None,
) -> tuple[ChatGLMForConditionalGeneration, ChatGLMTokenizer]:
    """Loads a variant of a model. `model.fastglm` of what is returned is a `LoadedInfo`.

    Weights go to the device tensor by tensor, one shard mapped at a time. A quantised variant is made from the
    checkpoint on first use, rounded to nearest, and kept in `FASTGLM_HOME/variants`; bitsandbytes quantises on the way
    to the device, every time.

    Args:
        model: `demo`, a checkpoint folder, a hub id, `modelscope:` and an id, or `shape:chatglm-6b` (`@5`: 5 layers).
        variant: a name of `fastglm.variants.VARIANTS`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        dtype: `auto` (float32 on CPUs, float16 elsewhere), `float32`, `float16` or `bfloat16`.
        cache: of keys and values: `auto` (as the checkpoint's config says, else in `dtype`) or `int8`, half of fp16.
        restricted: open only what visitors of the app may open.
        trim_image_tokens: drop the 20000 image tokens that no text uses from an old vocabulary of 150528.

    Raises:
        UsageError, CheckpointError, DeviceError: bad arguments or a missing package, an unreadable checkpoint, a
            missing device.
        MemoryShortError: too little free memory, found before loading.
    """
    began = time.perf_counter()
    chosen, source, target = get_variant(variant), find_source(model, restricted), resolve_device(device)
    wanted = _resolve_dtype(dtype, target)
    if cache not in ("auto", "int8"):
        raise UsageError(f"Unknown cache {cache!r}; known are auto, int8.")
    if chosen.bitsandbytes and (reason := bitsandbytes_reason(target.type)):
        raise UsageError(f"{variant} {reason}.")
    if source.kind == "shape":
        tokenizer = ChatGLMTokenizer.from_pretrained(demo_folder())
        config = shape_config(source, tokenizer)
        config.weight_format = chosen.weight_format
        path = None
        loaded = _build(config, chosen, target, wanted)
        tensors = random_tensors(loaded, target, wanted)
    else:
        path = _variant_folder(source, chosen, progress)
        checkpoint = Checkpoint(path)
        tokenizer = ChatGLMTokenizer.from_pretrained(path)
        config, tensors = checkpoint.config, checkpoint.tensors()
        if trim_image_tokens:
            config, tokenizer = trim_config(config, tokenizer)
            tensors = trim_rows(tensors, config.vocab_size)
        loaded = _build(config, chosen, target, wanted)
    if cache != "auto":
        config.cache_format = cache
    needed = _weights_bytes(loaded, wanted)
    _check_memory(needed, target, model, variant)
    _fill(loaded, tensors, target, wanted, needed, progress)
    loaded.eval().requires_grad_(False)
    loaded.generation_config = GenerationConfig.from_model_config(config)
    loaded.fastglm = LoadedInfo(
        model=model,
        variant=variant,
        engine=chosen.engine,
        device=str(target),
        dtype=str(wanted).removeprefix("torch."),
        parameters=_count_parameters(loaded),
        weights_memory=weights_memory(loaded),
        load_time=time.perf_counter() - began,
        context_length=loaded.context_length,
        folder=str(path) if path else None,
        cache=config.cache_format or "auto",
        notes=_notes(loaded, chosen, target),
    )
    return loaded, tokenizer


def weights_memory(model: nn.Module) -> int:
    """Bytes of a model's weights as they are held, those stored once and used twice counted once."""
    packed = [module for module in model.modules() if isinstance(module, PackedWeight)]
    plain = {p.data_ptr(): p.nbytes for m in model.modules() if m not in packed for p in m.parameters(recurse=False)}
    scales = sum(tensor.nbytes for module in model.modules() for tensor in bnb.scales(module))
    return sum(module.memory() for module in packed) + sum(plain.values()) + scales


def _resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    if dtype not in DTYPES:
        raise UsageError(f"Unknown dtype {dtype!r}; known are auto, {', '.join(DTYPES)}.")
    return DTYPES[dtype]


def _variant_folder(source: Source, variant: Variant, progress: OnProgress | None) -> Path:
    """Where the variant's checkpoint lies, made on first use."""
    origin = source.fetch()
    if not variant.quantises:
        return origin
    checkpoint = Checkpoint(origin)
    if checkpoint.config.linear_format():
        raise UsageError(
            f"{source.name} is quantised already, so that it has no {variant.name}: run it as original or fast, "
            "or name the checkpoint it was made from."
        )
    if variant.weight_format is None:
        return origin
    kept = folder("variants") / f"{origin.name}-{_fingerprint(checkpoint)}" / variant.weight_format
    if not (kept / "config.json").is_file():
        quantise_folder(origin, variant.weight_format, kept, progress)
    return kept


def _fingerprint(checkpoint: Checkpoint) -> str:
    """Changes when the checkpoint does: its place, and the size and time of every weight file."""
    files = [(shard.name, shard.stat().st_size, shard.stat().st_mtime_ns) for shard in checkpoint.shards]
    return hashlib.sha256(repr((str(checkpoint.folder), files)).encode()).hexdigest()[:16]


def _build(
    config: ChatGLM6BConfig, variant: Variant, device: torch.device, dtype: torch.dtype
) -> ChatGLMForConditionalGeneration:
    """The model without weights; only what is no weight lies on the device."""
    with torch.device("meta"):
        model = ChatGLMForConditionalGeneration(config)
    for module in model.modules():
        if isinstance(module, QuantizedEmbedding):
            module.like = torch.empty(0, dtype=dtype, device=device)
    if variant.bitsandbytes:
        bnb.replace_linears(model, variant.bitsandbytes, device, dtype)
    return model


def _weights_bytes(model: nn.Module, dtype: torch.dtype) -> int:
    """Bytes the weights will take; parameters in floating point become `dtype`."""
    tied = "lm_head.weight" if getattr(model, "config").tie_word_embeddings else None  # noqa: B009
    parameters = sum(_planned_bytes(p, dtype) for name, p in model.named_parameters() if name != tied)
    return parameters + sum(buffer.nbytes for buffer in model.buffers())


def _planned_bytes(place: Tensor, dtype: torch.dtype) -> int:
    return bnb.planned_bytes(place) or place.numel() * dtype.itemsize


def _check_memory(needed: int, device: torch.device, model: str, variant: str) -> None:
    free = free_memory(device)
    if needed * _HEADROOM > free:
        raise MemoryShortError(
            f"{model} as {variant} needs {needed * _HEADROOM / 1e9:.1f} GB on {device}, {free / 1e9:.1f} GB are free: "
            "close other programs, choose a smaller variant (int8, int4) or another device.",
            needed=int(needed * _HEADROOM),
            free=free,
        )


def _fill(
    model: ChatGLMForConditionalGeneration,
    tensors: Iterator[tuple[str, Tensor]],
    device: torch.device,
    dtype: torch.dtype,
    total: int,
    progress: OnProgress | None,
) -> None:
    """Puts every tensor where it belongs, and lets packed matrices take their kernel's layout as they complete."""
    modules = dict(model.named_modules())
    waiting = {name for name, _ in (*model.named_parameters(), *model.named_buffers()) if not name.endswith(".like")}
    done = 0
    for name, tensor in tensors:
        if name.endswith(_IGNORED):
            continue
        path, _, leaf = name.rpartition(".")
        module = modules.get(path)
        if module is None or (name not in waiting and name != "lm_head.weight"):
            raise CheckpointError(f"The checkpoint holds {name}, which its config has no place for: check config.json.")
        held = module._parameters.get(leaf) if leaf in module._parameters else module._buffers.get(leaf)
        if held is None:
            continue  # a head stored beside the embedding that it shares
        if held.shape != tensor.shape:
            raise CheckpointError(
                f"{name} is {tuple(tensor.shape)} in the checkpoint and {tuple(held.shape)} by its config: "
                "config.json and the weights are not of the same model."
            )
        if leaf in module._buffers:
            module._buffers[leaf] = tensor.to(device, held.dtype, copy=True)
            done += held.nbytes
        else:
            if bnb.planned_bytes(held):
                module._parameters[leaf] = bnb.quantise(held, tensor.to(dtype), device)
            else:
                module._parameters[leaf] = nn.Parameter(tensor.to(device, dtype, copy=True), requires_grad=False)
            done += _planned_bytes(held, dtype)
        waiting.discard(name)
        if isinstance(module, PackedWeight) and not any(part.is_meta for part in module.parts().values()):
            module.exact = False
            module.prepare(dtype)
        if progress:
            progress(Progress("load", done, total, "B"))
    _share_head(model, waiting)
    if waiting:
        raise CheckpointError(
            f"The checkpoint lacks {', '.join(sorted(waiting)[:3])}: a shard is missing; fetch it again."
        )


def _share_head(model: ChatGLMForConditionalGeneration, waiting: set[str]) -> None:
    """One matrix for head and embedding where the checkpoint has one, or two that are equal."""
    embedding, head = model.transformer.word_embeddings, model.lm_head
    if not isinstance(embedding, nn.Embedding) or not isinstance(head, nn.Linear):
        return
    if head.weight.is_meta or torch.equal(embedding.weight, head.weight):
        head.weight = embedding.weight
        waiting.discard("lm_head.weight")


def _count_parameters(model: nn.Module) -> int:
    """Weights, whatever their format; those used twice counted once."""
    plain = {p.data_ptr(): bnb.count(p) for p in model.parameters()}
    return sum(plain.values()) + sum(m.rows * m.columns for m in model.modules() if isinstance(m, PackedWeight))


def _notes(model: nn.Module, variant: Variant, device: torch.device) -> list[str]:
    if variant.bitsandbytes and device.type == "cpu":
        return [BITSANDBYTES_ON_CPU]
    packed = [module for module in model.modules() if isinstance(module, PackedWeight)]
    if any(isinstance(module._kernel, ReferenceKernel) for module in packed):
        return [f"{packed[0].format.name} has no fast kernel on {device}: it runs on the slower reference path."]
    return []
