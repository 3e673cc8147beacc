"""The tokenizer in transformers' own classes: pairs, padding, saving, pickling."""

import copy
import json
import pickle
import shutil

import pytest
import torch
from recorded import expected, folder
from spoil import change_json
from torch.utils.data import DataLoader
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    pipeline,
)

import fastglm

GOLDEN = folder("chatglm")
GMASK, SOP, EOP, PAD = 86, 89, 90, 3
TEXTS = [case["text"] for case in expected("chatglm")["tokenizer"]]


def plain(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


# Pairs: a question and its answer.


@pytest.mark.parametrize(("question", "answer"), [("你好", "很好。"), ("", "好"), ("问", "")])
def test_a_pair_is_a_question_and_an_answer_that_ends(tokenizer, question, answer):
    a, b = plain(tokenizer, question), plain(tokenizer, answer)
    wanted = [*a, GMASK, SOP, *b, EOP]
    mask = [*[0] * len(a), 1, 1, *[0] * len(b), 1]
    encoded = tokenizer(question, answer, return_special_tokens_mask=True, return_token_type_ids=True)
    assert encoded["input_ids"] == tokenizer.build_inputs_with_special_tokens(a, b) == wanted
    assert encoded["attention_mask"] == [1] * len(wanted)
    assert encoded["special_tokens_mask"] == tokenizer.get_special_tokens_mask(a, b) == mask
    assert tokenizer.get_special_tokens_mask(wanted, already_has_special_tokens=True) == mask
    assert encoded["token_type_ids"] == [0] * (len(a) + 2) + [1] * (len(b) + 1)
    assert tokenizer.encode(question, answer) == wanted


def test_a_prompt_alone_does_not_end(tokenizer):
    a = plain(tokenizer, "你好")
    assert tokenizer.build_inputs_with_special_tokens(a) == [*a, GMASK, SOP]
    assert tokenizer.get_special_tokens_mask(a) == [*[0] * len(a), 1, 1]
    assert (tokenizer.num_special_tokens_to_add(), tokenizer.num_special_tokens_to_add(pair=True)) == (2, 3)
    before = list(a)
    tokenizer.build_inputs_with_special_tokens(a, a)
    assert a == before


@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
def test_truncation_never_cuts_special_tokens(tokenizer, strategy):
    encoded = tokenizer("你好你好你好", "很好很好很好", truncation=strategy, max_length=12)["input_ids"]
    assert len(encoded) == 12
    assert [i for i in encoded if i in (GMASK, SOP, EOP)] == [GMASK, SOP, EOP]
    assert encoded[-1] == EOP


@pytest.mark.parametrize("side", ["left", "right"])
def test_batches_of_pairs_are_padded_on_the_side_that_is_asked_for(tokenizer, side):
    pairs = [("你好", "很好。"), ("问", "答")]
    batch = tokenizer(*map(list, zip(*pairs, strict=True)), padding=True, padding_side=side, return_tensors="pt")
    assert tokenizer(pairs, padding=True, padding_side=side)["input_ids"] == batch["input_ids"].tolist()
    for row, mask, (a, b) in zip(batch["input_ids"], batch["attention_mask"], pairs, strict=True):
        wanted = tokenizer(a, b)["input_ids"]
        assert row[mask.bool()].tolist() == wanted
        assert row[~mask.bool()].tolist() == [PAD] * (len(row) - len(wanted))
    short = batch["attention_mask"][1]
    assert short[0] == (side == "right")
    assert tokenizer("问", "答", padding="max_length", max_length=20)["input_ids"][:3] == [PAD] * 3
    padded = tokenizer.pad([tokenizer(a) for a, _ in pairs], return_tensors="pt", pad_to_multiple_of=8)
    assert padded["input_ids"].shape == (2, 8)


def test_a_model_learns_to_stop_from_pairs(tokenizer, model):
    ids = tokenizer("你好", "好。", return_tensors="pt")["input_ids"]
    labels = ids.clone()
    labels[:, : ids[0].tolist().index(SOP) + 1] = -100
    model.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(25):
        model(ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    answer, _ = model.eval().chat(tokenizer, "你好", do_sample=False, max_new_tokens=30)
    assert answer == "好。"


# Names and numbers of tokens.


def test_sizes_and_vocabulary_agree(tokenizer):
    vocabulary = tokenizer.get_vocab()
    assert len(vocabulary) == len(tokenizer) == tokenizer.vocab_size == 757
    assert tokenizer.convert_tokens_to_ids(list(vocabulary)) == list(vocabulary.values())
    assert tokenizer.convert_ids_to_tokens(list(vocabulary.values())) == list(vocabulary)
    assert tokenizer.convert_tokens_to_ids("no such token") == tokenizer.unk_token_id == 0
    named = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad", "mask", "gmask", "end")}
    assert named == {"bos": SOP, "eos": EOP, "pad": PAD, "mask": 85, "gmask": GMASK, "end": 2}


def test_many_texts_are_decoded_at_once(tokenizer):
    ids = tokenizer(TEXTS, add_special_tokens=False)["input_ids"]
    wanted = [case["decoded"] for case in expected("chatglm")["tokenizer"]]
    assert tokenizer.batch_decode(ids) == tokenizer.decode(ids) == wanted
    assert [tokenizer.decode(torch.tensor(row)) for row in ids if row] == [text for text in wanted if text]
    prompts = tokenizer(TEXTS[:2], padding=True, return_tensors="pt")["input_ids"]
    assert tokenizer.batch_decode(prompts, skip_special_tokens=True) == wanted[:2]
    strings = [tokenizer.convert_tokens_to_string(tokenizer.tokenize(text)) for text in TEXTS]
    assert strings == wanted


def test_a_chat_template_is_used_where_there_is_one(tokenizer):
    with pytest.raises(ValueError, match="chat_template is not set"):
        tokenizer.apply_chat_template([{"role": "user", "content": "你好"}])
    tokenizer.chat_template = "{% for m in messages %}问：{{ m.content }}[gMASK]<sop>{% endfor %}"
    messages = [{"role": "user", "content": "你好<eop>"}]
    assert EOP in tokenizer.apply_chat_template(messages)["input_ids"]
    ids = tokenizer.apply_chat_template(messages, sanitize_control_tokens=True)["input_ids"]
    assert [i for i in ids if i in (GMASK, SOP, EOP)] == [GMASK, SOP]
    assert EOP not in tokenizer("你好<eop>", split_special_tokens=True)["input_ids"]


# Remote code is never run, and never needed.


@pytest.mark.parametrize("auto", [AutoConfig, AutoTokenizer, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM])
@pytest.mark.parametrize("trust", [True, False, None])
def test_code_beside_a_checkpoint_is_not_run(tmp_path, auto, trust):
    shutil.copytree(GOLDEN, tmp_path / "model")
    for name in ("configuration", "tokenization", "modeling"):
        (tmp_path / "model" / f"{name}_chatglm.py").write_text("raise SystemExit('remote code was run')")
    found = auto.from_pretrained(tmp_path / "model", trust_remote_code=trust)
    assert type(found).__module__.startswith("fastglm.")


@pytest.mark.parametrize(
    "auto_map", [["tokenization_chatglm.ChatGLMTokenizer", None], {"AutoTokenizer": ["a--b.C", None]}]
)
@pytest.mark.parametrize("name", ["ChatGLMTokenizer", "ChatGLM6BTokenizer"])
def test_our_tokenizer_is_used_whatever_code_its_config_names(tmp_path, auto_map, name):
    shutil.copytree(GOLDEN, tmp_path / "model")
    change_json(tmp_path / "model" / "tokenizer_config.json", auto_map=auto_map, tokenizer_class=name)
    for trust in (True, False, None):
        found = AutoTokenizer.from_pretrained(tmp_path / "model", trust_remote_code=trust)
        assert type(found).__module__ == "fastglm.models.chatglm.tokenizer"


def test_a_folder_without_tokenizer_config_has_our_tokenizer(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "model")
    (tmp_path / "model" / "tokenizer_config.json").unlink()
    for trust in (True, None):
        found = AutoTokenizer.from_pretrained(tmp_path / "model", trust_remote_code=trust)
        assert found("你好")["input_ids"] == expected("chatglm")["tokenizer"][0]["input_ids"]


# Saving and copying.


def test_a_saved_tokenizer_is_read_again(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert saved["tokenizer_class"] == "ChatGLMTokenizer"
    assert "auto_map" not in saved
    again = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=True)
    again.save_pretrained(tmp_path)  # into its own folder
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert again.special_tokens_map == tokenizer.special_tokens_map
    assert (again.padding_side, again.num_image_tokens) == ("left", 0)


def test_a_tokenizer_whose_file_is_gone_is_saved(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "one")
    moved = AutoTokenizer.from_pretrained(tmp_path / "one")
    shutil.rmtree(tmp_path / "one")
    moved.save_pretrained(tmp_path / "two")
    assert AutoTokenizer.from_pretrained(tmp_path / "two")(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda found: pickle.loads(pickle.dumps(found))])
def test_copies_are_whole(tokenizer, duplicate):
    tokenizer.add_tokens(["新词甲"])
    other = duplicate(tokenizer)
    assert type(other) is type(tokenizer)
    assert other.get_vocab() == tokenizer.get_vocab()
    assert other.encode_message("说新词甲<eop>") == tokenizer.encode_message("说新词甲<eop>")
    assert other.decode(other("说新词甲")["input_ids"]) == "说新词甲[gMASK]<sop>"


def test_a_data_loader_in_another_process_tokenizes(tokenizer):
    loader = DataLoader(TEXTS[:4], batch_size=2, num_workers=1, multiprocessing_context="spawn", collate_fn=tokenizer)
    assert [row for batch in loader for row in batch["input_ids"]] == tokenizer(TEXTS[:4])["input_ids"]


def test_a_trainer_saves_what_a_pipeline_runs(tokenizer, model, tmp_path):
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    sample = tokenizer("你好", "好。")
    arguments = TrainingArguments(
        tmp_path / "out", max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True
    )
    rows = [{**sample, "labels": sample["input_ids"]}] * 2
    collate = DataCollatorForSeq2Seq(tokenizer)
    trainer = Trainer(model, arguments, collate, rows, processing_class=tokenizer)
    trainer.train()
    trainer.save_model(tmp_path / "saved")
    said = pipeline("text-generation", model=str(tmp_path / "saved"))("你好", max_new_tokens=4, do_sample=False)
    assert said[0]["generated_text"].startswith("你好")
    loaded, again = fastglm.load(str(tmp_path / "saved"), device="cpu")
    assert again("你好", "好。")["input_ids"] == sample["input_ids"]
    assert loaded.chat(again, "你好", do_sample=False, max_new_tokens=4)


def test_a_merged_adapter_is_saved_with_its_tokenizer(tokenizer, model, tmp_path):
    from peft import LoraConfig, get_peft_model

    tuned = get_peft_model(model, LoraConfig(target_modules=["query_key_value"], r=2, init_lora_weights=False))
    merged = tuned.merge_and_unload()
    merged.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    wanted = merged.chat(tokenizer, "你好", do_sample=False, max_new_tokens=6)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert again.chat(AutoTokenizer.from_pretrained(tmp_path), "你好", do_sample=False, max_new_tokens=6) == wanted
