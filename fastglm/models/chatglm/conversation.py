"""The published prompt of ChatGLM-6B, and the clean-up of its answers."""

import re
from collections.abc import Sequence
from typing import Any

from ...history import check_turns
from ...messages import Message
from ..architecture import Conversation

_FULL_WIDTH = {",": "，", "!": "！", ":": "：", ";": "；", "?": "？"}
_AFTER_CHINESE = re.compile(r"(?<=[\u4e00-\u9fff])[,!:;?]")
_BEFORE_CHINESE = re.compile(r"[,!:;?](?=[\u4e00-\u9fff])")
_YEAR = "[[训练时间]]"


def clean_response(text: str) -> str:
    """Clean an answer like the published code: strip it, fill in the training time, and widen punctuation next to a
    Chinese character.
    """
    text = text.strip().replace(_YEAR, "2023年")
    for pattern in (_AFTER_CHINESE, _BEFORE_CHINESE):
        text = pattern.sub(lambda found: _FULL_WIDTH[found[0]], text)
    return text


def build_prompt(messages: Sequence[Message]) -> str:
    """The published prompt of a conversation: a single message as it stands, or rounds that are numbered from 0.

    Raises:
        UsageError: users and assistants do not take turns, or the last message is not the user's.
    """
    check_turns(messages)
    *rounds, last = messages
    if not rounds:
        return last.content
    pairs = zip(rounds[::2], rounds[1::2], strict=True)
    text = "".join(f"[Round {i}]\n问：{asked.content}\n答：{said.content}\n" for i, (asked, said) in enumerate(pairs))
    return f"{text}[Round {len(rounds) // 2}]\n问：{last.content}\n答："


def _ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Ids of a prompt, `[gMASK] <sop>` at its end. Nothing in a message becomes a control token."""
    return tokenizer.encode_text(build_prompt(messages)) + tokenizer.prompt_end


CONVERSATION = Conversation(
    roles=("user", "assistant"),
    ids=_ids,
    clean=clean_response,
    looked_at=frozenset({*_FULL_WIDTH, *_YEAR}),
)
