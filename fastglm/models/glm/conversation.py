"""The published conversations of ChatGLM2 and its successors, by generation, and the clean-up of their answers."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ...history import check_turns
from ...messages import Message
from ..architecture import Conversation
from .call_rules import call_rules
from .calls import find_call

Pieces = list[int | str]  # a prompt in parts: control tokens by their ids, and texts
YEAR = ("[[训练时间]]", "2023年")  # a phrase of the training texts, and its meaning


def round_prompt(messages: Sequence[Message]) -> str:
    """ChatGLM2's prompt: rounds that are numbered from 1.

    Raises:
        UsageError: users and assistants do not take turns, or the last message is not the user's.
    """
    check_turns(messages)
    prompt = ""
    for place, message in enumerate(messages):
        if place % 2:
            prompt += f"{message.content}\n\n"
        else:
            prompt += f"[Round {place // 2 + 1}]\n\n问：{message.content}\n\n答："
    return prompt


def code_prompt(messages: Sequence[Message]) -> str:
    """CodeGeeX2's prompt: the texts as they are, each on a new line. Raises UsageError as `round_prompt` does."""
    check_turns(messages)
    *before, last = (message.content for message in messages)
    return "".join(text if text.endswith("\n") else f"{text}\n" for text in before) + last


def single_message(tokenizer: Any, message: Message) -> Pieces:
    """A message of ChatGLM3 and its successors: its role, the name of the tool that it calls, and its text."""
    return [tokenizer.get_command(f"<|{message.role}|>"), f"{message.metadata}\n", message.content]


def as_template_message(message: Message) -> dict[str, Any]:
    """A message as chat templates read it."""
    found: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.metadata:
        found["metadata"] = message.metadata
    if message.tools is not None:
        found["tools"] = list(message.tools)
    return found


def _round_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    return [*tokenizer.get_prefix_tokens(), *tokenizer.encode_text(round_prompt(messages))]


def _code_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    return [*tokenizer.get_prefix_tokens(), *tokenizer.encode_text(code_prompt(messages))]


def _template_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    read = [as_template_message(message) for message in messages]
    return tokenizer.encode_pieces(tokenizer.template_pieces(read, add_generation_prompt=True))


def clean_response(text: str) -> str:
    """Clean an answer like the published code: strip it, and fill in the training time."""
    return text.strip().replace(*YEAR)


def _as_it_is(text: str) -> str:
    return text


_CLEANED = frozenset(YEAR[0])
_ALL = ("system", "user", "assistant", "observation")
_NEXT = ("<|user|>", "<|observation|>")  # a model that goes on after its answer writes one of these

# By the names of the generations.
CONVERSATIONS = {
    "chatglm2": Conversation(("user", "assistant"), _round_ids, clean_response, _CLEANED, ("</s>",)),
    "codegeex2": Conversation(("user", "assistant"), _code_ids, _as_it_is, frozenset(), ("</s>",)),
    **{
        name: Conversation(
            _ALL,
            _template_ids,
            clean_response,
            _CLEANED,
            (end, *_NEXT),
            opening="\n",
            call=partial(find_call, name),
            call_rules=partial(call_rules, name),
        )
        for name, end in (("chatglm3", "</s>"), ("glm4", "<|endoftext|>"))
    },
}
