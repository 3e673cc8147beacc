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
from fastglm.errors import FastGLMError
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.checkpoint import Checkpoint
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
        known = known_config(model)
    except FastGLMError as error:
        return [plain(error)]
    if known is None:
        return [say("fact-unknown")]
    config, disk = known
    return [*_config(config), *([say("fact-disk", size=size(disk))] if disk else [])]


def known_config(model: str) -> tuple[ChatGLM6BConfig, int] | None:
    """A model's config and the bytes of its weights (0 for a shape); None if it has not been downloaded.

    Raises:
        FastGLMError: visitors may not open it, or it cannot be read.
    """
    source = find_source(model, restricted=True)
    if source.kind == "shape":
        return ChatGLM6BConfig(num_layers=source.layers), 0
    cached = try_to_load_from_cache(model.removeprefix("modelscope:"), "config.json") if source.kind == "hub" else None
    folder = Path(cached).parent if isinstance(cached, str) else source.folder
    if folder is None:
        return None
    checkpoint = Checkpoint(folder)
    return checkpoint.config, checkpoint.size


def _config(config: ChatGLM6BConfig) -> list[str]:
    """Facts from a config, and the number of parameters that follows from it."""
    return [
        say("fact-parameters", count=number(parameters(config))),
        say("fact-layers", layers=config.num_layers, hidden=config.hidden_size),
        say("fact-context", count=config.max_sequence_length),
        say("fact-vocabulary", count=config.vocab_size),
    ]


def number(count: float) -> str:
    """A number of parameters in millions or billions."""
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.2f} M"


def parameters(config: ChatGLM6BConfig) -> int:
    """The number of parameters as published: embedding, layers, and the head unless it is shared."""
    hidden, total = config.hidden_size, config.vocab_size * config.hidden_size + 2 * config.hidden_size
    if not config.tie_word_embeddings:
        total += config.vocab_size * hidden
    for layer in range(config.num_layers):
        attention, inner = config.query_heads(layer) * (config.head_dim or 0), config.inner(layer)
        total += 4 * attention * hidden + 3 * attention + hidden  # query, key, value; output
        total += 2 * inner * hidden + inner + hidden + 4 * hidden  # both of the FFN; two norms
    return total
