"""Refusals of conversions, and the command."""

import json
import shutil
from pathlib import Path

import pytest
import recorded

from fastglm.cli.commands import main
from fastglm.compress import checkpoint_writer
from fastglm.convert.conversion import convert
from fastglm.convert.kinds import Kind, Layout
from fastglm.errors import CheckpointError, DiskShortError, UsageError


@pytest.mark.parametrize("to", list(Layout))
@pytest.mark.parametrize("model", ["demo", str(recorded.folder("chatglm-int4"))])
def test_chatglm_6b_is_refused_with_the_reason(tmp_path: Path, model: str, to: Layout) -> None:
    with pytest.raises(UsageError, match="two dimensions and its prompt is seen in both directions"):
        convert(model, to, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "to", "said"),
    [
        ("glm", Layout.glm, "nothing to convert"),
        ("glm4", Layout.glm, "nothing to convert"),
        ("glm", Layout.gguf, "convert_hf_to_gguf.py"),
        ("glm4", Layout.gguf, "convert_hf_to_gguf.py"),
    ],
)
def test_layouts_of_transformers_are_left_alone(tmp_path: Path, kind: str, to: Layout, said: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        convert(tmp_path, to, tmp_path / "out")


def test_learned_prefixes_are_not_left_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(recorded.folder("chatglm2"), source)
    config = json.loads((source / "config.json").read_text(encoding="utf-8")) | {"pre_seq_len": 8}
    (source / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for folder in (source, recorded.folder("chatglm2-ptuning") / "prefix"):
        with pytest.raises(UsageError, match="learned prefix"):
            convert(folder, Layout.gguf, tmp_path / "out")


def test_pruned_and_compressed_models_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(recorded.folder("chatglm2"), source)
    published = json.loads((source / "config.json").read_text(encoding="utf-8"))
    for changed, said in (
        ({"ffn_hidden_size": [400, 400, 384]}, "different widths"),
        ({"weight_format": "int8"}, "here"),
    ):
        (source / "config.json").write_text(json.dumps(published | changed), encoding="utf-8")
        with pytest.raises(UsageError, match=said):
            convert(source, Layout.glm, tmp_path / "out")


def test_a_generation_that_was_said_decides_the_conversation(tmp_path: Path) -> None:
    arguments = ["convert", "--model", str(recorded.folder("chatglm3-32k")), "--to", "glm"]
    assert main([*arguments, "--out", str(tmp_path / "said"), "--generation", "chatglm2"]) == 0
    assert main([*arguments, "--out", str(tmp_path / "told")]) == 0
    said, told = ((tmp_path / name / "chat_template.jinja").read_text(encoding="utf-8") for name in ("said", "told"))
    assert "[Round" in said
    assert "[Round" not in told


def test_models_without_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="random weights"):
        convert("shape:chatglm-6b@1", Layout.glm, tmp_path / "out")


@pytest.mark.parametrize("to", list(Layout))
def test_nothing_is_left_where_the_disk_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: Layout
) -> None:
    free = shutil._ntuple_diskusage(1 << 20, 1 << 20, 1 << 10)  # type: ignore[attr-defined]
    monkeypatch.setattr(checkpoint_writer.shutil, "disk_usage", lambda _: free)
    with pytest.raises(DiskShortError, match="make room"):
        convert(recorded.folder("chatglm3"), to, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", list(Layout))
def test_missing_vocabularies_are_told_and_nothing_is_left(tmp_path: Path, to: Layout) -> None:
    source = tmp_path / "source"
    shutil.copytree(recorded.folder("chatglm3"), source)
    (source / "tokenizer.model").unlink()
    with pytest.raises(CheckpointError, match="tokenizer"):
        convert(source, to, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [source]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["convert", "--model", str(recorded.folder("chatglm3")), "--to", "glm", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert capsys.readouterr().out == f"Written: {tmp_path / 'out'}\n"
    assert main(command) == 2
    assert "name a path that does not" in capsys.readouterr().err
    assert main([*command[:-1], str(tmp_path / "other"), "--progress", "json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[0]["stage"] == "convert"
    assert told[-1] == {"event": "done", "status": "done"}


def test_files_that_appear_meanwhile_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastglm.convert import gguf_file

    out = tmp_path / "model.gguf"
    announce = gguf_file._announce

    def appear(*given: object) -> None:
        out.write_text("mine")
        announce(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(gguf_file, "_announce", appear)
    with pytest.raises(UsageError, match="exists already"):
        convert(recorded.folder("chatglm3"), Layout.gguf, out, Kind.q8_0)
    assert out.read_text() == "mine"
