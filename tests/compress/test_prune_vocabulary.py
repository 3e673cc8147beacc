"""Vocabulary pruning: the texts are unaffected, and every other text can still be written."""

import io
import json
import shutil

import pytest
import sentencepiece
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning import SOURCE, TEXTS, changed_copy, check_prediction, stored
from sentencepiece import sentencepiece_model_pb2 as proto
from spoil import add_images
from transformers import AutoTokenizer

import fastglm
from fastglm.compress.prune import prune_vocabulary
from fastglm.compress.prune.vocabulary import _needed
from fastglm.errors import CheckpointError, UsageError
from fastglm.history import of_rounds
from fastglm.models.chatglm.conversation import build_prompt

MATRICES = ("transformer.word_embeddings.weight", "lm_head.weight")


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    out = tmp_path_factory.mktemp("vocabulary") / "out"
    report = prune_vocabulary(SOURCE, out, TEXTS)
    return out, report, fastglm.load(str(SOURCE), device="cpu"), fastglm.load(str(out), device="cpu")


def test_the_texts_read_the_same_and_have_the_same_logits(pruned):
    _, _, (whole, old), (small, new) = pruned
    names = [new.convert_ids_to_tokens(token) for token in range(small.config.vocab_size)]
    rows = torch.tensor(old.convert_tokens_to_ids(names))
    for _, prompt, answer, *_ in (TEXTS[3], TEXTS[39]):
        for text in (prompt, build_prompt(of_rounds([(prompt, answer)], prompt))):
            before, after = old.encode_message(text), new.encode_message(text)
            assert old.convert_ids_to_tokens(before) == new.convert_ids_to_tokens(after)
            with torch.inference_mode():
                wanted = whole(torch.tensor([before])).logits[..., rows]
                assert torch.equal(small(torch.tensor([after])).logits, wanted)


def test_tokens_that_nothing_uses_go(pruned):
    out, report, (whole, _), (small, _) = pruned
    check_prediction(report, out)
    assert report.details["before"] == whole.config.vocab_size
    assert report.details["after"] == small.config.vocab_size < whole.config.vocab_size
    assert report.details["needed"] <= report.details["after"]
    assert small.config.vocab_size % 64 == 0
    assert stored(out)[MATRICES[0]].shape[0] == small.config.vocab_size


@pytest.mark.parametrize("name", ["bos", "eos", "pad", "mask", "gmask"])
def test_config_and_tokenizer_mean_the_same_tokens(pruned, name):
    _, _, (whole, old), (small, new) = pruned
    before, after = getattr(whole.config, f"{name}_token_id"), getattr(small.config, f"{name}_token_id")
    assert old.convert_ids_to_tokens(before) == new.convert_ids_to_tokens(after)


def test_generation_ends_at_the_same_token_through_from_pretrained(pruned):
    out, _, _, (small, _) = pruned
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.convert_ids_to_tokens(small.generation_config.eos_token_id) == "<eop>"
    assert tokenizer("你好")["input_ids"][-2:] == [small.config.gmask_token_id, small.config.bos_token_id]


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
def test_every_text_can_still_be_written(pruned, text):
    (_, old), (_, new) = pruned[2:]
    ids = new.encode(text, add_special_tokens=False)
    assert new.unk_token_id not in ids
    assert new.decode(ids) == old.decode(old.encode(text, add_special_tokens=False))


def test_image_tokens_go_with_the_others(tmp_path):
    add_images(shutil.copytree(SOURCE, tmp_path / "model"), 40)
    prune_vocabulary(tmp_path / "model", tmp_path / "out", TEXTS)
    prune_vocabulary(SOURCE, tmp_path / "plain", TEXTS)
    found, wanted = stored(tmp_path / "out"), stored(tmp_path / "plain")
    assert all(torch.equal(found[name], wanted[name]) for name in MATRICES)
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["num_image_tokens"] == 0


def train(texts, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=400, hard_vocab_limit=False, num_threads=1,
        minloglevel=2, **options,
    )  # fmt: skip
    return proto.ModelProto.FromString(model.getvalue())


WORDS = ["pruning", "prunes", "runs", "tokens", "token", "rotten", "kernels", "lower", "lowest", "newest", "widest"]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6))
def test_pieces_stay_the_same_in_merged_and_in_weighed_vocabularies(kind, words):
    model = MODELS[kind]
    text = " ".join(words)
    before = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    needed = _needed(model, set(before.encode(text)))
    smaller = proto.ModelProto.FromString(model.SerializeToString())
    del smaller.pieces[:]
    smaller.pieces.extend(piece for number, piece in enumerate(model.pieces) if number in needed)
    after = sentencepiece.SentencePieceProcessor(model_proto=smaller.SerializeToString())
    assert after.encode(text, out_type=str) == before.encode(text, out_type=str)
    assert len(smaller.pieces) < len(model.pieces)


MODELS = {
    kind: train([" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))] * 5, model_type=kind, byte_fallback=True)
    for kind in ("bpe", "unigram")
}


def test_single_characters_stay_where_there_are_no_bytes():
    model = train(WORDS, model_type="unigram")
    kept = {model.pieces[number].piece for number in _needed(model, set())}
    assert set("".join(WORDS)) <= kept


def test_impossible_vocabularies_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no texts to take the vocabulary from"):
        prune_vocabulary(SOURCE, tmp_path / "out", [])
    source = changed_copy(tmp_path / "model", lambda state: None, bos_token_id=5000)
    with pytest.raises(CheckpointError, match="bos_token_id is 5000, and the vocabulary has 768 tokens"):
        prune_vocabulary(source, tmp_path / "out", TEXTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_a_vocabulary_that_is_all_used_is_left_alone(pruned, tmp_path):
    with pytest.raises(UsageError, match="leave none of the 384 tokens out: there is nothing to remove"):
        prune_vocabulary(pruned[0], tmp_path / "out", TEXTS)
