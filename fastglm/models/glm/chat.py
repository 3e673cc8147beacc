"""The published chat interface of ChatGLM2 and its successors: `chat`, `stream_chat` and `process_response`."""

from collections.abc import Iterator
from typing import Any, get_args

import torch
from transformers import LogitsProcessorList

from ...errors import UsageError
from ...history import History, as_history
from ...messages import Message, Role
from ..chat_answer import answer_ids
from ..detokenizer import Detokenizer
from ..generate_settings import stop_tokens
from ..streamer import stream
from .config import GLMConfig
from .tools import RoleHistory, process_response, role_history

AnyHistory = History | RoleHistory


class ChatMixin:
    """`chat` and `stream_chat` as published.

    ChatGLM2 and CodeGeeX2 have a history of (query, response); ChatGLM3, GLM-4 and CodeGeeX4 one of messages with
    roles, in which answers may call tools.
    """

    config: GLMConfig
    context_length: int

    @torch.inference_mode()
    def chat(
        self,
        tokenizer: Any,
        query: str,
        history: Any = None,
        role: Role = "user",
        max_length: int = 8192,
        num_beams: int = 1,
        do_sample: bool = True,
        top_p: float | None = 0.8,
        temperature: float | None = 0.8,
        logits_processor: LogitsProcessorList | None = None,
        **kwargs: Any,
    ) -> tuple[Any, AnyHistory]:
        """Answer a query like the published `chat`.

        Args:
            history: in any form of `fastglm.history`; the oldest rounds are left out if they do not fit.
            role: of the query, for example `observation` for the result of a tool.
            max_length: of prompt and answer together, in tokens.
            temperature: 0 is greedy, as `do_sample=False` is.
            kwargs: arguments of transformers' `generate`.

        Returns:
            the response, a text or a dict that names a tool with its parameters, and the history with this round added.

        Raises:
            ContextError: the query alone does not fit into the context.
            NumbersError: the model's logits are NaN or infinite.
            ToolCallError: the answer calls a tool in a form that cannot be read.
            UsageError: query, role or history have another form.
        """
        asked = self._asked(query, role)
        before = self._history(history)
        room = min(max_length, self.context_length) // 4
        ids, _ = self.prompt_ids(tokenizer, asked, before, room)  # type: ignore[attr-defined]
        kwargs.setdefault("eos_token_id", self._ends(tokenizer))
        ends = stop_tokens(kwargs["eos_token_id"])
        kwargs["num_beams"] = num_beams
        found = answer_ids(self, ids, max_length, do_sample, top_p, temperature, logits_processor, **kwargs)
        if found and found[-1] in ends:
            found.pop()
        return self._answered(_decode(tokenizer, found), before, asked)

    def stream_chat(
        self,
        tokenizer: Any,
        query: str,
        history: Any = None,
        role: Role = "user",
        past_key_values: None = None,
        max_length: int = 8192,
        do_sample: bool = True,
        top_p: float | None = 0.8,
        temperature: float | None = 0.8,
        logits_processor: LogitsProcessorList | None = None,
        return_past_key_values: bool = False,
        **kwargs: Any,
    ) -> Iterator[tuple[Any, ...]]:
        """Stream `chat`: yields the response so far and the history with it, once per token.

        Takes the arguments of `chat`, except for beams, whose answer is known only at their end. A call of a tool is
        given as text until it can be read.

        Args:
            past_key_values: None, which `return_past_key_values` yields as the third part: the engine keeps keys and
            values itself, and the history says everything.
        """
        if past_key_values is not None:
            raise UsageError("stream_chat keeps keys and values itself: leave past_key_values out, give the history.")
        if kwargs.get("stop"):
            raise UsageError("stream_chat reads whole answers, for their tool calls: use fastglm.stream with stop.")
        asked = self._asked(query, role)
        before = self._history(history)
        kwargs |= {"max_length": max_length, "do_sample": do_sample, "top_p": top_p, "temperature": temperature}
        kwargs.setdefault("eos_token_id", self._ends(tokenizer))
        detokenizer, raw = Detokenizer(lambda ids: _decode(tokenizer, ids)), ""
        for piece in stream(self, tokenizer, asked, before, logits_processor=logits_processor or None, **kwargs):
            raw += "" if piece.stop == "eos" else detokenizer.add(piece.token)
            raw += detokenizer.finish() if piece.stop else ""
            answered = self._answered(raw, before, asked, is_whole=piece.stop is not None)
            yield (*answered, None) if return_past_key_values else answered

    def process_response(self, output: str, history: Any = None) -> Any:
        """An answer as published: with ChatGLM2 and CodeGeeX2 its text, otherwise also the history with the answer.

        Raises:
            ToolCallError: the answer calls a tool in a form that cannot be read.
        """
        if self._has_rounds:
            return self.config.conversation.clean(output)
        return process_response(self._generation, output, role_history(history))

    @property
    def _generation(self) -> str:
        return str(self.config.generation)

    @property
    def _has_rounds(self) -> bool:
        """Tell whether the published history is one of (query, response)."""
        return "observation" not in self.config.conversation.roles

    def _asked(self, query: str, role: Role) -> Message:
        if not isinstance(query, str):
            raise UsageError(f"The query must be a text (got {type(query).__name__}).")
        roles = self.config.conversation.roles
        if role not in get_args(Role) or role not in roles:
            raise UsageError(f"The role of the query is {str(role)[:40]!r}; this model knows {', '.join(roles)}.")
        return Message(role, query)

    def _history(self, history: Any) -> AnyHistory:
        return as_history(history) if self._has_rounds else role_history(history)

    def _ends(self, tokenizer: Any) -> list[int]:
        """Ids that end an answer."""
        return list(dict.fromkeys([*self.stop_tokens, *tokenizer.end_ids]))  # type: ignore[attr-defined]

    def _answered(self, raw: str, before: Any, asked: Message, is_whole: bool = True) -> tuple[Any, AnyHistory]:
        """A response, and the history with its round."""
        if self._has_rounds:
            response = self.config.conversation.clean(raw)
            return response, [*before, (asked.content, response)]
        said = [*before, {"role": asked.role, "content": asked.content}]
        return process_response(self._generation, raw, said, is_whole)


def _decode(tokenizer: Any, ids: Any) -> str:
    """Text of ids, in which control tokens have their names, as a published answer has them."""
    return tokenizer.decode(list(ids), spaces_between_special_tokens=False)
