"""The one loader: a model and a variant, on a device, ready to answer."""

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..compress.recipe import find_recipe
from ..engine.compile.prepare import Preparation, prepare, prepare_kernels
from ..engine.compile.worker import MOST_TOKENS
from ..engine.speculative import Draft
from ..errors import UsageError
from ..generation.model_info import LoadedInfo, wants_one_thread
from ..kernels.cpu.dense import use_few_rows_kernel
from ..kernels.packed import PackedWeight
from ..kernels.reference import ReferenceKernel
from ..models.adapter import find_adapter
from ..models.architecture import Tokenizer
from ..models.language_model import LanguageModel
from ..models.loading import (
    Opened,
    adapt,
    build,
    count_parameters,
    fill,
    open_checkpoint,
    place,
    resolve_dtype,
    weights_memory,
)
from ..models.prefix_weights import read_prefix
from ..models.random_weights import random_tensors, shape_config
from ..models.source import Source, demo_folder, find_source
from ..models.tokenizer_files import read_tokenizer
from ..progress.progress import OnProgress
from ..system.devices import resolve_devices
from .fetch import fetch
from .resolve import Weights, resolve
from .variants import BITSANDBYTES_ON_CPU, Variant, bitsandbytes_reason, get_variant


def load(
    model: str | Path = "demo",
    variant: str = "original",
    device: str = "auto",
    dtype: str = "auto",
    *,
    cache: str = "auto",
    adapter: str | Path | None = None,
    generation: str = "auto",
    restricted: bool = False,
    trim_image_tokens: bool = False,
    progress: OnProgress | None = None,
) -> tuple[LanguageModel, Tokenizer]:
    """Load a variant of a model. `model.fastglm` of the result is a `LoadedInfo`.

    Weights go to the device tensor by tensor, one shard mapped at a time. A quantized variant is made from the
    checkpoint on first use, rounded to nearest, and kept in `FASTGLM_HOME/variants`; bitsandbytes quantizes on the way
    to the device, every time.

    Args:
        model: `demo`, a checkpoint folder, a hub id, `modelscope:` and an id, or `shape:chatglm-6b` (`@5`: 5 layers).
        variant: a name of `fastglm.variants.variants.VARIANTS`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; or cards to spread it over, `cuda:0,cuda:1`. With `auto` and
        `cuda` a model that is too large for one card is spread over as many as it needs.
        dtype: `auto` (float32 on CPUs, float16 elsewhere), `float32`, `float16` or `bfloat16`.
        cache: format of keys and values: `auto` (the checkpoint's config, otherwise `dtype`) or `int8`, half of fp16.
        adapter: a folder beside the model with what fine-tuning made: a prefix of P-Tuning v2.
        generation: `chatglm2`, `chatglm3`, `glm4` or `codegeex2`, for a checkpoint whose files do not tell it.
        restricted: open only models that visitors of the app may open.
        trim_image_tokens: drop the 20000 image tokens that no text uses from an old vocabulary of 150528.

    Raises:
        UsageError, CheckpointError, DeviceError: bad arguments or a missing package, an unreadable checkpoint, a
        missing device.
        MemoryShortError: too little free memory, found before loading.
    """
    chosen, source, devices = get_variant(variant), find_source(model, restricted), resolve_devices(device)
    wanted = resolve_dtype(dtype, devices[0])
    _check(chosen, cache, devices[0])
    tuned = find_adapter(adapter, restricted) if adapter else None
    weights = resolve(source, chosen, tuned)
    path = None if source.kind == "shape" else fetch(weights, progress)
    began = time.perf_counter()  # variants made on first use are made only once
    if generation != "auto" and path is None:
        raise UsageError(f"{source.name} has a generation of its own: leave generation out.")
    opened = open_checkpoint(path, trim_image_tokens, generation) if path else _open_shape(source, chosen)
    if tuned:
        tuned.check(opened.config, f"{model} as {variant}")
        opened = adapt(opened, read_prefix(tuned))
    if cache != "auto":
        opened.config.cache_format = cache
    loaded = build(opened.config, devices[0], wanted, exact=not chosen.own_engine, bits=chosen.bitsandbytes)
    target = place(loaded, devices, wanted, f"{model} as {variant}", "," in device)
    kernels = prepare_kernels(target, progress) if chosen.own_engine else Preparation()
    tensors = opened.tensors or random_tensors(loaded, devices[0], wanted)
    fill(loaded, tensors, target, wanted, progress, in_huge_pages=chosen.own_engine)
    step = _prepare_step(loaded, chosen, target, progress) if chosen.own_engine else Preparation()
    began += kernels.compiling + step.compiling
    notes = [*_notes(loaded, chosen, target), *filter(None, [loaded.config.assumed, kernels.reason, step.reason])]
    if weights.draft:
        same: dict[str, Any] = {
            "cache": cache,
            "generation": generation,
            "restricted": restricted,
            "trim_image_tokens": trim_image_tokens,
        }
        draft, _ = load(model, weights.draft, str(target), dtype, progress=progress, **same)
        notes += _attach(loaded, draft)
    where = ",".join(str(each) for _, each in loaded.stages) or str(target)
    loaded.fastglm = _info(loaded, str(model), weights, where, wanted, path, notes, began)
    return loaded, opened.tokenizer


def _info(
    model: LanguageModel,
    name: str,
    weights: Weights,
    device: str,
    dtype: torch.dtype,
    folder: Path | None,
    notes: list[str],
    began: float,
) -> LoadedInfo:
    return LoadedInfo(
        model=name,
        variant=weights.variant.name,
        engine=weights.variant.engine,
        device=device,
        dtype=str(dtype).removeprefix("torch."),
        parameters=count_parameters(model),
        weights_memory=weights_memory(model),
        load_time=time.perf_counter() - began,
        context_length=model.context_length,
        folder=str(folder) if folder else None,
        cache=model.config.cache_format or "auto",
        notes=notes,
        adapter=str(weights.adapter.folder) if weights.adapter else None,
    )


def _check(variant: Variant, cache: str, device: torch.device) -> None:
    """Raise UsageError for an unknown cache, and if bitsandbytes cannot run."""
    if cache not in ("auto", "int8"):
        raise UsageError(f"Unknown cache {cache!r}; known are auto, int8.")
    if variant.bitsandbytes and (reason := bitsandbytes_reason(device.type)):
        raise UsageError(f"{variant.name} {reason}.")


def _open_shape(source: Source, variant: Variant) -> Opened:
    """The published config in the variant's format, changed by the variant's recipe."""
    tokenizer = read_tokenizer(demo_folder())
    config = shape_config(source, tokenizer)
    config.weight_format = variant.weight_format
    if variant.recipe:
        config = find_recipe(variant.recipe).configs(config)[-1]
    return Opened(config, tokenizer)


def _prepare_step(
    model: LanguageModel, variant: Variant, device: torch.device, progress: OnProgress | None
) -> Preparation:
    """Compile the decode step, for several tokens if they are drafted."""
    if device.type == "cpu":
        use_few_rows_kernel(model)
    threads = 1 if wants_one_thread(count_parameters(model), variant.engine) else torch.get_num_threads()
    return prepare(model, threads, progress, tokens=MOST_TOKENS if variant.drafts else 1)


def _attach(model: LanguageModel, draft: LanguageModel) -> list[str]:
    """Let a loaded model draft for another; returns notes about it."""
    if draft.config.vocab_size != model.config.vocab_size:
        raise UsageError(
            f"{draft.fastglm.folder} cannot draft, as its vocabulary is not that of {draft.fastglm.model}: "
            "make it anew, without changing the vocabulary."
        )
    model.draft = Draft(draft, weights_memory(draft) / weights_memory(model))
    return draft.fastglm.notes


def _notes(model: nn.Module, variant: Variant, device: torch.device) -> list[str]:
    if variant.bitsandbytes and device.type == "cpu":
        return [BITSANDBYTES_ON_CPU]
    packed = [module for module in model.modules() if isinstance(module, PackedWeight) and not module.exact]
    if any(isinstance(module._kernel, ReferenceKernel) for module in packed):
        return [f"{packed[0].format.name} has no fast kernel on {device}: it runs on the slower reference path."]
    return []
