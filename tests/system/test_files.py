"""Files from users: missing, too large and too deep ones are named, and no read waits."""

import json
import os
import shutil

import pytest
from recorded import folder
from spoil import config

from fastglm.errors import CheckpointError, UsageError
from fastglm.models.source import EMBEDDED, openable
from fastglm.system.files import DEEPEST, read_json, replacing
from fastglm.text_files import read_lines


def pipe(path):
    os.mkfifo(path)


def link_to_a_device(path):
    path.symlink_to("/dev/zero")


def link_to_a_terminal(path):
    path.symlink_to("/dev/tty")


def directory(path):
    path.mkdir()


def dangling_link(path):
    path.symlink_to("nowhere")


def loop_of_links(path):
    path.symlink_to(path)


def large(path):
    path.write_text('{"model_type": "chatglm", "filler": "' + "x" * 50_000_000 + '"}')


def large_with_holes(path):
    with path.open("wb") as file:
        file.truncate(10**12)


def deep_lists(path):
    path.write_text('{"model_type": "chatglm", "a": ' + "[" * 100_000 + "]" * 100_000 + "}")


def deep_objects(path):
    path.write_text('{"a": ' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1))


def digits(path):
    path.write_text('{"num_layers": ' + "9" * 100_000 + "}")


def not_utf8(path):
    path.write_bytes(b'{"model_type": "\xff"}')


def a_list(path):
    path.write_text("[1, 2]")


NO_FILES = [pipe, link_to_a_device, link_to_a_terminal, directory, dangling_link, loop_of_links]
SPOILED = [*NO_FILES, large, large_with_holes, deep_lists, deep_objects, digits, not_utf8, a_list]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("spoil", SPOILED)
def test_json_that_cannot_be_read_is_named_at_once(tmp_path, spoil):
    spoil(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match=r"config\.json (cannot be read|holds no JSON object)") as raised:
        read_json(tmp_path / "config.json")
    assert "\n" not in str(raised.value)


def test_brackets_in_strings_are_no_levels(tmp_path):
    content = {"a": "[" * 1000 + '"{\\', "b": [[[1]]]}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert read_json(tmp_path / "config.json") == content


@pytest.mark.timeout(20)
@pytest.mark.parametrize("spoil", NO_FILES)
def test_texts_are_read_from_files_alone(tmp_path, spoil):
    spoil(tmp_path / "texts.jsonl")
    with pytest.raises(UsageError, match="cannot be read"):
        list(read_lines(tmp_path / "texts.jsonl"))


def test_a_line_without_an_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("fastglm.text_files.LONGEST", 100)
    (tmp_path / "texts.txt").write_text("short\n" + "x" * 1000)
    with pytest.raises(UsageError, match="line 2 has over"):
        list(read_lines(tmp_path / "texts.txt"))
    monkeypatch.setattr("fastglm.text_files.LARGEST", 100)
    with pytest.raises(UsageError, match="larger than"):
        list(read_lines(tmp_path / "texts.txt"))


@pytest.mark.timeout(60)
def test_one_bad_folder_hurts_no_other_and_is_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path))
    models = tmp_path / "models"
    shutil.copytree(folder("chatglm"), models / "good")
    for spoil in SPOILED:
        (models / spoil.__name__).mkdir()
        spoil(models / spoil.__name__ / "config.json")
    (models / "empty").mkdir()
    pipe(models / "a pipe")
    found = openable()
    assert found.models == [*EMBEDDED, str(models / "good")]
    assert sorted(found.refused) == sorted(str(models / spoil.__name__) for spoil in SPOILED)
    assert all(reason and "\n" not in reason for reason in found.refused.values())


def test_the_list_of_models_follows_the_files(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path))
    place = tmp_path / "models" / "mine"
    shutil.copytree(folder("chatglm"), place)
    weights = (place / "pytorch_model.bin").rename(tmp_path / "aside")
    assert "has no weights" in openable().refused[str(place)]
    weights.rename(place / "pytorch_model.bin")
    assert str(place) in openable().models
    config(model_type="llama")(place)
    assert "'llama'" in openable().refused[str(place)]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "facts.json"
    path.write_text("old")
    with pytest.raises(TypeError), replacing(path) as partial:
        partial.write_text("ha") + "lf"
    assert path.read_text() == "old"
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_replaced_file_of_the_home_is_private_to_its_owner(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTGLM_HOME", str(home := tmp_path / "home"))
    home.mkdir(mode=0o700)
    with replacing(home / "facts.json") as partial:
        assert partial.stat().st_mode & 0o777 == 0o600  # before it is complete, too
        partial.write_text("new")
    assert (home / "facts.json").stat().st_mode & 0o777 == 0o600


def test_a_tokenizer_may_be_as_large_as_that_of_glm_4(tmp_path):
    for name in ("tokenizer.json", "index.json"):
        (tmp_path / name).write_text('{"filler": "' + "x" * 20_000_000 + '"}')
    assert read_json(tmp_path / "tokenizer.json").keys() == {"filler"}
    with pytest.raises(CheckpointError, match="at most"):
        read_json(tmp_path / "index.json")
