"""The published chat interface of ChatGLM-6B: prompts, clean-up of answers, `chat` and `stream_chat`."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from ...errors import ContextError, NumbersError, UsageError
from ...history import History, as_history
from ..streamer import stream
from .generation import stop_tokens

if TYPE_CHECKING:
    from .tokenizer import ChatGLM6BTokenizer

_FULL_WIDTH = {",": "，", "!": "！", ":": "：", ";": "；", "?": "？"}
_AFTER_CHINESE = re.compile(r"(?<=[\u4e00-\u9fff])[,!:;?]")
_BEFORE_CHINESE = re.compile(r"[,!:;?](?=[\u4e00-\u9fff])")


class CheckNumbers(LogitsProcessor):
    """Raises NumbersError where the largest of the scores is NaN or infinite."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """input_ids: [rows, tokens]; scores: [rows, vocabulary], which come back as they are."""
        if not scores.amax().isfinite():
            raise NumbersError
        return scores


def clean_response(text: str) -> str:
    """Clean an answer like the published code: strip it, fill in the training time, and widen punctuation next to a
    Chinese character.
    """
    text = text.strip().replace("[[训练时间]]", "2023年")
    for pattern in (_AFTER_CHINESE, _BEFORE_CHINESE):
        text = pattern.sub(lambda found: _FULL_WIDTH[found[0]], text)
    return text


def build_prompt(query: str, history: History) -> str:
    """The published prompt: the bare query, or numbered rounds from 0."""
    if not history:
        return query
    rounds = [f"[Round {i}]\n问：{question}\n答：{answer}\n" for i, (question, answer) in enumerate(history)]
    return "".join(rounds) + f"[Round {len(history)}]\n问：{query}\n答："


class ChatMixin:
    """`chat` and `stream_chat`, and an engine's facts about a conversation with this model."""

    config: Any

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""
        return self.config.max_sequence_length

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        """Ids that end an answer."""
        return stop_tokens(self.config.eos_token_id)

    def clean_response(self, text: str) -> str:
        """An answer as the published code shows it."""
        return clean_response(text)

    def prompt_ids(
        self, tokenizer: "ChatGLM6BTokenizer", query: str, history: Any = None, room: int = 1
    ) -> tuple[list[int], int]:
        """Token ids of a conversation, and how many of its oldest rounds were left out to keep `room` tokens free.

        Nothing that a user typed becomes a control token.

        Args:
            history: in any form of `fastglm.history`.

        Raises:
            ContextError: the query alone does not leave room for a single token.
            UsageError: query or history are of another form.
        """
        if not isinstance(query, str):
            raise UsageError(f"The query must be a text (got {type(query).__name__}).")
        rounds = as_history(history)
        for left_out in range(len(rounds) + 1):
            ids = tokenizer.encode_message(build_prompt(query, rounds[left_out:]))
            last = left_out == len(rounds)
            if len(ids) + (1 if last else room) <= self.context_length:
                return ids, left_out
        raise ContextError(
            f"The message is {len(ids)} tokens long and the model's context is {self.context_length}: shorten it."
        )

    @torch.inference_mode()
    def chat(
        self,
        tokenizer: "ChatGLM6BTokenizer",
        query: str,
        history: Any = None,
        max_length: int = 2048,
        num_beams: int = 1,
        do_sample: bool = True,
        top_p: float | None = 0.7,
        temperature: float | None = 0.95,
        logits_processor: LogitsProcessorList | None = None,
        **kwargs: Any,
    ) -> tuple[str, History]:
        """Answers a query, as the published `chat` does.

        Args:
            history: list of (query, response), or another form of `fastglm.history`; the oldest rounds are left out
                where they do not fit.
            max_length: of prompt and answer together, in tokens.
            temperature: 0 is greedy, as `do_sample=False` is.
            kwargs: of transformers' `generate`.

        Returns:
            the response, and the history with this round added.

        Raises:
            ContextError: the query alone does not fit into the context.
            NumbersError: the model's logits are no numbers.
            UsageError: query or history are of another form.
        """
        rounds = as_history(history)
        room = min(max_length, self.context_length) // 4
        ids, _ = self.prompt_ids(tokenizer, query, rounds, room)
        inputs = torch.tensor([ids], device=self.device)  # type: ignore[attr-defined]
        if not do_sample or temperature == 0:
            do_sample, top_p, temperature = False, None, None  # as transformers wants it
        output = self.generate(  # type: ignore[attr-defined]
            inputs,
            max_length=max(min(max_length, self.context_length), len(ids) + 1)
            if "max_new_tokens" not in kwargs
            else None,
            num_beams=num_beams,
            do_sample=do_sample,
            top_p=top_p,
            temperature=temperature,
            logits_processor=LogitsProcessorList([*(logits_processor or []), CheckNumbers()]),
            **kwargs,
        )
        response = clean_response(tokenizer.decode(output[0, len(ids) :].tolist(), skip_special_tokens=True))
        return response, [*rounds, (query, response)]

    def stream_chat(
        self,
        tokenizer: "ChatGLM6BTokenizer",
        query: str,
        history: Any = None,
        max_length: int = 2048,
        do_sample: bool = True,
        top_p: float | None = 0.7,
        temperature: float | None = 0.95,
        logits_processor: LogitsProcessorList | None = None,
        **kwargs: Any,
    ) -> Iterator[tuple[str, History]]:
        """`chat` as a stream: yields the response so far and the history with it, once a token.

        Takes what `chat` takes, but for beams, which are known at their end only.
        """
        rounds = as_history(history)
        kwargs |= {"max_length": max_length, "do_sample": do_sample, "top_p": top_p, "temperature": temperature}
        for piece in stream(self, tokenizer, query, rounds, logits_processor=logits_processor or None, **kwargs):
            yield piece.text, [*rounds, (query, piece.text)]
