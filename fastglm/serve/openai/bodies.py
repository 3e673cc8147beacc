"""Bodies of OpenAI's requests, as far as this server can do what they ask for."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, FailFast, Field, WithJsonSchema

from fastglm.serve.bodies import Body, Part

MOST_ANSWERS = 16  # of one request
_LONGEST_STOP = 200  # characters
_SEEDS = 2**63
_MOST_BIASES = 1024

Names = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _limited(value: Any) -> Any:
    """Refuse masses of biases, before each becomes an error of its own."""
    if isinstance(value, dict) and len(value) > _MOST_BIASES:
        raise ValueError(f"at most {_MOST_BIASES} tokens have a bias")
    return value


def _as_text(value: Any) -> Any:
    """The text of a content that comes in parts."""
    if not isinstance(value, list):
        return value
    texts = []
    for part in value:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise ValueError("this model reads text alone, {'type': 'text', 'text': '…'}")
        texts.append(part["text"])
    return "".join(texts)


Text = Annotated[
    str,
    BeforeValidator(_as_text),
    WithJsonSchema({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}),
]
Stops = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=_LONGEST_STOP)]], Field(max_length=16), BeforeValidator(_as_list)
]


class StreamOptions(Part):
    """Options of a stream."""

    include_usage: bool | None = None
    continuous_usage_stats: Annotated[bool | None, Field(description="The usage so far in each chunk.")] = None
    include_obfuscation: Literal[False] | None = None


class Settings(Body):
    """The settings that both kinds of completions have."""

    model: Annotated[str | None, Field(description="A name that /v1/models lists.")] = None
    max_tokens: Annotated[int | None, Field(ge=1, description="Cut to the context.")] = None
    temperature: Annotated[float | None, Field(ge=0, le=2, description="[0.95]; 0 is greedy.")] = None
    top_p: Annotated[float | None, Field(gt=0, le=1, description="[0.7]")] = None
    top_k: Annotated[int | None, Field(ge=0, description="[50]; 0: off.")] = None
    repetition_penalty: Annotated[float | None, Field(gt=0, le=10, description="[1]")] = None
    presence_penalty: Annotated[float | None, Field(ge=-2, le=2)] = None
    frequency_penalty: Annotated[float | None, Field(ge=-2, le=2)] = None
    logit_bias: Annotated[
        Annotated[
            dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], Annotated[float, Field(ge=-100, le=100)]],
            BeforeValidator(_limited),
        ]
        | None,
        Field(description="Added to the logits of tokens, by their ids."),
    ] = None
    n: Annotated[int | None, Field(ge=1, le=MOST_ANSWERS)] = None
    seed: Annotated[int | None, Field(ge=-_SEEDS, le=_SEEDS - MOST_ANSWERS)] = None
    stop: Stops | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ignore_eos: Annotated[bool | None, Field(description="Go on after the end of the answer, for measuring.")] = None
    user: Annotated[str | None, Field(max_length=512)] = None
    prompt_cache_key: Annotated[str | None, Field(max_length=512)] = None


class CalledFunction(Part):
    """A function and the arguments of its call."""

    name: Names
    arguments: str
    parsed_arguments: Any = None


class Call(Part):
    """A call of a tool in a message of the assistant."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None


class ChatMessage(Part):
    """A message of a conversation. OpenAI's client adds to answers their parsed form, and indices of streamed calls."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | None = None
    name: str | None = None
    tool_calls: Annotated[list[Call], Field(max_length=64)] | None = None
    tool_call_id: str | None = None
    parsed: Any = None


class Function(Part):
    """The description of a function that the model may call."""

    name: Names
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Part):
    """A tool that the model may call."""

    type: Literal["function"]
    function: Function


class JSONSchema(Part):
    """A schema for an answer in JSON."""

    name: str
    description: str | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class ResponseFormat(Part):
    """The form of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = None

    @property
    def grammar(self) -> str | None:
        """The setting of `fastglm.stream` for it."""
        if self.json_schema:
            return json.dumps(self.json_schema.schema_, ensure_ascii=False)
        return "json" if self.type == "json_object" else None


class ChatBody(Settings):
    """A conversation to go on with. The last fields take the only values that change nothing here."""

    messages: Annotated[list[ChatMessage], Field(min_length=1), FailFast()]
    max_completion_tokens: Annotated[int | None, Field(ge=1)] = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int | None, Field(ge=0, le=20)] = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool] | None, Field(max_length=128)] = None
    tool_choice: Annotated[
        Any, Field(description='auto, none, required, or {"type": "function", "function": {"name": "…"}}.')
    ] = None
    parallel_tool_calls: Annotated[
        bool | None, Field(description="The models call one tool at a time in any case.")
    ] = None
    safety_identifier: Annotated[str | None, Field(max_length=512)] = None
    store: Literal[False] | None = None
    metadata: Annotated[dict[str, str] | None, Field(max_length=0, description="Kept with stored answers alone.")] = (
        None
    )
    service_tier: Literal["auto", "default"] | None = None
    reasoning_effort: Literal["none"] | None = None
    verbosity: Literal["medium"] | None = None
    modalities: list[Literal["text"]] | None = None


class CompletionBody(Settings):
    """Texts to go on with, outside any conversation. The last fields take the only values that change nothing here."""

    prompt: Annotated[Any, Field(description="A text, token ids, or a list of either.")]
    logprobs: Annotated[int | None, Field(ge=0, le=20)] = None
    best_of: Annotated[int | None, Field(ge=1, description="As many as n.")] = None
    echo: Literal[False] | None = None
    suffix: Annotated[str | None, Field(max_length=0)] = None
