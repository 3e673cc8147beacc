"""Reading of checkpoints: every layout, and the message for every broken one."""

import json
import pickle
import shutil

import pytest
import torch
from recorded import CASE_IDS, expected, folder
from safetensors.torch import save_file

import fastglm
from fastglm.errors import CheckpointError, FastGLMError, UsageError
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.registered_tokenizers import ChatGLMTokenizer
from fastglm.models.source import find_source, openable


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(folder("chatglm"), tmp_path / "model")
    return tmp_path / "model"


def weights(path):
    return torch.load(path / "pytorch_model.bin", weights_only=True)


def write_shards(path, kind, count=3):
    """The checkpoint's weights in shards with an index, as published."""
    state = weights(path)
    (path / "pytorch_model.bin").unlink()
    names = list(state)
    stem = "model" if kind == "safetensors" else "pytorch_model"
    weight_map = {}
    for i in range(count):
        file = f"{stem}-{i + 1:05d}-of-{count:05d}.{kind}"
        part = {name: state[name].clone() for name in names[i::count]}
        save_file(part, path / file) if kind == "safetensors" else torch.save(part, path / file)
        weight_map.update(dict.fromkeys(part, file))
    index = path / (f"{stem}.safetensors.index.json" if kind == "safetensors" else f"{stem}.bin.index.json")
    index.write_text(json.dumps({"weight_map": weight_map}))
    return sorted(set(weight_map.values()))


def first_ids(path, variant="fast", **options):
    model, tokenizer = fastglm.load(str(path), variant, **options)
    return [
        p.token for p in fastglm.stream(model, tokenizer, CASE_IDS, max_new_tokens=8, do_sample=False, ignore_eos=True)
    ]


GREEDY = expected("chatglm")["generate"][1]["new_ids"][:8]


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_shards_of_both_kinds_load(copy, kind):
    write_shards(copy, kind)
    assert first_ids(copy) == GREEDY


def test_single_safetensors_and_rotary_frequencies_are_read(copy):
    state = weights(copy) | {"transformer.layers.0.attention.rotary_emb.inv_freq": torch.ones(4)}
    (copy / "pytorch_model.bin").unlink()
    save_file(state, copy / "model.safetensors")
    assert first_ids(copy) == GREEDY


@pytest.mark.parametrize("name", ["chatglm-int8", "chatglm-int4"])
def test_published_quantised_checkpoints_run_on_the_fast_kernels(name):
    model, _ = fastglm.load(str(folder(name)), "fast")
    assert type(model.transformer.layers[0].mlp.dense_h_to_4h).__name__ == "QuantizedLinear"
    assert len(first_ids(folder(name))) == 8
    with pytest.raises(UsageError, match="quantised already"):
        fastglm.load(str(folder(name)), "int4")


def test_head_and_embedding_stored_twice_but_equal_are_shared(copy):
    state = weights(copy)
    state["lm_head.weight"] = state["transformer.word_embeddings.weight"].clone()
    torch.save(state, copy / "pytorch_model.bin")
    model, _ = fastglm.load(str(copy))
    assert model.lm_head.weight is model.transformer.word_embeddings.weight
    int4, _ = fastglm.load(str(copy), "int4")
    assert type(int4.lm_head).__name__ == "SharedHead"
    del state["lm_head.weight"]
    torch.save(state, copy / "pytorch_model.bin")
    assert fastglm.load(str(copy))[0].fastglm.weights_memory == model.fastglm.weights_memory


def test_an_old_vocabulary_is_trimmed_losslessly(copy):
    images = 40
    state = weights(copy)
    for name in ("lm_head.weight", "transformer.word_embeddings.weight"):
        state[name] = torch.cat((torch.zeros(images, 64), state[name]))
    torch.save(state, copy / "pytorch_model.bin")
    config = json.loads((copy / "config.json").read_text())
    config["vocab_size"] += images
    for name in ("bos_token_id", "eos_token_id", "mask_token_id", "gmask_token_id", "pad_token_id"):
        config[name] += images
    (copy / "config.json").write_text(json.dumps(config))
    tokens = json.loads((copy / "tokenizer_config.json").read_text()) | {"num_image_tokens": images}
    (copy / "tokenizer_config.json").write_text(json.dumps(tokens))
    whole, tokenizer = fastglm.load(str(copy))
    long = [p.token for p in fastglm.stream(whole, tokenizer, "你好", max_new_tokens=8, do_sample=False)]
    trimmed, tokenizer = fastglm.load(str(copy), trim_image_tokens=True)
    short = [p.token for p in fastglm.stream(trimmed, tokenizer, "你好", max_new_tokens=8, do_sample=False)]
    assert [token + images for token in short] == long
    assert trimmed.lm_head.weight.shape[0] == 768
    assert first_ids(folder("chatglm")) == GREEDY
    with pytest.raises(UsageError, match="no image tokens"):
        fastglm.load(str(folder("chatglm")), trim_image_tokens=True)


def break_nothing_there(path):
    shutil.rmtree(path)


def break_config(path):
    (path / "config.json").unlink()


def break_config_json(path):
    (path / "config.json").write_text("{")


def other_model(path):
    (path / "config.json").write_text(json.dumps({"model_type": "llama"}))


def no_weights(path):
    (path / "pytorch_model.bin").unlink()


def missing_shard(path):
    (path / write_shards(path, "bin")[1]).unlink()


def missing_tensor(path):
    state = weights(path)
    del state["transformer.layers.1.mlp.dense_h_to_4h.weight"]
    torch.save(state, path / "pytorch_model.bin")


def lfs_pointer(path):
    (path / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def truncated_bin(path):
    data = (path / "pytorch_model.bin").read_bytes()
    (path / "pytorch_model.bin").write_bytes(data[: len(data) // 2])


def garbage_bin(path):
    (path / "pytorch_model.bin").write_bytes(b"not weights at all" * 100)


def truncated_safetensors(path):
    save_file(weights(path), path / "model.safetensors")
    data = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(data[: len(data) // 2])


def wrong_shape(path):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"vocab_size": 700}))


def no_tokenizer(path):
    (path / "ice_text.model").unlink()


def broken_tokenizer(path):
    (path / "ice_text.model").write_bytes(b"version https://git-lfs")


def p_tuning(path):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"pre_seq_len": 128}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (break_nothing_there, "no such folder"),
        (break_config, "no config.json"),
        (break_config_json, "cannot be read as JSON"),
        (other_model, "'llama', not chatglm"),
        (no_weights, "has no weights"),
        (missing_shard, r"lacks pytorch_model-00002-of-00003\.bin"),
        (missing_tensor, r"lacks transformer\.layers\.1\.mlp\.dense_h_to_4h\.weight"),
        (lfs_pointer, "Git-LFS pointer"),
        (truncated_bin, "truncated or corrupt"),
        (garbage_bin, "truncated or corrupt"),
        (truncated_safetensors, "truncated or corrupt"),
        (wrong_shape, "not of the same model"),
        (no_tokenizer, "no ice_text.model"),
        (broken_tokenizer, "not a sentencepiece model"),
        (p_tuning, "lacks transformer.prefix_encoder"),
    ],
)
@pytest.mark.parametrize("variant", ["original", "int4"])
def test_a_broken_checkpoint_gets_one_clear_line(copy, spoil, said, variant):
    spoil(copy)
    with pytest.raises(FastGLMError, match=said) as raised:
        fastglm.load(str(copy), variant)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("save", [torch.save, lambda state, file: file.write_bytes(pickle.dumps(state))])
def test_a_pickle_that_runs_code_is_not_run(copy, tmp_path, save):

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "touched"), "w"))

    save({"lm_head.weight": Evil()}, copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError):
        fastglm.load(str(copy))
    assert not (tmp_path / "touched").exists()


def test_an_index_cannot_name_files_elsewhere(copy):
    write_shards(copy, "bin")
    index = copy / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": "../secret.bin"}}))
    with pytest.raises(CheckpointError, match="names no weight files"):
        Checkpoint(copy)


@pytest.mark.parametrize(
    ("model", "said"),
    [("shape:chatglm-7b", "Unknown shape"), ("shape:chatglm-6b@0", "1 to 28"), ("shape:chatglm-6b@29", "1 to 28")],
)
def test_wrong_shapes_are_named(model, said):
    with pytest.raises(UsageError, match=said):
        find_source(model)


def test_visitors_open_only_what_is_allowed(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path / "home"))
    with pytest.raises(UsageError, match="may not be opened here"):
        find_source(str(copy), restricted=True)
    with pytest.raises(UsageError, match="may not be opened here"):
        find_source(str(tmp_path / "home" / "models" / ".." / ".."), restricted=True)
    with pytest.raises(UsageError, match="may not be opened here"):
        find_source("../model", restricted=True)
    monkeypatch.setenv("FASTGLM_MODEL_DIRS", str(copy.parent))
    assert find_source(str(copy), restricted=True).folder == copy.resolve()
    assert str(copy) in openable().models
    link = copy.parent / "link"
    link.symlink_to("/etc")
    with pytest.raises(UsageError, match="may not be opened here"):
        find_source(str(link), restricted=True)
    assert find_source("THUDM/chatglm-6b", restricted=True).kind == "hub"


def test_the_tokenizer_of_a_later_generation_is_refused(copy):
    (copy / "ice_text.model").rename(copy / "tokenizer.model")
    with pytest.raises(CheckpointError, match=r"tokenizer.model is a vocabulary of ChatGLM2, .* describes ChatGLM-6B"):
        ChatGLMTokenizer.from_pretrained(copy)
