"""Fixtures of answers."""

from dataclasses import replace

import pytest
from recorded import folder

import fastglm
from fastglm.engine.speculative import Draft


@pytest.fixture(scope="module", params=["original", "fast", "speculative"])
def loaded(request):
    """A small model for each engine, and its tokenizer."""
    model, tokenizer = fastglm.load(str(folder("chatglm")), request.param.replace("speculative", "fast"))
    if request.param == "speculative":
        model.draft, model.fastglm = Draft(model, 0.2), replace(model.fastglm, engine="speculative")
    return model, tokenizer
