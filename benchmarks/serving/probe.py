"""A look at an endpoint before it is measured: its model, the fields that it takes, and its way to count tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.serving.asked import Asked
from benchmarks.serving.client import Client, Endpoint
from benchmarks.serving.mix import Measure, text
from fastglm.errors import UsageError

USAGE = {"stream_options": {"include_usage": True}}
OPTIONS: tuple[Mapping[str, Any], ...] = (USAGE | {"ignore_eos": True}, USAGE, {})  # from the best to the plainest
SIZES = (40, 400)  # characters of the prompts whose tokens are counted
TOKENS = 8  # of their answers
SHOWN = 5  # models that a message names


@dataclass(frozen=True, slots=True)
class Known:
    """Facts about an endpoint: the fields that requests may have, and the tokens of a prompt by its length."""

    endpoint: Endpoint
    options: Mapping[str, Any]
    measure: Measure
    gives_usage: bool

    @property
    def full_length(self) -> bool:
        """Tell whether answers can be held to their full length, past an end of text."""
        return "ignore_eos" in self.options

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the settings of a run."""
        return {"model": self.endpoint.model, "usage": self.gives_usage, "full_length": self.full_length}


async def probe(client: Client, source: str, mark: str) -> Known:
    """Look at the endpoint of a client, which gets the name of its model.

    Args:
        source: text for prompts.
        mark: beginning of the prompts, which the server has not seen before.

    Raises:
        EndpointError: nobody answers, the key is refused, or the server speaks another protocol.
        UsageError: the endpoint has several models, and none is named.
    """
    if client.endpoint.model is None:
        names = await client.models()
        if len(names) > 1:
            some = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
            raise UsageError(f"{client.endpoint.url} has {len(names)} models ({some}): choose one by --model")
        client.endpoint = replace(client.endpoint, model=names[0])
    options, short = await _options(client, text(source, SIZES[0], f"a{mark}", "short"))
    long = await client.ask(text(source, SIZES[1], f"b{mark}", "long"), TOKENS, options)
    if long.error:
        raise client.refusal(long.status, long.error)
    measure = Measure()
    if short.prompt_tokens and long.prompt_tokens:
        measure = Measure.between((SIZES[0], short.prompt_tokens), (SIZES[1], long.prompt_tokens))
    return Known(client.endpoint, options, measure, not short.counted)


async def _options(client: Client, prompt: str) -> tuple[Mapping[str, Any], Asked]:
    """The first of `OPTIONS` that the server takes, and its answer."""
    for options in OPTIONS:
        asked = await client.ask(prompt, TOKENS, options)
        if asked.status not in (400, 422):
            break
    if asked.error:
        raise client.refusal(asked.status, asked.error)
    return options, asked
