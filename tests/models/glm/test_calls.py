"""Calls of tools in whole answers, as chat shows them."""

import pytest

from fastglm.messages import ToolCall
from fastglm.models.glm.calls import find_call
from fastglm.models.glm.conversation import CONVERSATIONS

LITERALS = "```python\ntool_call(city='北京', days=(1, 2))\n```"


def test_the_name_and_the_arguments_of_a_call() -> None:
    assert find_call("chatglm3", f"get_weather\n {LITERALS}") == ToolCall(
        "get_weather", f" {LITERALS}", '{"city": "北京", "days": [1, 2]}'
    )
    assert find_call("glm4", 'get_weather\n{"city": "北京"}') == ToolCall(
        "get_weather", '{"city": "北京"}', '{"city": "北京"}'
    )


def test_an_answer_in_two_messages_calls_at_its_end() -> None:
    found = find_call("glm4", '\nOne moment.<|assistant|>search\n{"query": "x"}')
    assert found
    assert (found.name, found.arguments) == ("search", '{"query": "x"}')


@pytest.mark.parametrize(
    "raw", ["", "\nhello", "hello", "\n", "\n get_weather\n{}", "two words\nand more", "你好，\n北京"]
)
def test_other_answers_call_nothing(raw: str) -> None:
    assert find_call("chatglm3", raw) is None
    assert find_call("glm4", raw) is None


@pytest.mark.parametrize("generation", ["chatglm3", "glm4"])
@pytest.mark.parametrize("content", ["__import__('os').system('x')", "```python\ntool_call(c=home())\n```", "{city}"])
def test_arguments_that_are_no_literal_are_named_in_a_line(generation: str, content: str) -> None:
    found = find_call(generation, f"get_weather\n{content}")
    assert found
    assert (found.name, found.content, found.arguments) == ("get_weather", content, None)
    assert found.fault
    assert "calls a tool, but not as" in found.fault
    assert "\n" not in found.fault


def test_only_generations_with_tools_look_for_calls() -> None:
    assert {name for name, known in CONVERSATIONS.items() if known.call} == {"chatglm3", "glm4"}
