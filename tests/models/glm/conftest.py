"""Fixtures of the recorded checkpoints of ChatGLM2 and its successors."""

import json

import pytest
from recorded import expected, folder
from tokenizers.processors import TemplateProcessing
from transformers.convert_slow_tokenizer import TikTokenConverter

from fastglm.models.glm.ranks import WORDS


@pytest.fixture(scope="session")
def fast_folder(tmp_path_factory):
    """The recorded tokenizer of GLM-4 as `tokenizer.json`, as transformers' own layout has it."""
    path = tmp_path_factory.mktemp("fast")
    config = json.loads((folder("glm4") / "tokenizer_config.json").read_text(encoding="utf-8"))
    special = expected("glm4")["special"]
    converter = TikTokenConverter(str(folder("glm4") / "tokenizer.model"), WORDS, extra_special_tokens=[*special])
    backend = converter.converted()
    start = [(token, special[token]) for token in ("[gMASK]", "<sop>")]
    backend.post_processor = TemplateProcessing("[gMASK] <sop> $A", "[gMASK] <sop> $A $B", start)
    backend.save(str(path / "tokenizer.json"))
    config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    del config["auto_map"]
    (path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return path
