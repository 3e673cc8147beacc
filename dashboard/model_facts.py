"""Facts about a machine and a model, one line each."""

import platform
from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import widgets
from dashboard.markup import Markdown, bold, plain
from dashboard.texts import say
from fastglm.compress.size import predict_size
from fastglm.errors import FastGLMError
from fastglm.models.facts import ModelFacts
from fastglm.system.files import in_words


def draw(model: str, device: Mapping[str, Any]) -> None:
    """Draw a line about the machine and one about the model."""
    facts = []
    if device.get("memory_total"):
        facts.append(say("device-memory", total=in_words(device["memory_total"])))
    if device.get("cores") and device.get("threads"):
        facts.append(say("device-cores", cores=device["cores"], threads=device["threads"]))
    about = {device.get("name") or platform.node(): facts, widgets.model_name(model): _model(model)}
    with st.container(border=True, gap="xxsmall"):
        for name, parts in about.items():
            st.markdown(" · ".join([bold(name), *parts]))


def _model(model: str) -> list[str]:
    """Parameters, size on disk, layers, context and vocabulary, if the model is on this machine."""
    try:
        known = widgets.known_facts(model)
    except FastGLMError as error:
        return [plain(error)]
    if known is None:
        return [say("fact-unknown")]
    facts, disk = known
    return [*_facts(facts), *([say("fact-disk", size=Markdown(in_words(disk).replace(" ", "\u00a0")))] if disk else [])]


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
