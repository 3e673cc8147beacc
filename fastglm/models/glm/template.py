"""Chat templates of a checkpoint, rendered so that nothing in a message becomes a control token."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import BatchEncoding
from transformers.utils.chat_template_utils import (
    DocstringParsingException,
    TypeHintParsingException,
    get_json_schema,
)

from ...errors import UsageError
from .conversation import Pieces

_MARK = "\ufdd0"  # put into control names of a message so that they are no names; no text has this noncharacter
_WORD = re.compile(r"\w+")
_ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
_TOOLS_OF_MESSAGE = re.compile(r"""\[['"]tools['"]\]|\.tools\b""")
_OF_PAD = {"padding_side", "pad_to_multiple_of", "return_attention_mask"}  # arguments of `pad` that a caller may set
_NAME = re.compile(r"<\|\w+\|>|\[g?s?MASK\]|</?s>|<[se]op>|[se]op")


class TemplateMixin:
    """`apply_chat_template` for the tokenizers of the family, and the ids of a rendered template."""

    def encode_text(self, text: str) -> list[int]:
        """Ids of a text; nothing in it becomes a control token."""
        raise NotImplementedError

    def control_ids(self) -> dict[str, int]:
        """Control tokens by their names: the special ones, and those that have the name of a role."""
        added = self.added_tokens_decoder.items()  # type: ignore[attr-defined]
        return {str(token): id for id, token in added if token.special or _NAME.fullmatch(str(token))}

    def encode_pieces(self, pieces: Sequence[int | str]) -> list[int]:
        """Ids of a prompt in parts, each encoded by itself."""
        return [id for piece in pieces for id in (self.encode_text(piece) if isinstance(piece, str) else [piece])]

    def template_pieces(self, messages: Sequence[Mapping[str, Any]], **settings: Any) -> Pieces:
        """A prompt by the chat template; the line of a role and the text below are separate parts.

        settings: arguments of transformers' `apply_chat_template`.

        Raises:
            UsageError: there is no template, or it refuses these messages.
        """
        named = self.control_ids()
        names = re.compile("|".join(map(re.escape, sorted(named, key=len, reverse=True))))
        for message in messages:
            role = message.get("role")
            if not isinstance(role, str) or not _WORD.fullmatch(role):
                raise UsageError(f"A message has the role {str(role)[:40]!r}; a role is a word such as 'user'.")
        marked = [{key: _mark(value, names) for key, value in message.items()} for message in messages]
        settings["tools"] = _schemas(settings.get("tools"))
        settings = {key: value if key == "chat_template" else _mark(value, names) for key, value in settings.items()}
        text = self.template_text(marked, **settings)
        pieces: Pieces = []
        end, is_role = 0, False
        for found in names.finditer(text):
            pieces += [*_lines(text[end : found.start()], is_role), named[found[0]]]
            end, is_role = found.end(), found[0] in _ROLES
        return [*pieces, *_lines(text[end:], is_role)]

    def template_text(self, messages: Sequence[Mapping[str, Any]], tools: Any = None, **settings: Any) -> str:
        """A conversation by the chat template as a text.

        settings: arguments of transformers' `apply_chat_template`.

        Raises:
            UsageError: there is no template, or it refuses these messages.
        """
        tools = _schemas(tools)
        said = [tool for message in messages for tool in message.get("tools") or ()]
        try:
            template = self.get_chat_template(settings.get("chat_template"), tools)  # type: ignore[attr-defined]
            if tools and not said and _TOOLS_OF_MESSAGE.search(template):
                messages = _with_tools(messages, tools)
            settings |= {"tools": tools or said or None, "tokenize": False}
            return super().apply_chat_template(messages, **settings)  # type: ignore[misc]
        except (TemplateError, ValueError, TypeError) as error:
            line = " ".join(str(error).split())[:200]
            raise UsageError(f"The chat template cannot take these messages ({line}).") from error

    def apply_chat_template(
        self,
        conversation: Any,
        tools: Any = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
        padding: Any = False,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: Any = None,
        return_dict: bool = True,
        return_assistant_tokens_mask: bool = False,
        **settings: Any,
    ) -> Any:
        """Render a conversation as transformers does; as ids, nothing in messages, tools, documents and other values of
        the template becomes a control token.

        Raises:
            UsageError: no message, a message or a tool that the template cannot take, or an argument without a meaning
                here.
        """
        settings |= {"tools": tools, "chat_template": chat_template, "add_generation_prompt": add_generation_prompt}
        if not conversation:
            raise UsageError("A chat template needs at least one message.")
        many = not isinstance(conversation[0], Mapping)
        conversations = conversation if many else [conversation]
        if not tokenize:
            texts = [self.template_text(messages, **settings) for messages in conversations]
            return texts if many else texts[0]
        if return_assistant_tokens_mask:
            raise UsageError("This tokenizer masks no tokens of the assistant: leave return_assistant_tokens_mask out.")
        settings.pop("sanitize_control_tokens", None)  # which is done in any case
        of_pad = settings.pop("tokenizer_kwargs", None) or {}
        if unknown := sorted(of_pad.keys() - _OF_PAD):
            raise UsageError(f"tokenizer_kwargs takes {', '.join(sorted(_OF_PAD))} here: leave {unknown[0]} out.")
        rows = [self.encode_pieces(self.template_pieces(messages, **settings)) for messages in conversations]
        if truncation and truncation != "do_not_truncate":
            most = max_length or self.model_max_length  # type: ignore[attr-defined]
            left = self.truncation_side == "left"  # type: ignore[attr-defined]
            rows = [row[-most:] if left else row[:most] for row in rows]
        if not padding and not return_tensors and not of_pad:
            filled = {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}
        else:
            filled = self.pad({"input_ids": rows}, padding=padding, max_length=max_length, **of_pad)  # type: ignore[attr-defined]
        if return_tensors:
            found = BatchEncoding(dict(filled), tensor_type=return_tensors)
        else:
            found = BatchEncoding(dict(filled) if many else {name: value[0] for name, value in filled.items()})
        return found if return_dict else found["input_ids"]


def _schemas(tools: Any) -> list[Any] | None:
    """Tools as JSON schemas, or None for none; those of functions come from their signatures and docstrings.

    Raises UsageError for a function that says too little.
    """
    try:
        return [get_json_schema(tool) if callable(tool) else tool for tool in tools or ()] or None
    except (DocstringParsingException, TypeHintParsingException) as error:
        raise UsageError(f"A tool cannot be described ({' '.join(str(error).split())[:200]}).") from error


def _mark(value: Any, names: re.Pattern[str]) -> Any:
    """A value of a message in which no control token has its name."""
    if isinstance(value, str):
        return names.sub(lambda found: f"{found[0][0]}{_MARK}{found[0][1:]}", value.replace(_MARK, ""))
    if isinstance(value, Mapping):
        return {_mark(key, names): _mark(each, names) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mark(each, names) for each in value]
    return value


def _lines(text: str, is_role: bool) -> Pieces:
    """A text as it is encoded: below a role its first line, with the line break, apart from the rest."""
    text = text.replace(_MARK, "")
    line, end, rest = text.partition("\n") if is_role else (text, "", "")
    return [part for part in (line + end, rest) if part]


def _with_tools(messages: Sequence[Mapping[str, Any]], tools: Any) -> list[Mapping[str, Any]]:
    """Messages whose system message offers tools."""
    first, *rest = messages
    if first.get("role") == "system":
        return [{**first, "tools": tools}, *rest]
    return [{"role": "system", "content": "", "tools": tools}, *messages]
