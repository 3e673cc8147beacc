"""GGUF files hold the weights, sizes and vocabulary of the checkpoint, and llama.cpp computes the recorded results."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import recorded
from mixed_texts import mixed_texts
from original_ids import original_ids
from sentencepiece import sentencepiece_model_pb2 as proto
from spoil import config, weights

from fastglm.convert.conversion import convert
from fastglm.convert.kinds import Kind, Layout
from fastglm.errors import CheckpointError, UsageError
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.source import demo_folder

FOLDERS = ("chatglm2", "chatglm2-32k", "chatglm3", "chatglm3-32k", "codegeex2", "glm4", "glm4-1m")
NAMES = {
    "token_embd.weight": "transformer.embedding.word_embeddings.weight",
    "output.weight": "transformer.output_layer.weight",
    "output_norm.weight": "transformer.encoder.final_layernorm.weight",
    "blk.1.attn_norm.weight": "transformer.encoder.layers.1.input_layernorm.weight",
    "blk.1.attn_qkv.weight": "transformer.encoder.layers.1.self_attention.query_key_value.weight",
    "blk.1.attn_qkv.bias": "transformer.encoder.layers.1.self_attention.query_key_value.bias",
    "blk.1.attn_output.weight": "transformer.encoder.layers.1.self_attention.dense.weight",
    "blk.1.ffn_norm.weight": "transformer.encoder.layers.1.post_attention_layernorm.weight",
    "blk.1.ffn_up.weight": "transformer.encoder.layers.1.mlp.dense_h_to_4h.weight",
    "blk.1.ffn_down.weight": "transformer.encoder.layers.1.mlp.dense_4h_to_h.weight",
}


def read(name: str, out: Path, kind: Kind = Kind.f16) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metadata and tensors of a converted checkpoint."""
    reader = gguf.GGUFReader(convert(recorded.folder(name), Layout.gguf, out, kind))
    fields = {key: field.contents() for key, field in reader.fields.items()}
    return fields, {tensor.name: tensor for tensor in reader.tensors}


@pytest.mark.parametrize("kind", list(Kind))
def test_weights_are_those_of_the_checkpoint(tmp_path: Path, kind: Kind) -> None:
    fields, tensors = read("chatglm2", tmp_path / "file", kind)
    weights = Checkpoint(recorded.folder("chatglm2")).named(NAMES.values())
    types = gguf.GGMLQuantizationType
    assert len(tensors) == 3 + 3 * 7
    for name, published in NAMES.items():
        weight, found = weights[published].float().numpy(), tensors[name]
        wanted = types[kind.upper()] if weight.ndim == 2 else types.F32
        if name == "output.weight" and kind is Kind.q4_0:
            wanted = types.Q8_0
        if weight.shape[-1] % 32:  # the inner width of this tiny checkpoint
            wanted = types.F16 if weight.ndim == 2 else wanted
        assert found.tensor_type == wanted
        read_back = gguf.quants.dequantize(found.data, found.tensor_type).reshape(weight.shape)
        step = {types.F32: 0, types.F16: 1e-3, types.Q8_0: 1 / 127, types.Q4_0: 1 / 7}[wanted]
        assert np.abs(read_back - weight).max() <= step * np.abs(weight).max()
    assert fields["general.file_type"] == {"f16": 1, "q8_0": 7, "q4_0": 2}[kind]


def test_sizes_and_angles_are_told(tmp_path: Path) -> None:
    fields, _ = read("chatglm2-32k", tmp_path / "2")
    assert fields["general.architecture"] == "chatglm"
    assert (fields["chatglm.rope.freq_base"], fields["chatglm.rope.scaling.factor"]) == (10000, 16)
    assert (fields["chatglm.rope.scaling.type"], fields["chatglm.rope.dimension_count"]) == ("linear", 4)
    assert (fields["chatglm.attention.head_count"], fields["chatglm.attention.head_count_kv"]) == (8, 2)
    assert (fields["chatglm.block_count"], fields["chatglm.context_length"]) == (3, 32768)
    fields, _ = read("chatglm3-32k", tmp_path / "3")
    assert fields["chatglm.rope.freq_base"] == 500000
    assert "chatglm.rope.scaling.factor" not in fields


@pytest.mark.parametrize(("name", "model"), [("chatglm3", "llama"), ("glm4", "gpt2")])
def test_vocabulary_is_told(tmp_path: Path, name: str, model: str) -> None:
    fields, tensors = read(name, tmp_path / "file")
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    assert fields["tokenizer.ggml.model"] == model
    assert len(tokens) == len(types) == len(set(tokens)) == tensors["token_embd.weight"].shape[1]
    ends = [fields[f"tokenizer.ggml.{end}_token_id"] for end in ("eos", "eot", "eom")]
    assert [tokens[end] for end in ends[1:]] == ["<|user|>", "<|observation|>"]
    assert {types[end] for end in ends} == {gguf.TokenType.CONTROL}
    assert types[-1] == gguf.TokenType.UNUSED
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["tokenizer.chat_template"].startswith(("[gMASK]<sop>", "{#-"))


def test_unigram_vocabularies_spell_single_bytes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = tmp_path / "source"
    shutil.copytree(recorded.folder("chatglm3"), source)
    pieces = proto.ModelProto.FromString((demo_folder() / "ice_text.model").read_bytes())
    next(piece for piece in pieces.pieces if piece.piece == "<n>").piece = "<line>"  # ChatGLM-6B's alone has the other
    (source / "tokenizer.model").write_bytes(pieces.SerializeToString())
    config(padded_vocab_size=4352)(source)
    ends = ("transformer.embedding.word_embeddings.weight", "transformer.output_layer.weight")
    weights(lambda state: state | {name: state[name].repeat(6, 1)[:4352] for name in ends})(source)
    reader = gguf.GGUFReader(convert(source, Layout.gguf, tmp_path / "file"))
    fields = {key: field.contents() for key, field in reader.fields.items()}
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    (line_break,) = original_ids(source)("\n")[1:]
    assert fields["tokenizer.ggml.model"] == "t5"
    assert len(set(tokens)) == len(tokens) == 4352  # the vocabulary has pieces with the names of control tokens
    assert (tokens[line_break], types[line_break]) == ("\n", gguf.TokenType.NORMAL)
    assert tokens.index("[gMASK]") == 4323 + 1
    assert "no piece of its own" in caplog.text


def test_numbers_beyond_f16_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(recorded.folder("chatglm3"), source)
    weights(lambda state: state["transformer.output_layer.weight"][3, 5].fill_(1e6))(source)
    with pytest.raises(CheckpointError, match="beyond the range of f16"):
        convert(source, Layout.gguf, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [source]


def test_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UsageError, match=r"pip install 'fastglm\[gguf\]'"):
        convert(recorded.folder("chatglm3"), Layout.gguf, tmp_path / "out")


# llama.cpp's best token after every token of prompts, and its ids of texts.
LLAMA = """
import json, sys
from pathlib import Path
import llama_cpp as api

job = json.loads(Path(sys.argv[1]).read_text())
model = api.llama_model_load_from_file(job["file"].encode(), api.llama_model_default_params())
vocabulary = api.llama_model_get_vocab(model)
size = api.llama_vocab_n_tokens(vocabulary)
best, ids = [], []
for prompt in job["prompts"]:
    settings = api.llama_context_default_params()
    settings.n_ctx = settings.n_batch = 1024
    settings.n_threads = settings.n_threads_batch = 1
    context = api.llama_init_from_model(model, settings)
    batch = api.llama_batch_init(len(prompt), 0, 1)
    batch.n_tokens = len(prompt)
    for place, token in enumerate(prompt):
        batch.token[place], batch.pos[place], batch.logits[place] = token, place, 1
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
    assert api.llama_decode(context, batch) == 0
    rows = [api.llama_get_logits_ith(context, place)[:size] for place in range(len(prompt))]
    best.append([max(range(size), key=row.__getitem__) for row in rows])
    api.llama_free(context)
for text in job["texts"]:
    encoded = text.encode()
    room = (api.llama_token * (2 * len(encoded) + 16))()
    ids.append(room[: api.llama_tokenize(vocabulary, encoded, len(encoded), room, len(room), False, False)])
ends = [token for token in range(size) if api.llama_vocab_is_eog(vocabulary, token)]
Path(sys.argv[2]).write_text(json.dumps({"best": best, "ids": ids, "ends": ends}))
"""


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed (the extra peers)")
@pytest.mark.parametrize("name", FOLDERS)
def test_llama_cpp_has_the_same_best_tokens_and_ids(tmp_path: Path, name: str) -> None:
    file = convert(recorded.folder(name), Layout.gguf, tmp_path / "file")
    cases, logits = recorded.expected(name), recorded.tensors(name)
    prompts = [case["input_ids"] for case in cases["generate"]] + [cases[k]["input_ids"] for k in cases if k == "long"]
    texts = [text.replace("\x00", "") for text in mixed_texts(200, seed=18)]  # in C a zero ends a text
    (tmp_path / "job").write_text(json.dumps({"file": str(file), "prompts": prompts, "texts": texts}))
    command = [sys.executable, "-c", LLAMA, str(tmp_path / "job"), str(tmp_path / "found")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "found").read_text())
    for number in range(len(cases["generate"])):
        assert found["best"][number] == logits[f"logits_{number}"].argmax(1).tolist()
    if "long" in cases:
        places = cases["long"]["positions"]
        assert [found["best"][-1][place] for place in places] == logits["long_logits"].argmax(1).tolist()
    assert found["ids"] == list(map(original_ids(recorded.folder(name)), texts))
    ends = json.loads((recorded.folder(name) / "config.json").read_text())["eos_token_id"]
    assert found["ends"] == (ends if isinstance(ends, list) else [2, 706, 708] if "chatglm3" in name else [2])
