"""A learned prefix of another model than the one that is named with it: one clear line."""

import json
import shutil

import pytest
from recorded import folder

from fastglm.models.adapter import find_adapter
from fastglm.models.checkpoint import read_config


def config(**fields):
    """A change of config.json."""

    def change(place):
        found = json.loads((place / "config.json").read_text()) | fields
        (place / "config.json").write_text(json.dumps(found))

    return change


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_layers": 3}, "with 3 layers, and this one has 2"),
        ({"multi_query_group_num": 4}, "with 4 heads of keys in a layer, and this one has 2"),
        ({"hidden_size": 128}, "with 128 numbers in a state"),
        ({"kv_channels": 16}, "with 16 numbers in a head"),
        ({"_name_or_path": "THUDM/chatglm3-6b"}, "for a ChatGLM3 model"),
        ({"generation": "chatglm3"}, "for a ChatGLM3 model"),
        ({"_name_or_path": "../base"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_a_prefix_that_fits_another_model_is_told(tmp_path, fields, said):
    record = folder("chatglm2-ptuning")
    shutil.copytree(record / "prefix", tmp_path / "prefix")
    config(**fields)(tmp_path / "prefix")
    assert (said or "None") in str(find_adapter(tmp_path / "prefix").misfit(read_config(record / "base")))
