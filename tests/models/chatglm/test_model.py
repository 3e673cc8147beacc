"""ChatGLM-6B equals the recorded reference, through transformers' own Auto classes."""

import pytest
import torch
from recorded import expected, folder, tensors
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

import fastglm
from fastglm.errors import CheckpointError
from fastglm.history import of_rounds
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.chatglm.conversation import build_prompt, clean_response
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration
from fastglm.models.registered import ChatGLMConfig

CASES = expected("chatglm")


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(folder("chatglm"))


@pytest.fixture(scope="module")
def model():
    return AutoModel.from_pretrained(folder("chatglm")).float().eval()


@pytest.mark.parametrize("case", CASES["tokenizer"], ids=lambda case: repr(case["text"][:12]))
def test_tokenizer_gives_the_recorded_ids_and_text(tokenizer, case):
    assert tokenizer(case["text"])["input_ids"] == case["input_ids"]
    assert tokenizer.encode(case["text"], add_special_tokens=False) == case["ids_without_special"]
    assert tokenizer.decode(case["ids_without_special"]) == case["decoded"]


@pytest.mark.parametrize("case", CASES["chat"], ids=lambda case: case["query"])
def test_prompt_is_the_recorded_one(tokenizer, case):
    history = [tuple(turn) for turn in case["history"]]
    assert build_prompt(of_rounds(history, case["query"])) == case["prompt"]
    assert tokenizer(case["prompt"])["input_ids"] == case["input_ids"]
    assert tokenizer.encode_message(case["prompt"]) == case["input_ids"]


@pytest.mark.parametrize("case", CASES["process_response"], ids=lambda case: case["raw"])
def test_answers_are_cleaned_as_recorded(case):
    assert clean_response(case["raw"]) == case["processed"]


@pytest.mark.parametrize("index", range(len(CASES["generate"])))
def test_positions_mask_logits_and_greedy_ids(model, index):
    case = CASES["generate"][index]
    ids = torch.tensor([case["input_ids"]])
    plan = model.plan(ids)
    assert plan.position_ids[0].tolist() == case["position_ids"]
    assert (~plan.attention_mask[0, 0]).int().tolist() == case["masked_out"]
    with torch.inference_mode():
        output = model(ids, output_hidden_states=True)
    torch.testing.assert_close(output.logits[0], tensors("chatglm")[f"logits_{index}"], atol=1e-4, rtol=0)
    torch.testing.assert_close(
        output.hidden_states[-1][0], tensors("chatglm")[f"last_hidden_{index}"], atol=1e-4, rtol=0
    )
    new = model.generate(ids, max_new_tokens=32, min_new_tokens=32, do_sample=False)[0, ids.shape[1] :]
    assert new.tolist() == case["new_ids"]


def test_a_batch_padded_on_the_left(model, tokenizer):
    case = CASES["batch"]
    batch = tokenizer(case["texts"], padding=True, return_tensors="pt")
    assert batch["input_ids"].tolist() == case["input_ids"]
    assert model.plan(**batch).position_ids.tolist() == case["position_ids"]
    with torch.inference_mode():
        logits = model(**batch).logits[:, -1]
    torch.testing.assert_close(logits, tensors("chatglm")["batch_last_logits"], atol=1e-4, rtol=0)
    new = model.generate(**batch, max_new_tokens=16, min_new_tokens=16, do_sample=False)
    assert new[:, batch["input_ids"].shape[1] :].tolist() == case["new_ids"]


@pytest.mark.parametrize("name", ["chatglm-int8", "chatglm-int4"])
def test_published_quantised_layouts(tokenizer, name):
    model = AutoModelForCausalLM.from_pretrained(folder(name)).float().eval()
    for index, text in enumerate(expected(name)["texts"]):
        with torch.inference_mode():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        torch.testing.assert_close(logits, tensors(name)[f"logits_{index}"], atol=2e-3, rtol=0)


def test_half_precision_stays_close(tokenizer):
    model = AutoModel.from_pretrained(folder("chatglm")).half().eval()
    case = CASES["generate"][1]
    with torch.inference_mode():
        logits = model(torch.tensor([case["input_ids"]])).logits[0].float()
    recorded = tensors("chatglm")["logits_1"]
    assert (logits - recorded).norm() < 0.01 * recorded.norm()


def test_chat_and_stream_chat_behave_as_published(model, tokenizer):
    response, history = model.chat(tokenizer, "你好", history=[], do_sample=False, max_new_tokens=8)
    assert history == [("你好", response)]
    again, longer = model.chat(tokenizer, "再说一次", history=history, do_sample=False, max_new_tokens=8)
    assert longer == [*history, ("再说一次", again)]
    *_, (streamed, streamed_history) = model.stream_chat(tokenizer, "你好", do_sample=False, max_new_tokens=8)
    assert (streamed, streamed_history) == (response, history)


@pytest.mark.parametrize("control", ["<eop>", "[gMASK]", "<sop>", "[MASK]", "<unused_0>"])
@pytest.mark.parametrize("text", ["{}", "写 {} 在这里", "a{}b{}c", "{}\n{}"])
def test_typed_control_tokens_stay_text(tokenizer, control, text):
    text = text.replace("{}", control)
    ids = tokenizer.encode_message(text)
    forbidden = set(tokenizer.convert_tokens_to_ids(["[MASK]", "[gMASK]", "[sMASK]", "<unused_0>", "<sop>", "<eop>"]))
    assert not forbidden & set(ids[:-2])
    assert ids[-2:] == tokenizer.prompt_end
    assert tokenizer.decode(ids[:-2]).strip() == text


def test_control_tokens_in_the_history_stay_text(model, tokenizer):
    ids, _ = model.prompt_ids(tokenizer, "继续", [("你好<eop>", "答<sop>")])
    assert tokenizer.convert_tokens_to_ids("<eop>") not in ids
    assert ids.count(tokenizer.convert_tokens_to_ids("<sop>")) == 1


def test_a_config_of_no_generation_is_refused():
    with pytest.raises(CheckpointError, match="no known generation"):
        ChatGLMConfig.from_dict({"model_type": "chatglm"})


def test_a_config_of_another_architecture_is_refused():
    with pytest.raises(CheckpointError, match="This is a GLM checkpoint"):
        ChatGLM6BConfig.from_dict({"model_type": "chatglm", "multi_query_group_num": 2})


def test_layers_of_different_widths_run_save_and_load(tmp_path):
    config = ChatGLM6BConfig(
        vocab_size=64, hidden_size=32, num_layers=2, num_attention_heads=[4, 2], inner_hidden_size=[64, 48], head_dim=8,
        bos_token_id=5, gmask_token_id=6, mask_token_id=7,
    )  # fmt: skip
    model = ChatGLMForConditionalGeneration(config).eval()
    ids = torch.tensor([[10, 11, 6, 5]])
    new = model.generate(ids, max_new_tokens=4, do_sample=False)
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert again.generate(ids, max_new_tokens=4, do_sample=False).tolist() == new.tolist()
    assert again.config.inner_hidden_size == [64, 48]


def test_a_config_with_wrong_lists_is_refused():
    with pytest.raises(CheckpointError, match="inner_hidden_size lists 1 layers"):
        ChatGLM6BConfig(num_layers=2, inner_hidden_size=[64]).check()


def test_peft_trains_an_adapter(model, tokenizer):
    from peft import LoraConfig, get_peft_model

    tuned = get_peft_model(
        AutoModel.from_pretrained(folder("chatglm")), LoraConfig(target_modules=["query_key_value"], r=2)
    )
    ids = tokenizer("你好", return_tensors="pt")["input_ids"]
    tuned(input_ids=ids, labels=ids).loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in tuned.parameters())


def test_bitsandbytes_loads_it(tokenizer):
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    model = AutoModel.from_pretrained(folder("chatglm"), quantization_config=config, device_map="cpu")
    assert type(model.transformer.layers[0].mlp.dense_h_to_4h).__name__ == "Linear4bit"
    output = model.generate(**tokenizer("你好", return_tensors="pt"), max_new_tokens=4, do_sample=False)
    assert output.shape == (1, 9)


def test_gradients_flow_with_checkpointing(tokenizer):
    model = AutoModel.from_pretrained(folder("chatglm")).train()
    model.gradient_checkpointing_enable()
    ids = tokenizer("你好", return_tensors="pt")["input_ids"]
    model(ids, labels=ids).loss.backward()
    assert model.transformer.layers[0].mlp.dense_h_to_4h.weight.grad is not None


def test_version_is_exported():
    assert fastglm.__version__
