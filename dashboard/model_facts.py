"""Facts about a machine and a model, one line each."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st
from huggingface_hub import try_to_load_from_cache

from dashboard import widgets
from dashboard.machine import size
from dashboard.markup import bold, plain
from dashboard.texts import say
from fastglm.compress.size import predict_size
from fastglm.errors import FastGLMError
from fastglm.models.architecture import architectures
from fastglm.models.facts import ModelFacts
from fastglm.models.folder import CheckpointFolder
from fastglm.models.source import find_source


def draw(model: str, device: Mapping[str, Any]) -> None:
    """Draw a line about the machine and one about the model."""
    facts = []
    if device.get("memory_total"):
        facts.append(say("device-memory", total=size(device["memory_total"])))
    if device.get("cores") and device.get("threads"):
        facts.append(say("device-cores", cores=device["cores"], threads=device["threads"]))
    about = {device.get("name") or platform.node(): facts, widgets.model_name(model): _model(model)}
    with st.container(border=True, gap="xxsmall"):
        for name, parts in about.items():
            st.markdown(" · ".join([bold(name), *parts]))


def _model(model: str) -> list[str]:
    """Parameters, size on disk, layers, context and vocabulary, if the model is on this machine."""
    try:
        known = known_facts(model)
    except FastGLMError as error:
        return [plain(error)]
    if known is None:
        return [say("fact-unknown")]
    facts, disk = known
    return [*_facts(facts), *([say("fact-disk", size=size(disk))] if disk else [])]


def known_facts(model: str) -> tuple[ModelFacts, int] | None:
    """The facts of a model's config, and the bytes of its weights (0 for a shape); None if it has not been downloaded.

    Raises:
        FastGLMError: visitors may not open it, or it cannot be read.
    """
    source = find_source(model, restricted=True)
    if source.kind == "shape":
        known = next(known for known in architectures() if source.shape in known.shapes)
        return known.facts_class.of_shape(source.shape, source.layers), 0
    cached = try_to_load_from_cache(model.removeprefix("modelscope:"), "config.json") if source.kind == "hub" else None
    folder = Path(cached).parent if isinstance(cached, str) else source.folder
    if folder is None:
        return None
    checkpoint = CheckpointFolder(folder)
    return checkpoint.facts, checkpoint.size


def _facts(facts: ModelFacts) -> list[str]:
    """Facts in words, and the number of parameters that follows from them."""
    return [
        say("fact-parameters", count=number(predict_size(facts).parameters)),
        say("fact-layers", layers=facts.layers, hidden=facts.hidden),
        say("fact-context", count=facts.context),
        say("fact-vocabulary", count=facts.vocab_size),
    ]


def number(count: float) -> str:
    """A number of parameters in millions or billions."""
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.2f} M"
