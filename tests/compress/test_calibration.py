"""Calibration texts: permitted files, the errors of others, and the resulting examples."""

from pathlib import Path

import pytest

from fastglm.compress import text_split
from fastglm.compress.calibration import examples
from fastglm.compress.text_source import demo_samples
from fastglm.compress.text_split import Split
from fastglm.demo.corpus import training_samples
from fastglm.errors import UsageError
from fastglm.models.registered_tokenizers import ChatGLMTokenizer
from fastglm.models.source import demo_folder
from fastglm.models.tokenizer_files import read_tokenizer
from fastglm.text_files import Text, read_texts


@pytest.fixture(scope="module")
def tokenizer() -> ChatGLMTokenizer:
    return ChatGLMTokenizer.from_pretrained(demo_folder())


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_plain_text_is_a_text_a_line(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "\ufeff你好。\r\n\n  \nA line\u2028of one text.\n")
    assert read_texts(file) == [Text([], "", "你好。"), Text([], "", "A line\u2028of one text.")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_json_lines_are_rounds(name: str, tmp_path: Path) -> None:
    file = write(
        tmp_path / name, '{"prompt": "a", "answer": "b"}\n{"prompt": "c", "answer": "d", "history": [["a", "b"]]}'
    )
    assert read_texts(file) == [Text([], "a", "b"), Text([("a", "b")], "c", "d")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "好的\n再见\n".encode("gb18030"), "a.txt, line 1 cannot be read as UTF-8"),
        ("a.txt", b"one\n" + "两\n".encode("gbk"), "line 2 cannot be read as UTF-8"),
        ("a.txt", "你好".encode("utf-16"), "line 1 cannot be read as UTF-8"),
        ("a.txt", "two words".encode("utf-16-le"), "line 1 holds a zero character"),
        ("a.txt", "", "has no texts"),
        ("a.jsonl", " \n\n", "has no texts"),
        ("a.jsonl", "plain", "line 1 is not JSON"),
        ("a.txt", '{"prompt": "a", "answer": "b"}\nplain', "line 2 is not JSON"),
        ("a.txt", '{"prompt": "a"}', 'line 1: write "prompt" and "answer"'),
    ],
)
def test_a_file_that_is_wrong_is_told_by_its_line(name: str, content: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_texts(write(tmp_path / name, content))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_texts(tmp_path / "missing.txt")
    with pytest.raises(UsageError, match="cannot be read"):
        read_texts(tmp_path)


def test_the_demo_samples_are_training_samples() -> None:
    found = demo_samples(20, seed=3)
    drawn = training_samples(3, 0)
    assert found == [next(drawn).text for _ in range(20)]
    assert demo_samples(20, seed=4) != found


def test_the_world_of_the_second_demo_has_its_calculator() -> None:
    tokenizer = read_tokenizer(demo_folder("demo-glm"))
    texts = [text for text in demo_samples(400, world="demo-glm") if text.calls]
    assert texts
    for example in examples(tokenizer, texts, 256):
        read = tokenizer.decode(example.tokens, skip_special_tokens=False)
        assert "<|assistant|>calculator\n ```python\ntool_call(expression=" in read
    assert any(text.calls for text in Split("demo-glm").held_out)
    assert not any(text.opening for text in Split("demo").held_out)


def test_fitting_takes_more_of_the_demo_world_and_all_of_given_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_split, "demo_samples", lambda count, world: [Text([], "", "a")] * count)
    assert len(Split("demo").fit) > len(Split("demo").calibrate) > 0
    given = Split([Text([], "", str(number)) for number in range(30)])
    assert given.fit == given.calibrate
    assert len(given.fit) == 27  # all texts except those for scoring


def test_examples_are_prompts_with_answers(tokenizer: ChatGLMTokenizer) -> None:
    asked, plain = examples(tokenizer, [Text([], "你好", "再见"), Text([], "", "再见")], 64)
    answer = [*tokenizer.encode("再见", add_special_tokens=False), tokenizer.eos_token_id]
    assert asked.tokens == [*tokenizer.encode_message("你好"), *answer]
    assert plain.tokens == [*tokenizer.prompt_end, *answer]
    assert (asked.targets, plain.targets) == (answer, answer)


def test_long_answers_are_cut_and_lose_nothing(tokenizer: ChatGLMTokenizer) -> None:
    text = Text([], "你好", "好" * 200)
    (whole,) = examples(tokenizer, [text], 1000)
    parts = examples(tokenizer, [text], 50)
    assert max(len(part.tokens) for part in parts) == 50
    assert [token for part in parts for token in part.targets] == whole.targets
    assert all(part.tokens[: part.context + 1] == whole.tokens[: whole.context + 1] for part in parts)


def test_long_prompts_are_left_out(tokenizer: ChatGLMTokenizer) -> None:
    assert examples(tokenizer, [Text([], "你" * 100, "好" * 100), Text([], "你", "好")], 60) == examples(
        tokenizer, [Text([], "你", "好")], 60
    )
