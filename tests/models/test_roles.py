"""Code outside the architectures' own folders speaks of roles, never of their published names."""

import re
from pathlib import Path

import pytest

from fastglm.models.architecture import TensorNames, recognize

PACKAGE = Path(__file__).parents[2] / "fastglm"
NAMES = re.compile(
    r"query_key_value|dense_h_to_4h|dense_4h_to_h|attention\.dense|lm_head|transformer\.layers"
    r"|\bword_embeddings|num_layers|inner_hidden_size|max_sequence_length|ice_text"
    r"|final_layernorm|post_attention_layernorm|ChatGLM6BConfig|ChatGLMForConditionalGeneration"
)
OWN = (
    "models/chatglm/",
    "models/glm/",
    "convert/",  # other programs' names
    "demo/",  # its training makes a ChatGLM-6B
    "compress/student.py",  # the words of students in users' recipes
)


def users(text: str) -> list[int]:
    """Lines that name a published tensor, field, file or class of an architecture."""
    return [number for number, line in enumerate(text.splitlines(), 1) if NAMES.search(line)]


def test_no_published_name_outside_the_folders() -> None:
    sources = {path: path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    found = {name: users(path.read_text(encoding="utf-8")) for path, name in sources.items()}
    assert {name: lines for name, lines in found.items() if lines and not name.startswith(OWN)} == {}
    assert sum(map(len, found.values())) > 20  # in its own folder


NAMED = TensorNames("wte", "out", "norm", "h", "ln1", ("q", "k", "v"), "o", "ln2", ("up", "gate"), "down")


@pytest.mark.parametrize(
    ("name", "place"),
    [("h.12.q.weight", (12, "q.weight")), ("h.3.ln1.bias", (3, "ln1.bias")), ("head.weight", (None, "head.weight"))],
)
def test_a_name_is_split_into_layer_and_rest(name: str, place: tuple[int | None, str]) -> None:
    assert NAMED.split(name) == place
    if place[0] is not None:
        assert NAMED.layer(place[0]) + place[1] == name


def test_an_architecture_is_recognized_by_its_fields() -> None:
    known = recognize({"model_type": "chatglm", "position_encoding_2d": True})
    assert known.name == "ChatGLM-6B"
    assert known.model_class.__name__ == "ChatGLMForConditionalGeneration"
    assert recognize({"model_type": "chatglm", "multi_query_group_num": 2, "rope_ratio": 16}).name == "GLM"
