"""Predicted sizes against the tensors of a model that is made from the config."""

import pytest
import torch

from fastglm.compress.size import SPARSE_SHARE, Size, predict_size
from fastglm.kernels.packed import PackedWeight
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.chatglm.facts import ChatGLM6BFacts

SMALL = {"vocab_size": 400, "hidden_size": 64, "num_layers": 3, "max_sequence_length": 64, "bos_token_id": 104}
UNEQUAL = {"num_attention_heads": [8, 6, 4], "inner_hidden_size": [256, 100, 64], "head_dim": 8}
CONFIGS = {
    "tied": {},
    "untied": {"tie_word_embeddings": False, "dtype": "float32"},
    "unequal layers": UNEQUAL | {"torch_dtype": "bfloat16"},
    "int8": {"weight_format": "int8"},
    "int4, tied": UNEQUAL | {"weight_format": "int4-g32"},
    "int4, embedding int8": {"weight_format": "int4-g128", "embedding_format": "int8", "tie_word_embeddings": False},
    "published int4": {"quantization_bit": 4, "dtype": "float16"},
    "published int8": {"quantization_bit": 8, "quantization_embeddings": True},
    "2:4": UNEQUAL | {"sparsity": "2:4", "tie_word_embeddings": False},
}


def size_of_model(config: ChatGLM6BConfig) -> Size:
    """Count the tensors of a model on the meta device."""
    width = (config.dtype or torch.float16).itemsize
    with torch.device("meta"):
        model = config.architecture.model_class(config)
    parameters = stored = read = 0
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if module is model.head and config.tie_word_embeddings:
            own = []
        count = sum(parameter.numel() for parameter in own)
        size = touched = count * width
        if isinstance(module, torch.nn.Linear) and config.sparsity and model.names.split(name)[0] is not None:
            touched -= round((1 - SPARSE_SHARE) * module.weight.numel() * width)
        if isinstance(module, PackedWeight):
            count += module.rows * module.columns
            size += sum(part.nbytes for part in module.parts().values())
            touched = size
        if module is model.embedding and not config.tie_word_embeddings:
            touched = size // config.vocab_size  # one row
        parameters, stored, read = parameters + count, stored + size, read + touched
    return Size(parameters, stored, read)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_predicted_size_is_that_of_the_model(name: str) -> None:
    fields = {"model_type": "chatglm", "num_attention_heads": 8, "inner_hidden_size": 256} | SMALL | CONFIGS[name]
    config, facts = ChatGLM6BConfig.from_dict(fields), ChatGLM6BFacts.from_fields(fields)
    facts.check()
    assert predict_size(config) == predict_size(facts) == size_of_model(config)
    assert {name: getattr(config, name) for name in vars(facts) if name != "dtype"} == {
        name: value for name, value in vars(facts).items() if name != "dtype"
    }
