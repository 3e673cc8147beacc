"""Files of a tokenizer that tell the generation, belong to another checkpoint, or are missing."""

import shutil

import pytest
import torch
from recorded import folder
from spoil import change_json
from transformers import AutoConfig, AutoTokenizer

from fastglm.errors import CheckpointError, UsageError
from fastglm.models.glm.fast_tokenizer import GLMFastTokenizer
from fastglm.models.glm.rank_tokenizer import GLMRankTokenizer
from fastglm.models.glm.sp_tokenizer import GLMSentencePieceTokenizer
from fastglm.models.registered_tokenizers import ChatGLMTokenizer

FILES = ("config.json", "tokenizer_config.json", "tokenizer.model")


@pytest.fixture
def copied(tmp_path):
    """The small files of a recorded checkpoint, by its name, in a folder that can be changed."""

    def take(name):
        for file in FILES:
            shutil.copy(folder(name) / file, tmp_path / file)
        return tmp_path

    return take


@pytest.mark.parametrize("name", ["chatglm2", "chatglm3", "glm4"])
@pytest.mark.parametrize("trust", [True, False, None])
def test_code_beside_a_checkpoint_is_not_run(copied, name, trust):
    path = copied(name)
    for part in ("configuration", "tokenization", "modeling"):
        (path / f"{part}_chatglm.py").write_text("raise SystemExit('remote code was run')")
    found = AutoTokenizer.from_pretrained(path, trust_remote_code=trust)
    assert type(found).__module__.startswith("fastglm.")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("chatglm2", GLMSentencePieceTokenizer), ("glm4", GLMRankTokenizer)],
)
def test_the_content_of_a_file_decides_not_the_name_of_a_class(copied, name, kind):
    path = copied(name)
    for said in ("ChatGLMTokenizer", "ChatGLM4Tokenizer", kind.__name__):
        change_json(path / "tokenizer_config.json", tokenizer_class=said)
        assert type(AutoTokenizer.from_pretrained(path)) is kind
    change_json(path / "tokenizer_config.json", ["tokenizer_class", "auto_map"])
    assert type(AutoTokenizer.from_pretrained(path)) is kind


def test_a_user_can_say_the_generation(copied):
    found = AutoTokenizer.from_pretrained(copied("chatglm3"), generation="chatglm2")
    assert (found.generation, len(found), found.end_ids) == ("chatglm2", 705, [2])


# Files that do not belong together, one clear line each.


def refused(path, *said):
    with pytest.raises(CheckpointError) as error:
        AutoTokenizer.from_pretrained(path)
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 400
    for each in said:
        assert each in line


def test_no_vocabulary_file(copied):
    path = copied("chatglm2")
    (path / "tokenizer.model").unlink()
    refused(path, "no tokenizer.model", "copy the tokenizer file beside config.json")


@pytest.mark.parametrize("name", ["chatglm2", "glm4"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_vocabulary_file_of_something_else(copied, name, content):
    path = copied(name)
    (path / "tokenizer.model").write_bytes(content)
    refused(path, "fetch it again")


def test_a_vocabulary_file_that_was_cut_off(copied):
    path = copied("glm4")
    content = (path / "tokenizer.model").read_bytes()
    (path / "tokenizer.model").write_bytes(content[: len(content) // 3])
    refused(path, "tokenizer.model", "fetch it again")


def test_vocabularies_of_another_generation(copied):
    path = copied("chatglm2")
    shutil.copy(folder("glm4") / "tokenizer.model", path)
    refused(path, "GLM-4 or CodeGeeX4", "same checkpoint")
    path = copied("glm4")
    shutil.copy(folder("chatglm3") / "tokenizer.model", path)
    refused(path, "ChatGLM2, ChatGLM3 or CodeGeeX2", "same checkpoint")
    path = copied("glm4")
    change_json(path / "tokenizer_config.json", ["added_tokens_decoder"])
    refused(path, "control tokens", "<|endoftext|>", "same checkpoint")
    path = copied("chatglm3")
    shutil.copy(folder("chatglm") / "ice_text.model", path)
    (path / "tokenizer.model").unlink()
    refused(path, "ice_text.model is a vocabulary of ChatGLM-6B", "same checkpoint")


def test_a_vocabulary_of_chatglm_6b_under_the_name_of_another(copied):
    path = copied("chatglm3")
    shutil.copy(folder("chatglm") / "ice_text.model", path / "tokenizer.model")
    refused(path, "tokenizer.model is a vocabulary of ChatGLM-6B", "same checkpoint")


def test_a_vocabulary_of_another_model_beside_the_right_one_is_passed_over(copied):
    path = copied("chatglm3")
    shutil.copy(folder("chatglm") / "ice_text.model", path)
    assert AutoTokenizer.from_pretrained(path).generation == "chatglm3"


@pytest.mark.parametrize(
    ("source", "name", "said"),
    [
        ("chatglm3", "tokenizer.model", "is a vocabulary of ChatGLM2, ChatGLM3 or CodeGeeX2"),
        ("glm4", "tokenizer.model", "is a vocabulary of GLM-4 or CodeGeeX4"),
        ("chatglm3", "ice_text.model", "use the file of a ChatGLM-6B checkpoint"),
        ("glm4", "ice_text.model", "fetch it again"),
    ],
)
def test_vocabularies_of_others_in_a_folder_of_chatglm_6b(tmp_path, source, name, said):
    for file in FILES[:2]:
        shutil.copy(folder("chatglm") / file, tmp_path)
    shutil.copy(folder(source) / "tokenizer.model", tmp_path / name)
    refused(tmp_path, said)


@pytest.mark.parametrize("name", ["chatglm", "chatglm2", "glm4"])
def test_no_file_of_a_tokenizer_at_all(tmp_path, name):
    shutil.copy(folder(name) / "config.json", tmp_path)
    refused(tmp_path, "no ice_text.model" if name == "chatglm" else "no tokenizer.model", "beside config.json")


def test_ranks_that_were_cut_off_between_two_lines(copied):
    path = copied("glm4")
    lines = (path / "tokenizer.model").read_bytes().splitlines(keepends=True)
    (path / "tokenizer.model").write_bytes(b"".join(lines[:-5]))
    refused(path, f"ends after {len(lines) - 5} tokens", f"the next one at {len(lines)}", "fetch both again")


@pytest.mark.parametrize("size", [600, 1100])
def test_a_tokenizer_of_another_size_than_the_model(size):
    config = AutoConfig.from_pretrained(folder("chatglm3"), padded_vocab_size=size)
    with pytest.raises(CheckpointError, match=f"has 709 tokens, the model {size}: copy both from the same"):
        config.agree(AutoTokenizer.from_pretrained(folder("chatglm3")))


def test_a_tokenizer_that_was_saved_with_another_generation(copied):
    path = copied("chatglm3")
    change_json(path / "config.json", generation="chatglm2")
    change_json(path / "tokenizer_config.json", generation="chatglm3")
    config, tokenizer = AutoConfig.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    with pytest.raises(CheckpointError, match=r"a ChatGLM2 checkpoint, and tokenizer_config\.json that of a ChatGLM3"):
        config.agree(tokenizer)


def test_the_registered_class_reads_folders_only():
    with pytest.raises(UsageError, match="from_pretrained"):
        ChatGLMTokenizer("tokenizer.model")


def test_a_fast_tokenizer_without_padding_has_one(fast_folder, tmp_path):
    shutil.copytree(fast_folder, tmp_path / "model")
    change_json(tmp_path / "model" / "tokenizer_config.json", ["pad_token"])
    found = ChatGLMTokenizer.from_pretrained(tmp_path / "model")
    assert type(found) is GLMFastTokenizer
    assert found.pad_token_id == found.eos_token_id == 656
    assert torch.equal(found("a", return_tensors="pt")["input_ids"], torch.tensor([[658, 660, 64]]))
