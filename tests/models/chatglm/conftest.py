"""Fixtures of the recorded ChatGLM-6B checkpoint."""

import pytest
from recorded import folder
from transformers import AutoModel, AutoTokenizer


@pytest.fixture
def tokenizer():
    return AutoTokenizer.from_pretrained(folder("chatglm"))


@pytest.fixture
def model():
    return AutoModel.from_pretrained(folder("chatglm")).float().eval()
