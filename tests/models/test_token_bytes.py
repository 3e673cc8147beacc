"""The bytes of tokens: joined they are the text, and control tokens have none."""

import pytest
from mixed_texts import mixed_texts
from recorded import folder
from transformers import AutoTokenizer

from fastglm.models.source import demo_folder

TEXTS = [
    "你好,世界! 👋🏽",
    '{"a": [1, 2.5e3],\n\t"b": "é"}',
    "    vier  Zeichen",
    "\u2581<0x41>",
    *mixed_texts(40, seed=3),
]


@pytest.mark.parametrize("name", ["chatglm", "chatglm2", "chatglm3", "glm4", "demo", "demo-glm"])
def test_joined_bytes_are_the_text(name):
    tokenizer = AutoTokenizer.from_pretrained(demo_folder(name) if name.startswith("demo") else folder(name))
    for text in TEXTS:
        ids = tokenizer.encode_text(text)
        found = b"".join(tokenizer.token_bytes(ids)).decode()
        assert found in (tokenizer.decode(ids), " " + tokenizer.decode(ids))


@pytest.mark.parametrize("name", ["chatglm", "chatglm2", "chatglm3", "glm4"])
def test_control_tokens_have_no_bytes_and_every_byte_has_a_token(name):
    tokenizer = AutoTokenizer.from_pretrained(folder(name))
    known = set(tokenizer.token_bytes(range(len(tokenizer) + 9)))
    assert known >= {bytes([byte]) for byte in range(256)}
    controls = {*tokenizer.all_special_ids, *tokenizer.end_ids}
    assert set(tokenizer.token_bytes([*controls, -1, len(tokenizer)])) == {b""}
    tokenizer.add_tokens(["<mine>"])
    assert tokenizer.token_bytes([tokenizer.convert_tokens_to_ids("<mine>")]) == [b""]
