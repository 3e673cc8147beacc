"""The adapter for lm-evaluation-harness: it returns the model's results, and runs a user's own tasks."""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import fastglm
from fastglm.cli.commands import main
from fastglm.engine import GREEDY
from fastglm.errors import UsageError
from fastglm.evaluate import harness_model, likelihood
from fastglm.evaluate.arithmetic import Arithmetic
from fastglm.evaluate.harness_model import Generation, VariantLM
from fastglm.kernels.exact import is_exact

GOLDEN = Path(__file__).parents[1] / "golden" / "chatglm"
DATA = """dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
doc_to_text: "{{{{question}}}}"
"""
CHOICE = (
    DATA
    + """task: capitals_here
output_type: multiple_choice
doc_to_target: "{{{{answer}}}}"
doc_to_choice: "{{{{choices}}}}"
metric_list: [{{metric: acc}}]
metadata: {{version: 3.0}}
"""
)
OPEN = (
    DATA
    + """task: sums_here
output_type: generate_until
doc_to_target: "{{{{choices[answer]}}}}"
generation_kwargs: {{until: ["。"], max_gen_toks: 20}}
metric_list: [{{metric: exact_match}}]
metadata: {{version: 1.0}}
"""
)
DOCUMENTS = [
    {"question": "法国的首都是哪里？", "choices": ["法国的首都是巴黎", "法国的首都是东京"], "answer": 0},
    {"question": "12+30=?", "choices": ["12+30=41", "12+30=42"], "answer": 1},
]


@pytest.fixture(scope="module")
def tiny() -> tuple[Any, Any]:
    """A model with a context of 256 tokens."""
    return fastglm.load(str(GOLDEN))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two tasks and their data."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    data = tmp_path / "documents.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in DOCUMENTS), encoding="utf-8")
    for name, text in (("choice", CHOICE), ("open", OPEN)):
        (tmp_path / f"{name}.yaml").write_text(text.format(data=data), encoding="utf-8")
    return tmp_path


def request(*arguments: Any) -> SimpleNamespace:
    return SimpleNamespace(args=arguments)


def by_hand(model: Any, tokenizer: Any, context: list[int], said: list[int]) -> tuple[float, bool]:
    """Nats of `said`, token by token, each from a separate run over everything before it."""
    nats, greedy = 0.0, True
    for count, token in enumerate(said):
        ids = torch.tensor([[*context, *tokenizer.prompt_end, *said[:count]]])
        with torch.inference_mode():
            scores = model(input_ids=ids).logits[0, -1].log_softmax(-1)
        nats += scores[token].item()
        greedy &= scores.argmax().item() == token
    return nats, greedy


def test_likelihoods_are_those_of_single_tokens_after_the_context(demo: tuple[Any, Any]) -> None:
    model, tokenizer = demo
    pairs = [("12+30=?", "12+30=42。"), ("12+30=?", " 12+30=41。"), ("", "你好"), ("法国的首都是哪里？", "巴黎")]
    found = VariantLM(model, tokenizer).loglikelihood([request(*pair) for pair in pairs])
    for (context, said), (nats, greedy) in zip(pairs, found, strict=True):
        ids = [tokenizer.encode_text(text.strip()) for text in (context, said)]
        expected = by_hand(model, tokenizer, *ids)
        assert nats == pytest.approx(expected[0], abs=1e-3)
        assert greedy == expected[1]
    assert found[0][1]  # the demo's answer
    assert not found[1][1]


def test_batches_do_not_change_what_is_found(demo: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [request(f"{n}+{n * 7}=?", f"{n}+{n * 7}={n * 8}。") for n in range(1, 40)]
    at_once = VariantLM(*demo).loglikelihood(requests)
    monkeypatch.setattr(harness_model, "TOKENS_AT_ONCE", 40)
    monkeypatch.setattr(likelihood, "TARGETS_AT_ONCE", 5)
    apart = VariantLM(*demo).loglikelihood(requests)
    assert [nats for nats, _ in apart] == pytest.approx([nats for nats, _ in at_once], abs=1e-3)


@pytest.mark.parametrize("variant", ["int8", "int4"])
def test_exact_likelihoods_are_the_same_in_a_batch_and_alone(variant: str) -> None:
    loaded = fastglm.load("demo", variant)
    said = [f"{n}+{n * 7}={n * 8}。" for n in range(1, 12)] + ["zygote quixotic", "巴"]  # one of few tokens too
    requests = [request(f"{text}?", text) for text in said]
    for call in ("loglikelihood", "loglikelihood_rolling"):
        found: dict[str, list[Any]] = {}
        for arithmetic in Arithmetic:
            lm = VariantLM(*loaded, arithmetic=arithmetic)
            asked = requests if call == "loglikelihood" else [request(text) for text in said]
            together = getattr(lm, call)(asked)
            alone = [getattr(lm, call)([one])[0] for one in asked]
            pairs = zip(together, alone, strict=True)
            found[arithmetic] = [(a[0], b[0]) if isinstance(a, tuple) else (a, b) for a, b in pairs]
        assert max(abs(a - b) for a, b in found["exact"]) < 1e-3
        assert found["exact"] != found["decoding"]


def test_generating_runs_as_decoding_whatever_the_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = fastglm.load("demo", "int8")
    seen: list[bool] = []
    plain = harness_model.generate

    def watched(*arguments: Any) -> Any:
        seen.append(is_exact(model))
        return plain(*arguments)

    monkeypatch.setattr(harness_model, "generate", watched)
    VariantLM(model, tokenizer).generate_until([request("12+30=?", {"until": ["。"], "max_gen_toks": 8})])
    assert seen == [False]


def test_a_context_that_is_too_long_loses_its_beginning(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    context, said = "".join(f"{n} " for n in range(300)), "Paris"
    ids, target = tokenizer.encode_text(context), tokenizer.encode_text(said)
    room = model.context_length - 2 - len(target)
    assert len(ids) > room
    ((nats, _),) = VariantLM(*tiny).loglikelihood([request(context, said)])
    assert nats == pytest.approx(by_hand(model, tokenizer, ids[-room:], target)[0], abs=1e-2)
    with pytest.raises(UsageError, match="do not fit into the model's context of 256"):
        VariantLM(*tiny).loglikelihood([request("a", context)])


def test_every_token_of_a_long_text_counts_once(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    short, long = "Paris 42", "".join(f"{n} " for n in range(200))
    ids, room = tokenizer.encode_text(long), model.context_length - 3
    lm = VariantLM(*tiny)
    examples: list[Any] = []
    scored = lm._score
    lm._score = lambda given: examples.extend(given) or scored(given)  # type: ignore[method-assign,func-returns-value]
    found = lm.loglikelihood_rolling([request(short), request(long), request("")])
    assert found[0] == pytest.approx(by_hand(model, tokenizer, [], tokenizer.encode_text(short))[0], abs=1e-3)
    assert found[2] == 0.0
    targets = [token for example in examples[1:] for token in example.targets]
    assert targets == ids
    assert examples[1].targets == ids[:room]
    assert max(len(example.tokens) for example in examples) == model.context_length


def test_nothing_in_a_task_becomes_a_control_token(demo: tuple[Any, Any]) -> None:
    _, tokenizer = demo
    lm = VariantLM(*demo)
    examples: list[Any] = []
    scored = lm._score
    lm._score = lambda given: examples.extend(given) or scored(given)  # type: ignore[method-assign,func-returns-value]
    lm.loglikelihood([request("a [gMASK]<sop> b", "c <eop> [MASK]")])
    lm.loglikelihood_rolling([request("<eop><sop>")])
    control = {tokenizer.convert_tokens_to_ids(name) for name in ("[gMASK]", "[MASK]", "<sop>", "<eop>")}
    for example in examples:
        assert [token for token in example.tokens if token in control] == tokenizer.prompt_end
    assert not control & set(lm._prompt("<sop> [gMASK]", 5)[:-2])


def test_a_text_ends_at_the_first_of_its_strings(demo: tuple[Any, Any]) -> None:
    model, tokenizer = demo
    question = "12+30=?"
    whole = model.chat(tokenizer, question, do_sample=False)[0]
    assert whole == "12+30=42。"
    wanted = [({}, whole), ({"until": "。"}, whole[:-1]), ({"until": ["0=4", "+3"]}, "12")]
    wanted += [({"until": ["nothing"], "max_gen_toks": 3}, None), ({"until": "30=4"}, "12+")]
    requests = [request(question, settings) for settings, _ in wanted]
    found = VariantLM(model, tokenizer).generate_until(requests)
    for (_, expected), text in zip(wanted, found, strict=True):
        assert whole.startswith(text)
        assert expected is None or text == expected
    assert len(tokenizer.encode_text(found[3])) <= 3


@pytest.mark.parametrize("variant", ["original", "fast"])
def test_texts_side_by_side_are_the_texts_alone(demo: tuple[Any, Any], variant: str) -> None:
    questions = ["你好！", "12+30=?", "What is the capital of France?", "讲一个关于兔子的故事。"]
    requests = [request(text, {"until": ["兔"], "max_gen_toks": 30}) for text in questions]
    lm = VariantLM(*(demo if variant == "original" else fastglm.load("demo", variant)))
    assert lm.generate_until(requests) == [lm.generate_until([one])[0] for one in requests]


def test_a_task_may_sample(demo: tuple[Any, Any]) -> None:
    settings = {"do_sample": True, "temperature": 3.0, "max_gen_toks": 12}
    lm = VariantLM(*demo)
    found = lm.generate_until([request("讲一个故事。", settings)] * 3)
    assert len(set(found)) > 1
    assert found == lm.generate_until([request("讲一个故事。", settings)] * 3)


def test_settings_that_cannot_be_kept_are_refused() -> None:
    assert Generation.read({"until": ["\n"], "do_sample": False, "temperature": 0.0}, 500).sampling == GREEDY
    drawn = Generation.read({"do_sample": True, "top_k": 7}, 500).sampling
    assert (drawn.temperature, drawn.top_p, drawn.top_k) == (1.0, 1.0, 7)
    with pytest.raises(UsageError, match="top_p is 3"):
        Generation.read({"do_sample": True, "top_p": 3}, 500)
    assert Generation.read({"num_beams": 1}, 500).tokens == 256
    with pytest.raises(UsageError, match="sets num_beams"):
        Generation.read({"num_beams": 4}, 500)
    with pytest.raises(UsageError, match="up to 600 tokens"):
        Generation.read({"max_gen_toks": 600}, 500)


def test_tasks_of_ones_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out.json"
    asked = ["--suite", "lm-eval:capitals_here,sums_here", "--tasks", str(folder), "--json", str(out)]
    assert main(["evaluate", *asked]) == 0
    shown = capsys.readouterr().out
    assert "|capitals_here|" in shown
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["model"] == "demo"
    told = found["lm-eval"]
    assert told["results"]["capitals_here"]["acc,none"] == 1.0
    assert told["results"]["sums_here"]["exact_match,none"] >= 0.5
    assert told["versions"] == {"capitals_here": 3.0, "sums_here": 1.0}
    assert told["n-samples"]["sums_here"]["effective"] == 2
    assert told["lm_eval"][0].isdigit()
    assert not math.isnan(told["seconds"])


def test_a_part_of_a_task(folder: Path) -> None:
    out = folder / "out.json"
    asked = ["--suite", "lm-eval:capitals_here", "--tasks", str(folder), "--json", str(out), "--questions", "1"]
    assert main(["evaluate", *asked]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["lm-eval"]["n-samples"]["capitals_here"] == {"original": 2, "effective": 1}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--suite", "lm-eval:hellaswga"], 2, "no task 'hellaswga', nor is it in a folder given by --tasks: is it"),
        (["--suite", "lm-eval:x,"], 2, "wants names of tasks with commas between"),
        (["--suite", "lm-eval"], 2, "There is no suite 'lm-eval': choose from skills, open, and after them lm-eval:"),
        (["--suite", "lm-eval:x", "--model", "shape:chatglm-6b@1"], 2, "random weights"),
        (["--suite", "lm-eval:x", "--tasks", "/nowhere"], 2, "/nowhere is not a folder"),
        (["--suite", "skills", "--tasks", "/tmp"], 2, "--tasks is for tasks of your own"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *arguments]) == status
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_data_that_is_missing_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "documents.jsonl").unlink()
    assert main(["evaluate", "--suite", "lm-eval:sums_here", "--tasks", str(folder)]) == 1
    assert "error: lm-eval cannot read sums_here (FileNotFoundError: " in capsys.readouterr().err.splitlines()[-1]


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if name == "fastglm.evaluate.harness" or name.startswith("lm_eval")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    assert main(["evaluate", "--suite", "lm-eval:hellaswag"]) == 1
    assert capsys.readouterr().err == "error: lm-eval needs lm_eval: pip install 'fastglm[eval]'.\n"
