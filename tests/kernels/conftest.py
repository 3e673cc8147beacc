"""Fixtures for tests of kernels."""

import pytest
import torch
from torch.utils import deterministic

import fastglm
from fastglm.kernels.cpu import library


@pytest.fixture
def poisoned(monkeypatch):
    """Fill the results of `torch.empty` with NaN, or with the largest integer."""
    monkeypatch.setattr(deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def native(built_home, monkeypatch):
    monkeypatch.setenv("FASTGLM_HOME", str(built_home))
    monkeypatch.setenv("FASTGLM_COMPILE", "1")
    assert library.ready()


@pytest.fixture
def unprepared(monkeypatch):
    """Load models without steps of their own."""
    monkeypatch.setattr("fastglm.variants.load.prepare", lambda *_, **__: fastglm.engine.compile.prepare.Preparation())
