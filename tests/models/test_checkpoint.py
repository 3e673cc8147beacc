"""Reading of checkpoints: every layout, and the message for every broken one."""

import pickle
import shutil

import pytest
import torch
from recorded import CASE_IDS, expected, folder
from safetensors.torch import save_file
from spoil import BIN, POINTER, Evil, add_images, config, cut, file, read_weights, several, weights, write_shards

import fastglm
from fastglm.errors import CheckpointError, FastGLMError, UsageError
from fastglm.models.registered_tokenizers import ChatGLMTokenizer
from fastglm.models.source import find_source, openable


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(folder("chatglm"), tmp_path / "model")
    return tmp_path / "model"


SAFE, WEIGHT = "model.safetensors", "transformer.layers.1.mlp.dense_h_to_4h.weight"


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
    state = read_weights(copy) | {"transformer.layers.0.attention.rotary_emb.inv_freq": torch.ones(4)}
    (copy / BIN).unlink()
    save_file(state, copy / SAFE)
    assert first_ids(copy) == GREEDY


@pytest.mark.parametrize("name", ["chatglm-int8", "chatglm-int4"])
def test_published_quantised_checkpoints_run_on_the_fast_kernels(name):
    model, _ = fastglm.load(str(folder(name)), "fast")
    assert type(model.transformer.layers[0].mlp.dense_h_to_4h).__name__ == "QuantizedLinear"
    assert len(first_ids(folder(name))) == 8
    with pytest.raises(UsageError, match="quantised already"):
        fastglm.load(str(folder(name)), "int4")


def test_head_and_embedding_stored_twice_but_equal_are_shared(copy):
    weights(lambda state: state.update({"lm_head.weight": state["transformer.word_embeddings.weight"].clone()}))(copy)
    model, _ = fastglm.load(str(copy))
    assert model.lm_head.weight is model.transformer.word_embeddings.weight
    int4, _ = fastglm.load(str(copy), "int4")
    assert type(int4.lm_head).__name__ == "SharedHead"
    weights(lambda state: state.pop("lm_head.weight"))(copy)
    assert fastglm.load(str(copy))[0].fastglm.weights_memory == model.fastglm.weights_memory


def test_an_old_vocabulary_is_trimmed_losslessly(copy):
    images = 40
    add_images(copy, images)
    whole, tokenizer = fastglm.load(str(copy))
    long = [p.token for p in fastglm.stream(whole, tokenizer, "你好", max_new_tokens=8, do_sample=False)]
    trimmed, tokenizer = fastglm.load(str(copy), trim_image_tokens=True)
    short = [p.token for p in fastglm.stream(trimmed, tokenizer, "你好", max_new_tokens=8, do_sample=False)]
    assert [token + images for token in short] == long
    assert trimmed.lm_head.weight.shape[0] == 768
    assert first_ids(folder("chatglm")) == GREEDY
    with pytest.raises(UsageError, match="no image tokens"):
        fastglm.load(str(folder("chatglm")), trim_image_tokens=True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shutil.rmtree, "no such folder"),
        (file("config.json", None), "no config.json"),
        (file("config.json", "{"), "cannot be read as JSON"),
        (file("config.json", '{"model_type": "llama"}'), "'llama', not chatglm"),
        (file("config.json", '{"model_type": ["chatglm"]}'), "'chatglm'\\], not chatglm"),
        (file(BIN, None), "has no weights"),
        (
            several(lambda place: write_shards(place, "bin"), file("pytorch_model-00002-of-00003.bin", None)),
            r"lacks pytorch_model-00002-of-00003\.bin",
        ),
        (weights(lambda state: state.pop(WEIGHT)), f"lacks {WEIGHT}"),
        (file(BIN, POINTER), "Git-LFS pointer"),
        (cut(BIN), "truncated or corrupt"),
        (file(BIN, b"not weights at all" * 100), "truncated or corrupt"),
        (
            several(lambda place: save_file(read_weights(place), place / SAFE), cut(SAFE)),
            "truncated or corrupt",
        ),
        (config(vocab_size=700), "not of the same model"),
        (file("ice_text.model", None), "no ice_text.model"),
        (file("ice_text.model", b"version https://git-lfs"), "not a sentencepiece model"),
        (config(pre_seq_len=128), "lacks transformer.prefix_encoder"),
    ],
)
@pytest.mark.parametrize("variant", ["original", "int4"])
def test_a_broken_checkpoint_gets_one_clear_line(copy, spoil, said, variant):
    spoil(copy)
    with pytest.raises(FastGLMError, match=said) as raised:
        fastglm.load(str(copy), variant)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("save", [torch.save, lambda state, file: file.write_bytes(pickle.dumps(state))])
def test_a_pickle_that_runs_code_is_not_run(copy, tmp_path, monkeypatch, save):

    monkeypatch.chdir(tmp_path)
    save({"lm_head.weight": Evil()}, copy / BIN)
    with pytest.raises(CheckpointError):
        fastglm.load(str(copy))
    assert not (tmp_path / "touched").exists()


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
