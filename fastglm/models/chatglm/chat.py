"""The published chat interface of ChatGLM-6B: `chat` and `stream_chat`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from transformers import LogitsProcessorList

from ...history import History, as_history
from ..chat_answer import answer_ids
from ..streamer import stream
from .conversation import clean_response

if TYPE_CHECKING:
    from .tokenizer import ChatGLM6BTokenizer


class ChatMixin:
    """`chat` and `stream_chat` as published."""

    context_length: int

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
        """Answer a query like the published `chat`.

        Args:
            history: list of (query, response), or another form of `fastglm.history`; the oldest rounds are left out if
            they do not fit.
            max_length: of prompt and answer together, in tokens.
            temperature: 0 is greedy, as `do_sample=False` is.
            kwargs: arguments of transformers' `generate`.

        Returns:
            the response, and the history with this round added.

        Raises:
            ContextError: the query alone does not fit into the context.
            NumbersError: the model's logits are NaN or infinite.
            UsageError: query or history have another form.
        """
        rounds = as_history(history)
        room = min(max_length, self.context_length) // 4
        ids, _ = self.prompt_ids(  # type: ignore[attr-defined]
            tokenizer, query, rounds, room
        )
        kwargs["num_beams"] = num_beams
        found = answer_ids(self, ids, max_length, do_sample, top_p, temperature, logits_processor, **kwargs)
        response = clean_response(tokenizer.decode(found, skip_special_tokens=True))
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
        """Stream `chat`: yields the response so far and the history with it, once per token.

        Takes the arguments of `chat`, except for beams, whose answer is known only at their end.
        """
        rounds = as_history(history)
        kwargs |= {"max_length": max_length, "do_sample": do_sample, "top_p": top_p, "temperature": temperature}
        for piece in stream(self, tokenizer, query, rounds, logits_processor=logits_processor or None, **kwargs):
            yield piece.text, [*rounds, (query, piece.text)]
