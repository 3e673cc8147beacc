"""The one loader: a model and a variant, on a device, ready to answer."""

import hashlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import GenerationConfig

from ..compress.checkpoint_writer import is_whole
from ..compress.quantize import quantise_folder
from ..compress.recipe import find_recipe
from ..engine.compile.prepare import Preparation, prepare, prepare_kernels
from ..engine.compile.worker import MOST_TOKENS
from ..engine.speculative import Draft
from ..errors import MemoryShortError, UsageError
from ..generation.model_info import LoadedInfo, wants_one_thread
from ..kernels.cpu.dense import take_over
from ..kernels.format import ReferenceKernel
from ..kernels.packed import PackedWeight, QuantizedEmbedding
from ..models import bitsandbytes
from ..models.chatglm.config import ChatGLM6BConfig
from ..models.chatglm.image_tokens import trim_config, trim_rows
from ..models.chatglm.model import ChatGLMForConditionalGeneration
from ..models.chatglm.token_ids import agree
from ..models.chatglm.tokenizer import ChatGLMTokenizer
from ..models.chatglm.tokenizer_files import read_tokenizer
from ..models.checkpoint import Checkpoint
from ..models.random_weights import random_tensors, shape_config
from ..models.source import Source, demo_folder, find_source
from ..placement import Entries, plan
from ..progress.progress import OnProgress, Progress
from ..system.devices import free_memory, resolve_devices
from ..system.home import folder
from ..system.making import made_once
from .compressed import find_made, how_to_make
from .variants import BITSANDBYTES_ON_CPU, Variant, bitsandbytes_reason, draft_reason, find_draft, get_variant

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# Beside the weights: activations, a cache of some hundred tokens, the allocator's slack.
_HEADROOM = 1.05


def load(
    model: str | Path = "demo",
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
        variant: a name of `fastglm.variants.variants.VARIANTS`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; or cards to spread it over, `cuda:0,cuda:1`. With `auto` and
            `cuda` a model that is too large for one card is spread over as many as it needs.
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
    chosen, source, devices = get_variant(variant), find_source(model, restricted), resolve_devices(device)
    model = str(model)
    target = devices[0]
    wanted = _resolve_dtype(dtype, target)
    if cache not in ("auto", "int8"):
        raise UsageError(f"Unknown cache {cache!r}; known are auto, int8.")
    if chosen.bitsandbytes and (reason := bitsandbytes_reason(target.type)):
        raise UsageError(f"{variant} {reason}.")
    if source.kind == "shape":
        tokenizer = ChatGLMTokenizer.from_pretrained(demo_folder())
        config = shape_config(source, tokenizer)
        config.weight_format = chosen.weight_format
        if chosen.recipe:
            config = find_recipe(chosen.recipe).configs(config)[-1]
        path = None
        loaded = _build(config, chosen, target, wanted)
        tensors = random_tensors(loaded, target, wanted)
    else:
        path = _variant_folder(source, chosen, progress)
        began = time.perf_counter()  # what was made just now is made only once
        checkpoint = Checkpoint(path)
        tokenizer = read_tokenizer(path)
        checkpoint.settle_head()
        config, tensors = checkpoint.config, checkpoint.tensors()
        agree(config, tokenizer)
        if trim_image_tokens:
            config, tokenizer = trim_config(config, tokenizer)
            tensors = trim_rows(tensors, config.vocab_size)
        loaded = _build(config, chosen, target, wanted)
    if cache != "auto":
        config.cache_format = cache
    needed = _weights_bytes(loaded, wanted)
    loaded.transformer.entries = _placed(loaded, devices, wanted, f"{model} as {variant}", "," in device)
    target = loaded.stages[-1][1] if loaded.stages else target
    kernels = prepare_kernels(target, progress) if chosen.own_engine else Preparation()
    _fill(loaded, tensors, target, wanted, needed, progress)
    loaded.eval().requires_grad_(False)
    loaded.generation_config = GenerationConfig.from_model_config(config)
    parameters = _count_parameters(loaded)
    notes = [*_notes(loaded, chosen, target), *filter(None, [kernels.reason])]
    began += kernels.compiling
    draft = find_draft(source, chosen)
    if chosen.own_engine:
        if target.type == "cpu":
            take_over(loaded)
        threads = 1 if wants_one_thread(parameters, chosen.engine) else torch.get_num_threads()
        prepared = prepare(loaded, threads, progress, tokens=MOST_TOKENS if draft else 1)
        notes += filter(None, [prepared.reason])
        began += prepared.compiling
    if draft:
        student, _ = load(
            model,
            draft,
            str(target),
            dtype,
            cache=cache,
            restricted=restricted,
            trim_image_tokens=trim_image_tokens,
            progress=progress,
        )
        notes += _attach(loaded, student)
    loaded.fastglm = LoadedInfo(
        model=model,
        variant=variant,
        engine=chosen.engine,
        device=",".join(str(each) for _, each in loaded.stages) or str(target),
        dtype=str(wanted).removeprefix("torch."),
        parameters=parameters,
        weights_memory=weights_memory(loaded),
        load_time=time.perf_counter() - began,
        context_length=loaded.context_length,
        folder=str(path) if path else None,
        cache=config.cache_format or "auto",
        notes=notes,
    )
    return loaded, tokenizer


def _attach(model: ChatGLMForConditionalGeneration, draft: ChatGLMForConditionalGeneration) -> list[str]:
    """Lets a loaded model draft for another; returns what is to be noted of it."""
    if draft.config.vocab_size != model.config.vocab_size:
        raise UsageError(
            f"{draft.fastglm.folder} cannot draft, as its vocabulary is not that of {draft.fastglm.model}: "
            "make it anew, without changing the vocabulary."
        )
    model.draft = Draft(draft, weights_memory(draft) / weights_memory(model))
    return draft.fastglm.notes


def weights_memory(model: nn.Module) -> int:
    """Bytes of a model's weights as they are held, those stored once and used twice counted once; a draft's too."""
    packed = [module for module in model.modules() if isinstance(module, PackedWeight)]
    plain = {p.data_ptr(): p.nbytes for m in model.modules() if m not in packed for p in m.parameters(recurse=False)}
    scales = sum(tensor.nbytes for module in model.modules() for tensor in bitsandbytes.scales(module))
    draft: Draft | None = getattr(model, "draft", None)
    drafting = weights_memory(draft.model) if draft else 0
    return sum(module.memory() for module in packed) + sum(plain.values()) + scales + drafting


def _resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    if dtype not in DTYPES:
        raise UsageError(f"Unknown dtype {dtype!r}; known are auto, {', '.join(DTYPES)}.")
    return DTYPES[dtype]


def _variant_folder(source: Source, variant: Variant, progress: OnProgress | None) -> Path:
    """Where the variant's checkpoint lies, made on first use."""
    origin = source.fetch()
    if not variant.quantises and not variant.recipe and not variant.drafts:
        return origin
    checkpoint = Checkpoint(origin)
    if checkpoint.config.linear_format():
        raise UsageError(
            f"{source.name} is quantised already, so that it has no {variant.name}: run it as original or fast, "
            "or name the checkpoint it was made from."
        )
    if variant.recipe:
        if made := find_made(source, variant.recipe):
            return made
        raise UsageError(f"{variant.name} {how_to_make(source, variant.recipe)}")
    if variant.drafts and not find_draft(source, variant):
        raise UsageError(f"{variant.name} {draft_reason(source, variant)}")
    if variant.weight_format is None:
        return origin
    format = variant.weight_format
    kept = folder(f"variants/{origin.name}-{_fingerprint(checkpoint)}") / format

    def make(tell: OnProgress) -> None:
        shutil.rmtree(kept, ignore_errors=True)  # it is broken
        quantise_folder(origin, format, kept, tell)

    made_once(kept, lambda: is_whole(kept, origin), make, progress)
    return kept


def _fingerprint(checkpoint: Checkpoint) -> str:
    """Changes when the checkpoint does: its place, and the size and time of every weight file."""
    files = [(shard.name, shard.stat().st_size, shard.stat().st_mtime_ns) for shard in checkpoint.shards]
    return hashlib.sha256(repr((str(checkpoint.folder), files)).encode()).hexdigest()[:16]


def _build(
    config: ChatGLM6BConfig, variant: Variant, device: torch.device, dtype: torch.dtype
) -> ChatGLMForConditionalGeneration:
    """The model without weights."""
    with torch.device("meta"):
        model = ChatGLMForConditionalGeneration(config)
    if variant.bitsandbytes:
        bitsandbytes.replace_linears(model, variant.bitsandbytes, device, dtype)
    for module in model.modules():
        if isinstance(module, PackedWeight):
            module.exact = not variant.own_engine
    return model


def _weights_bytes(model: nn.Module, dtype: torch.dtype) -> int:
    """Bytes the weights will take; parameters in floating point become `dtype`."""
    config = getattr(model, "config", None)
    tied = "lm_head.weight" if config and config.tie_word_embeddings else None
    parameters = sum(_planned_bytes(p, dtype) for name, p in model.named_parameters() if name != tied)
    return parameters + sum(buffer.nbytes for buffer in model.buffers())


def _planned_bytes(place: Tensor, dtype: torch.dtype) -> int:
    return bitsandbytes.planned_bytes(place) or place.numel() * dtype.itemsize


def _placed(
    model: ChatGLMForConditionalGeneration, devices: list[torch.device], dtype: torch.dtype, what: str, spread: bool
) -> Entries:
    """Where layers begin on another device: nothing where the first device holds all of it, unless it is to be spread.

    Raises MemoryShortError.
    """
    needed = _weights_bytes(model, dtype)
    if len(devices) == 1 or (not spread and needed * _HEADROOM <= free_memory(devices[0])):
        _check_memory(needed, devices[0], what)
        return {}
    layers = [_weights_bytes(block, dtype) for block in model.transformer.layers]
    ends, config = needed - sum(layers), model.config
    cache = config.cache_bytes(dtype) * config.max_sequence_length
    heads = [config.heads(layer) for layer in range(len(layers))]
    each = [round(layer * _HEADROOM + cache * count / sum(heads)) for layer, count in zip(layers, heads, strict=True)]
    free = [(device, free_memory(device)) for device in devices]
    found = plan(each, round(ends * _HEADROOM), free, len(devices) if spread else 1)
    if found is None:
        total = sum(each) + round(ends * _HEADROOM)
        cards = ", ".join(f"{device} ({room / 1e9:.1f} GB free)" for device, room in free)
        raise MemoryShortError(
            f"{what} needs {total / 1e9:.1f} GB with its cache, and does not fit on {cards}, layer by layer: "
            "close other programs, choose a smaller variant (int8, int4) or more cards.",
            needed=total,
            free=sum(room for _, room in free),
        )
    return found


def _check_memory(needed: int, device: torch.device, what: str) -> None:
    free = free_memory(device)
    if needed * _HEADROOM > free:
        raise MemoryShortError(
            f"{what} needs {needed * _HEADROOM / 1e9:.1f} GB on {device}, {free / 1e9:.1f} GB are free: "
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
    """Puts every tensor where it belongs, and lets packed matrices take their kernel's layout as they complete.

    device: of all but the layers that are on others.
    """
    modules = dict(model.named_modules())
    for module in modules.values():
        if isinstance(module, QuantizedEmbedding):
            module.like = torch.empty(0, dtype=dtype, device=device)
    elsewhere = {f"transformer.layers.{layer}": other for layers, other in model.stages for layer in layers}
    done = 0
    for name, tensor in tensors:
        if name.startswith("lm_head.") and model.config.tie_word_embeddings:
            continue  # stored beside the embedding that it equals
        path, _, leaf = name.rpartition(".")
        target = elsewhere.get(".".join(name.split(".")[:3]), device)
        module = modules[path]
        held = module.get_parameter(leaf) if leaf in module._parameters else module.get_buffer(leaf)
        if leaf in module._buffers:
            module._buffers[leaf] = tensor.to(target, held.dtype, copy=True)
            done += held.nbytes
        else:
            if bitsandbytes.planned_bytes(held):
                module._parameters[leaf] = bitsandbytes.quantise(held, tensor.to(dtype), target)
            else:
                module._parameters[leaf] = nn.Parameter(tensor.to(target, dtype, copy=True), requires_grad=False)
            done += _planned_bytes(held, dtype)
        if isinstance(module, PackedWeight) and not any(part.is_meta for part in module.parts().values()):
            module.prepare(dtype)
        if progress:
            progress(Progress("load", done, total, "B"))
    embedding = model.transformer.word_embeddings
    if (
        model.config.tie_word_embeddings
        and isinstance(model.lm_head, nn.Linear)
        and isinstance(embedding, nn.Embedding)
    ):
        model.lm_head.weight = embedding.weight


def _count_parameters(model: nn.Module) -> int:
    """Weights, whatever their format; those used twice counted once."""
    plain = {p.data_ptr(): bitsandbytes.count(p) for p in model.parameters()}
    return sum(plain.values()) + sum(m.rows * m.columns for m in model.modules() if isinstance(m, PackedWeight))


def _notes(model: nn.Module, variant: Variant, device: torch.device) -> list[str]:
    if variant.bitsandbytes and device.type == "cpu":
        return [BITSANDBYTES_ON_CPU]
    packed = [module for module in model.modules() if isinstance(module, PackedWeight) and not module.exact]
    if any(isinstance(module._kernel, ReferenceKernel) for module in packed):
        return [f"{packed[0].format.name} has no fast kernel on {device}: it runs on the slower reference path."]
    return []
