"""Converted folders compute the recorded results in transformers alone."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import recorded
import torch
from safetensors.torch import load_file
from transformers import GlmConfig

import fastglm
from fastglm.compress import checkpoint_writer
from fastglm.convert.conversion import convert
from fastglm.convert.kinds import Layout
from fastglm.messages import Message

Converted = Callable[[str], Path]
FOLDERS = ("chatglm2", "chatglm2-32k", "chatglm3", "chatglm3-32k", "codegeex2", "glm4", "glm4-1m")
# Logits of prompts, in a process that cannot import this package.
PLAIN = """
import json, sys
from pathlib import Path

class Forbids:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "fastglm":
            raise ImportError(name + " is imported")

sys.meta_path.insert(0, Forbids())
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

work = json.loads(Path(sys.argv[1]).read_text())
found = {}
for name, job in work.items():
    model = AutoModelForCausalLM.from_pretrained(job["folder"])
    assert type(model).__name__ == "GlmForCausalLM" and model.dtype == torch.float32
    tokenizer = AutoTokenizer.from_pretrained(job["folder"])
    assert tokenizer(job["text"]).input_ids == job["prompts"][0], name
    for number, prompt in enumerate(job["prompts"]):
        with torch.no_grad():
            found[f"{name}/{number}"] = model(torch.tensor([prompt])).logits[0]
save_file(found, sys.argv[2])
"""


def test_logits_are_the_recorded_ones_in_transformers_alone(converted: Converted, tmp_path: Path) -> None:
    cases = {name: recorded.expected(name)["generate"] for name in FOLDERS}
    long = {name: case["long"] for name in FOLDERS if "long" in (case := recorded.expected(name))}
    work = {
        name: {
            "folder": str(converted(name)),
            "text": cases[name][0]["text"],
            "prompts": [case["input_ids"] for case in [*cases[name], *(long[each] for each in long if each == name)]],
        }
        for name in FOLDERS
    }
    (tmp_path / "work.json").write_text(json.dumps(work), encoding="utf-8")
    command = [sys.executable, "-c", PLAIN, str(tmp_path / "work.json"), str(tmp_path / "found")]
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=plain, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower()
    found = load_file(tmp_path / "found")
    for name in FOLDERS:
        for number in range(len(cases[name])):
            wanted = recorded.tensors(name)[f"logits_{number}"]
            torch.testing.assert_close(found[f"{name}/{number}"], wanted, atol=1e-4, rtol=0)
    for name, case in long.items():
        rows = found[f"{name}/{len(cases[name])}"][case["positions"]]
        torch.testing.assert_close(rows, recorded.tensors(name)["long_logits"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", FOLDERS)
def test_converted_folders_load_here_with_the_same_conversation(converted: Converted, name: str) -> None:
    model, tokenizer = fastglm.load(converted(name))
    _, published = fastglm.load(recorded.folder(name))
    for number, case in enumerate(recorded.expected(name)["generate"]):
        assert tokenizer.encode(case["text"]) == case["input_ids"]
        with torch.inference_mode():
            found = model(torch.tensor([case["input_ids"]])).logits[0]
        torch.testing.assert_close(found, recorded.tensors(name)[f"logits_{number}"], atol=1e-4, rtol=0)
    assert tokenizer.conversation == published.conversation
    assert tokenizer.end_ids == published.end_ids
    messages = [Message("user", "你好 <|user|>"), Message("assistant", "Hello\n"), Message("user", " 1+2=?")]
    assert tokenizer.conversation.ids(tokenizer, messages) == published.conversation.ids(published, messages)


@pytest.mark.parametrize(
    ("name", "base", "factor"),
    [("chatglm2-32k", 10000, 16), ("chatglm3-32k", 500000, None), ("glm4-1m", 1e8, None), ("codegeex2", 10000, None)],
)
def test_angles_have_the_meaning_of_their_generation(
    converted: Converted, name: str, base: float, factor: float | None
) -> None:
    angles = GlmConfig.from_pretrained(converted(name)).rope_parameters
    assert (angles["rope_theta"], angles.get("factor"), angles["partial_rotary_factor"]) == (base, factor, 0.5)


def test_settings_of_answers_are_kept(converted: Converted) -> None:
    read = {name: json.loads((converted(name) / "generation_config.json").read_text()) for name in FOLDERS}
    assert read["chatglm2"]["eos_token_id"] == [2]
    assert read["chatglm3"] == {
        "eos_token_id": [2, 706, 708],
        "pad_token_id": 0,
        "do_sample": True,
        "temperature": 0.8,
        "top_p": 0.8,
    }
    assert read["glm4"]["eos_token_id"] == [656, 663, 665]
    assert read["glm4"]["max_length"] == 128000
    assert "do_sample" not in read["codegeex2"]


def test_dtype_is_kept_and_shards_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    shutil.copytree(recorded.folder("glm4"), source)
    weights = load_file(source / "model.safetensors")
    checkpoint_writer.save_file({name: x.bfloat16() for name, x in weights.items()}, source / "model.safetensors")
    monkeypatch.setattr(checkpoint_writer, "SHARD_BYTES", 100_000)
    out = convert(source, Layout.glm, tmp_path / "out")
    shards = sorted(out.glob("*.safetensors"))
    assert len(shards) > 3
    assert {x.dtype for shard in shards for x in load_file(shard).values()} == {torch.bfloat16}
    assert GlmConfig.from_pretrained(out).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["chatglm2-int4", "chatglm2-int8"])
def test_published_packed_weights_are_unpacked(converted: Converted, name: str) -> None:
    weights = load_file(next(converted(name).glob("*.safetensors")))
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert recorded.expected(name)["dequantised_row0"] == "transformer.encoder.layers.0.mlp.dense_4h_to_h.weight"
    row = weights["model.layers.0.mlp.down_proj.weight"][0]
    assert torch.equal(row, recorded.tensors(name)["dequantised_row0"].half())
    assert "unpacked" in (converted(name) / "README.md").read_text(encoding="utf-8")


def test_readme_says_what_a_plain_tokenizer_does(converted: Converted) -> None:
    text = (converted("chatglm3") / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# chatglm3 for transformers")
    assert str(recorded.GOLDEN) not in text
    assert "`<|user|>`" in text
    assert "split_special_tokens" in text
    assert "fp32" not in text
    assert "fp32" in (converted("chatglm2") / "README.md").read_text(encoding="utf-8")
