"""Config, tokenizer config, vocabulary file and weights are made consistent: missing facts are inferred from the
others.
"""

import json
import shutil

import pytest
import torch
from early import APPENDED, CONTROL, IMAGES, TOKENIZER_CONFIG, make_early, write_vocabulary
from recorded import expected, folder
from spoil import change_json
from transformers import AutoConfig, AutoModel, AutoTokenizer

import fastglm
from fastglm.compress.calibration import examples
from fastglm.compress.prune import prune_vocabulary
from fastglm.compress.quantize import quantise_folder
from fastglm.errors import CheckpointError, UsageError
from fastglm.evaluate.likelihood import likelihood
from fastglm.history import of_rounds
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.chatglm.tokenizer import ChatGLM6BTokenizer
from fastglm.models.packing import encode
from fastglm.models.registered_tokenizers import ChatGLMTokenizer
from fastglm.text_files import Text

GOLDEN = folder("chatglm")
TEXTS = [Text([], f"{i}加{i + 1}等于多少？", f"{i}+{i + 1}={2 * i + 1}。") for i in range(40)]
QUESTIONS = ("你好", "3加4等于多少？\n", "a  b\t<eop>")


@pytest.fixture(scope="module")
def early(tmp_path_factory):
    return make_early(tmp_path_factory.mktemp("early") / "model")


@pytest.fixture(scope="module")
def golden():
    return fastglm.load(str(GOLDEN), device="cpu")


@pytest.fixture
def copy(tmp_path):
    """The files of the tiny checkpoint's tokenizer, and its config."""
    for name in ("config.json", "tokenizer_config.json", "ice_text.model"):
        shutil.copy(GOLDEN / name, tmp_path / name)
    return tmp_path


def ids_of(config):
    return [getattr(config, f"{name}_token_id") for name in ("mask", "gmask", "bos", "eos", "pad")]


def answers(model, tokenizer):
    return [model.chat(tokenizer, text, do_sample=False, max_new_tokens=12)[0] for text in QUESTIONS]


# The vocabulary file of March 2023.


@pytest.mark.parametrize("without", [APPENDED, CONTROL, ("<ENC>", "<dBLOCK>")], ids=["all", "control", "two"])
def test_pieces_that_a_vocabulary_file_lacks_are_appended_as_they_were(tmp_path, without):
    kept = write_vocabulary(tmp_path / "ice_text.model", without)
    tokenizer = ChatGLM6BTokenizer(str(tmp_path / "ice_text.model"))
    assert tokenizer.vocab_size == IMAGES + len(kept) + len(without)
    assert tokenizer.convert_tokens_to_ids(list(without)) == list(range(IMAGES + len(kept), tokenizer.vocab_size))
    assert tokenizer("你好")["input_ids"][-2:] == tokenizer.convert_tokens_to_ids(["[gMASK]", "<sop>"])
    assert tokenizer.unk_token_id not in tokenizer.all_special_ids or tokenizer.unk_token_id == IMAGES


def test_an_early_vocabulary_reads_and_writes_as_the_later_one(early, golden):
    tokenizer = AutoTokenizer.from_pretrained(early)
    for case in expected("chatglm")["tokenizer"]:
        ids = tokenizer(case["text"])["input_ids"]
        assert tokenizer.convert_ids_to_tokens(ids) == golden[1].convert_ids_to_tokens(case["input_ids"])
        assert tokenizer.decode(tokenizer.encode(case["text"], add_special_tokens=False)) == case["decoded"]
    ids = tokenizer.encode_message("你好<eop>\n")
    assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True) == "你好<eop>\n"
    assert tokenizer.decode(ids) == "你好<eop>\n[gMASK]<sop>"


def test_an_early_checkpoint_answers_as_the_same_weights_do(early, golden):
    wanted = answers(*golden)
    assert answers(*fastglm.load(str(early), device="cpu")) == wanted
    assert answers(*fastglm.load(str(early), device="cpu", trim_image_tokens=True)) == wanted
    model = AutoModel.from_pretrained(early).float().eval()
    assert answers(model, AutoTokenizer.from_pretrained(early)) == wanted


def test_an_early_vocabulary_is_saved_and_read_again(early, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(early)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert (again.get_vocab(), again.num_image_tokens, again.eos_token) == (tokenizer.get_vocab(), IMAGES, "<eop>")


def test_an_early_checkpoint_is_compressed(early, golden, tmp_path):
    prune_vocabulary(early, tmp_path / "pruned", TEXTS)
    model, tokenizer = fastglm.load(str(tmp_path / "pruned"), device="cpu")
    assert tokenizer.num_image_tokens == 0
    assert model.config.vocab_size < len(golden[1])
    assert tokenizer("3加4")["input_ids"][-2:] == [model.config.gmask_token_id, model.config.bos_token_id]
    quantise_folder(early, "int8", tmp_path / "int8")
    model, tokenizer = fastglm.load(str(tmp_path / "int8"), device="cpu")
    assert tokenizer.prompt_end == [model.config.gmask_token_id, model.config.bos_token_id]


def test_a_vocabulary_with_added_tokens_is_not_pruned(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN)
    tokenizer.add_tokens(["新词甲"])
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(UsageError, match="1 tokens that were added"):
        prune_vocabulary(tmp_path / "model", tmp_path / "out", TEXTS)


def test_another_sentencepiece_model_is_refused(tmp_path):
    write_vocabulary(tmp_path / "ice_text.model", (*APPENDED, "<n>"))
    with pytest.raises(CheckpointError, match="has no <n>"):
        ChatGLMTokenizer.from_pretrained(tmp_path)


# The end of a sequence is the end of an answer.


@pytest.mark.parametrize(
    ("said", "config"),
    [
        ({"eos_token": "</s>", "eop_token": "<eop>"}, {}),
        ({"eos_token": "</s>"}, {}),
        ({"eos_token": None}, {}),
        ({"eos_token": "</s>", "eop_token": "<eop>"}, {"eos_token_id": [2, 90]}),
        ({"eos_token": "</s>"}, {"eos_token_id": None}),
    ],
)
def test_every_sequence_ends_where_an_answer_ends(copy, said, config):
    change_json(copy / "tokenizer_config.json", **said)
    change_json(copy / "config.json", **config)
    tokenizer = AutoTokenizer.from_pretrained(copy)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<eop>", 90)
    assert encode(tokenizer, of_rounds([], "你好"), "好", 99).tokens[-1] == 90
    assert examples(tokenizer, TEXTS[:1], 99)[0].tokens[-1] == 90
    assert tokenizer("a", "b")["input_ids"][-1] == 90


def test_an_end_that_config_and_tokenizer_share_stays(copy):
    change_json(copy / "tokenizer_config.json", eos_token="</s>")
    change_json(copy / "config.json", eos_token_id=2)
    assert AutoTokenizer.from_pretrained(copy).eos_token == "</s>"
    change_json(copy / "config.json", eos_token_id=[90, 2])
    assert AutoTokenizer.from_pretrained(copy).eos_token == "</s>"
    change_json(copy / "tokenizer_config.json", eos_token="<eop>")
    change_json(copy / "config.json", eos_token_id=2)
    assert AutoTokenizer.from_pretrained(copy).eos_token == "</s>"


def test_without_a_config_the_end_of_an_answer_is_the_one_that_has_its_name(copy):
    (copy / "config.json").unlink()
    (copy / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG | {"num_image_tokens": 0}))
    tokenizer = AutoTokenizer.from_pretrained(copy)
    assert (tokenizer.eos_token_id, tokenizer.eop_token_id, tokenizer.end_token_id) == (90, 90, 2)


def test_right_answers_of_an_early_checkpoint_are_as_likely(early, golden):
    def loss(model, tokenizer):
        return likelihood(model, [encode(tokenizer, text.messages, text.answer, 999) for text in TEXTS[:3]]).loss

    # Without the image tokens, whose logits are 0 in this checkpoint and so take a part of the probability.
    trimmed = fastglm.load(str(early), device="cpu", trim_image_tokens=True)
    assert loss(*trimmed) == pytest.approx(loss(*golden), abs=1e-5)


# Ids in the config.


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        (
            {"vocab_size": 150528, "bos_token_id": 150004, "eos_token_id": 150005},
            [150000, 150001, 150004, 150005, 20003],
        ),
        ({"vocab_size": 150528, "bos_token_id": 89, "eos_token_id": 90}, [150000, 150001, 89, 90, 20003]),
        ({"vocab_size": 150528}, [150000, 150001, 150004, 150005, 20003]),
        ({"vocab_size": 130528}, [130000, 130001, 130004, 130005, 3]),
        ({"vocab_size": 130528, "eos_token_id": 130005}, [130000, 130001, 130004, 130005, 3]),
        ({}, [130000, 130001, 130004, 130005, 3]),
        # saved again by the later code, whose defaults fill the gaps of the first config
        (
            {
                "vocab_size": 150528, "bos_token_id": 150004, "eos_token_id": 150005,
                "gmask_token_id": 130001, "mask_token_id": 130000, "pad_token_id": 3,
            },
            [150000, 150001, 150004, 150005, 20003],
        ),
        # a config of the first checkpoints beside the smaller vocabulary
        (
            {"vocab_size": 130528, "bos_token_id": 150004, "eos_token_id": 150005},
            [130000, 130001, 130004, 130005, 3],
        ),
        # grown by a token, and smaller ones
        ({"vocab_size": 150345, "bos_token_id": 150004}, [150000, 150001, 150004, 150005, 20003]),
        ({"vocab_size": 130345}, [130000, 130001, 130004, 130005, 3]),
        ({"vocab_size": 768, "bos_token_id": 89, "eos_token_id": 90}, [85, 86, 89, 90, 3]),
        ({"vocab_size": 768, "bos_token_id": 89, "eos_token_id": [90, 2]}, [85, 86, 89, [90, 2], 3]),
        ({"vocab_size": 768, "bos_token_id": 89, "eos_token_id": 2}, [85, 86, 89, 2, 3]),
        ({"vocab_size": 768, "gmask_token_id": 86, "pad_token_id": 0}, [85, 86, 89, 90, 0]),
        ({"vocab_size": 150528, "bos_token_id": 130004, "eos_token_id": 130005}, [130000, 130001, 130004, 130005, 3]),
        (
            {"vocab_size": 64, "bos_token_id": 5, "gmask_token_id": 6, "mask_token_id": 7, "eos_token_id": 2},
            [7, 6, 5, 2, 3],
        ),
    ],
)  # fmt: skip
def test_ids_that_a_config_does_not_say_follow_from_the_others(fields, wanted, tmp_path):
    assert ids_of(ChatGLM6BConfig(**fields)) == wanted
    content = {"model_type": "chatglm", "position_encoding_2d": True, **fields}
    (tmp_path / "config.json").write_text(json.dumps(content))
    config = AutoConfig.from_pretrained(tmp_path)
    assert ids_of(config) == wanted
    config.save_pretrained(tmp_path)
    assert ids_of(AutoConfig.from_pretrained(tmp_path)) == wanted


def test_unknown_ids_lie_outside_every_vocabulary():
    config = ChatGLM6BConfig(vocab_size=96, bos_token_id=1, num_layers=1)
    assert ids_of(config) == [130000, 130001, 1, None, 3]
    config.check()


# Image tokens.


@pytest.mark.parametrize("tokenizer_config", ["without the number", "missing", "another number"])
@pytest.mark.parametrize(
    ("size", "images", "says_ids"),
    [
        (130528, 0, True),
        (130528, 0, False),
        (150528, IMAGES, True),
        (150528, IMAGES, False),
        (768, 0, True),
        (IMAGES + 768, IMAGES, True),
    ],
)
def test_image_tokens_follow_from_the_vocabulary(copy, tokenizer_config, size, images, says_ids):
    if tokenizer_config == "missing":
        (copy / "tokenizer_config.json").unlink()
    else:
        change_json(copy / "tokenizer_config.json", num_image_tokens=IMAGES - images)
    if tokenizer_config == "without the number":
        change_json(copy / "tokenizer_config.json", remove=["num_image_tokens"])
    names = ["bos_token_id", "eos_token_id", "gmask_token_id", "mask_token_id", "pad_token_id"]
    ids = {name: json.loads((GOLDEN / "config.json").read_text())[name] + images for name in names}
    change_json(copy / "config.json", vocab_size=size, **ids)
    if not says_ids:
        change_json(copy / "config.json", remove=names)
    for tokenizer in (AutoTokenizer.from_pretrained(copy), ChatGLMTokenizer.from_pretrained(copy)):
        assert tokenizer.num_image_tokens == images
        assert tokenizer("你好")["input_ids"] == [images + i for i in expected("chatglm")["tokenizer"][0]["input_ids"]]
        assert tokenizer.convert_tokens_to_ids("<sop>") == tokenizer.bos_token_id == images + 89
        assert tokenizer.convert_tokens_to_ids("<image_5>") == 5
    assert (tokenizer.convert_ids_to_tokens(5) == "<image_5>") == (images > 0)


def test_added_tokens_saved_with_wrong_ids_have_those_of_their_pieces(copy):
    added = {"20089": "<sop>", "20090": "<eop>", "20757": "新词甲"}
    entries = {id: {"content": token, "special": token[0] == "<"} for id, token in added.items()}
    change_json(copy / "tokenizer_config.json", num_image_tokens=IMAGES, added_tokens_decoder=entries)
    tokenizer = AutoTokenizer.from_pretrained(copy)
    assert tokenizer.convert_tokens_to_ids(["<sop>", "<eop>", "新词甲"]) == [89, 90, 757]


@pytest.mark.parametrize(
    "fields",
    [
        {"bos_token_id": 130, "gmask_token_id": 127, "mask_token_id": 126},
        {"gmask_token_id": 400},
        {"vocab_size": 700},
    ],
)
def test_files_of_different_models_are_named(copy, fields):
    change_json(copy / "config.json", **fields)
    with pytest.raises(CheckpointError, match=r"not of the same model: fetch both again\.$"):
        AutoTokenizer.from_pretrained(copy)


def test_an_end_that_is_no_token_is_named(copy):
    change_json(copy / "config.json", eos_token_id=760)
    with pytest.raises(CheckpointError, match="ends answers at token 760"):
        AutoTokenizer.from_pretrained(copy)


@pytest.mark.parametrize(
    "content",
    [
        '{"num_image_tokens": -1}',
        '{"num_image_tokens": "0"}',
        "[]",
        "{",
        '{"added_tokens_decoder": {"a": 1}}',
        '{"pad_token": 5}',
    ],
)
def test_a_broken_tokenizer_config_is_one_line(tmp_path, content):
    shutil.copytree(GOLDEN, tmp_path / "model")
    (tmp_path / "model" / "tokenizer_config.json").write_text(content)
    with pytest.raises(CheckpointError) as raised:
        fastglm.load(str(tmp_path / "model"), device="cpu")
    assert "\n" not in str(raised.value)


def test_a_loaded_model_has_the_ids_of_its_tokenizer(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "model")
    names = ["eos_token_id", "gmask_token_id", "mask_token_id"]
    change_json(tmp_path / "model" / "config.json", remove=names, pad_token_id=0)
    model, tokenizer = fastglm.load(str(tmp_path / "model"), device="cpu")
    assert ids_of(model.config) == [85, 86, 89, 90, 3]
    assert model.stop_tokens == (tokenizer.eos_token_id,)


def test_a_vocabulary_of_another_size_needs_ids(copy):
    change_json(copy / "config.json", remove=["bos_token_id", "eos_token_id", "gmask_token_id", "mask_token_id"])
    with pytest.raises(CheckpointError, match="the vocabulary has 768 tokens: make them agree"):
        AutoConfig.from_pretrained(copy)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN)
    tokenizer.add_tokens([f"新词{number}" for number in range(12)])
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match="769 tokens, the model 768"):
        fastglm.load(str(tmp_path / "model"), device="cpu")


def test_files_of_added_tokens_are_copied(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "model")
    (tmp_path / "model" / "added_tokens.json").write_text('{"新词甲": 757}')  # as transformers 4 wrote them
    quantise_folder(tmp_path / "model", "int8", tmp_path / "int8")
    model, tokenizer = fastglm.load(str(tmp_path / "int8"), device="cpu")
    assert tokenizer.encode_text("新词甲") == [757]
    assert torch.isfinite(model(torch.tensor([[757, *tokenizer.prompt_end]])).logits).all()
