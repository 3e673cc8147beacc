"""Tokens that a user adds: ordinary and special ones, their ids, spaces, saving, and the model's embedding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import expected, folder
from transformers import AddedToken, AutoModel, AutoTokenizer

import fastglm
from fastglm.errors import UsageError
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration
from fastglm.models.chatglm.vocabulary import BUILT_IN
from fastglm.models.registered_tokenizers import ChatGLMTokenizer

GOLDEN = folder("chatglm")
GMASK, SOP, EOP = 86, 89, 90
TEXTS = [case["text"] for case in expected("chatglm")["tokenizer"]]
WITH_ADDED = AutoTokenizer.from_pretrained(GOLDEN)
WITH_ADDED.add_tokens(["新词", "MA", "op>", " x "])
WITH_ADDED.add_special_tokens({"extra_special_tokens": ["<tool>"]})
FORBIDDEN = set(WITH_ADDED.convert_tokens_to_ids([*BUILT_IN, "<tool>"])) - {WITH_ADDED.unk_token_id}
# Control tokens, whole and cut, among other text.
FRAGMENTS = [*sorted(BUILT_IN), "<tool>", *"<>[]e \n\t", "op>", "MA", "新词", "你好", "  ", " x "]


def plain(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


@pytest.fixture
def grown(tokenizer):
    """A tokenizer with two more ordinary tokens, a special one, and a padding token of its own."""
    assert tokenizer.add_tokens(["新词甲", "foo bar"]) == 2
    assert tokenizer.add_special_tokens({"extra_special_tokens": ["<tool>"], "pad_token": "[PAD]"}) == 2
    return tokenizer


def test_added_tokens_have_ids_of_their_own(grown):
    assert grown.convert_tokens_to_ids(["新词甲", "foo bar", "<tool>", "[PAD]"]) == [757, 758, 759, 760]
    assert grown.convert_ids_to_tokens([757, 760]) == ["新词甲", "[PAD]"]
    assert (len(grown), grown.vocab_size, grown.pad_token_id) == (761, 757, 760)
    assert grown.get_vocab()["<tool>"] == 759
    assert grown.add_tokens(["新词甲", "你", "<eop>"]) == 0
    assert grown.convert_tokens_to_ids(["新词甲", "<eop>"]) == [757, EOP]
    assert grown.add_tokens("第三个") == 1
    assert grown.convert_tokens_to_ids("第三个") == 761


@pytest.mark.parametrize(
    "text",
    [
        "说新词甲了",
        "新词甲",
        " 新词甲 了",
        "a foo bar b <tool> c",
        "新词甲新词甲\n",
        "  新词甲  ",
        "foo barfoo",
        "新词甲<eop>",
    ],
)
def test_added_tokens_are_found_and_decoded(grown, text):
    ids = plain(grown, text)
    assert grown.decode(ids) == text
    for id in (757, 758, 759):
        assert ids.count(id) == text.count(grown.convert_ids_to_tokens(id))
    assert grown.decode(ids, skip_special_tokens=True) == text.replace("<tool>", "").replace("<eop>", "")
    assert grown.convert_tokens_to_ids(grown.tokenize(text)) == ids
    safe = grown.encode_text(text)
    assert grown.decode(safe) == text
    assert not {759, EOP} & set(safe)
    assert (757 in safe, 758 in safe) == (757 in ids, 758 in ids)


def test_nothing_else_changes_around_added_tokens(grown):
    fresh = AutoTokenizer.from_pretrained(GOLDEN)
    assert grown(TEXTS)["input_ids"] == fresh(TEXTS)["input_ids"]
    assert [grown.encode_text(text) for text in TEXTS] == [fresh.encode_text(text) for text in TEXTS]
    # No space comes before the text behind an added token.
    assert plain(grown, "你好新词甲你好") == [*plain(fresh, "你好"), 757, *plain(fresh, "a你好")[1:]]


@pytest.mark.parametrize("token", ["[sMASK]", "<eop>", "</s>"])
def test_a_control_token_added_as_an_ordinary_one_stays_a_control_token(tokenizer, token):
    tokenizer.add_tokens([AddedToken(token, special=False)])
    assert tokenizer.convert_tokens_to_ids(token) not in tokenizer.encode_text(f"a{token}b")
    assert tokenizer.decode(tokenizer.encode_text(f"a{token}b")) == f"a{token}b"


def test_a_piece_made_special_is_cut_in_messages(tokenizer):
    piece = next(piece for piece in tokenizer.get_vocab() if piece.isascii() and piece.isalpha() and len(piece) > 2)
    tokenizer.add_special_tokens({"extra_special_tokens": [piece]})
    id = tokenizer.convert_tokens_to_ids(piece)
    assert plain(tokenizer, f"好{piece}好").count(id) == 1
    assert id not in tokenizer.encode_text(f"好{piece}好")


def test_added_tokens_take_spaces_and_whole_words_as_told(tokenizer):
    tokenizer.add_tokens(
        [AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True), AddedToken("word", single_word=True)]
    )
    assert tokenizer.decode(plain(tokenizer, "a <l> b")) == "a<l> b"
    assert tokenizer.decode(plain(tokenizer, "a <r> b")) == "a <r>b"
    word = tokenizer.convert_tokens_to_ids("word")
    assert [plain(tokenizer, text).count(word) for text in ("a word b", "word", "words", "sword")] == [1, 1, 0, 0]


def test_added_tokens_are_saved_and_read_again(grown, tmp_path):
    grown.save_pretrained(tmp_path)
    for again in (AutoTokenizer.from_pretrained(tmp_path), ChatGLMTokenizer.from_pretrained(tmp_path)):
        assert again.get_vocab() == grown.get_vocab()
        assert again.all_special_tokens == grown.all_special_tokens
        text = "说新词甲了 foo bar <tool><eop>"
        assert (again(text)["input_ids"], again.encode_text(text)) == (
            grown(text)["input_ids"],
            grown.encode_text(text),
        )


def test_the_length_reaches_over_a_hole(tokenizer, model):
    tokenizer.added_tokens_decoder = {762: AddedToken("新词甲", special=False)}
    assert len(tokenizer) == 763
    assert plain(tokenizer, "新词甲") == [762]
    model.resize_token_embeddings(len(tokenizer))
    assert model.chat(tokenizer, "新词甲", do_sample=False, max_new_tokens=2)


@pytest.mark.parametrize("tied", [True, False])
def test_the_embedding_grows_with_them(grown, tmp_path, tied):
    model = AutoModel.from_pretrained(GOLDEN).float().eval()
    if tied:
        config = ChatGLM6BConfig.from_pretrained(GOLDEN, tie_word_embeddings=True)
        model = ChatGLMForConditionalGeneration(config).eval()
    before = model.transformer.word_embeddings.weight[:757].clone(), model.lm_head.weight[:757].clone()
    embedding = model.resize_token_embeddings(len(grown))
    assert embedding.weight.shape == model.lm_head.weight.shape == (761, 64)
    assert model.config.vocab_size == 761
    assert (model.lm_head.weight is embedding.weight) == tied == model.config.tie_word_embeddings
    assert torch.equal(embedding.weight[:757], before[0])
    assert torch.equal(model.lm_head.weight[:757], before[1])
    wanted, _ = model.chat(grown, "说新词甲", do_sample=False, max_new_tokens=6)
    model.save_pretrained(tmp_path)
    grown.save_pretrained(tmp_path)
    for loaded, again in (
        fastglm.load(str(tmp_path), device="cpu"),
        (AutoModel.from_pretrained(tmp_path).eval(), AutoTokenizer.from_pretrained(tmp_path)),
    ):
        assert loaded.chat(again, "说新词甲", do_sample=False, max_new_tokens=6)[0] == wanted
    assert fastglm.load(str(tmp_path), "int8", device="cpu")[0].config.vocab_size == 761


def test_a_quantised_embedding_does_not_grow():
    model, tokenizer = fastglm.load(str(GOLDEN), "int8", device="cpu")
    tokenizer.add_tokens(["新词甲"])
    with pytest.raises(UsageError, match="quantised embedding cannot grow"):
        model.resize_token_embeddings(len(tokenizer))


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12))
@settings(max_examples=200, deadline=None)
def test_no_text_of_a_user_becomes_a_control_token(fragments):
    text = "".join(fragments)
    ids = WITH_ADDED.encode_text(text)
    assert not FORBIDDEN & set(ids)
    assert WITH_ADDED.decode(ids) == text
    assert WITH_ADDED.encode_message(text) == [*ids, GMASK, SOP]
    assert WITH_ADDED(text, split_special_tokens=True)["input_ids"] == [*ids, GMASK, SOP]


def test_added_tokens_move_down_with_the_text_when_image_tokens_are_trimmed(tokenizer):
    images = type(tokenizer)(tokenizer.vocab_file, 20000)
    images.add_tokens(["新词甲"])
    config = ChatGLM6BConfig(vocab_size=20800, bos_token_id=20089, eos_token_id=[20090])
    trimmed = config.trim(images)
    assert images.encode_text("新词甲") == [20757]
    assert trimmed.encode_text("新词甲") == [757]
    assert config.gmask_token_id == trimmed.gmask_token_id == GMASK
    assert config.eos_token_id == [trimmed.eos_token_id] == [EOP]


def test_a_token_is_hidden_once_it_is_special(tokenizer):
    ids = plain(tokenizer, "你好")
    assert tokenizer.decode([*ids, EOP], skip_special_tokens=True) == "你好"
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ids[-1])
    assert tokenizer.decode([*ids, EOP], skip_special_tokens=True) == tokenizer.decode(ids[:-1])
    tokenizer.add_special_tokens({"extra_special_tokens": ["<tool>"]})
    assert tokenizer.decode([tokenizer.convert_tokens_to_ids("<tool>")], skip_special_tokens=True) == ""
