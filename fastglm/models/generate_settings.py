"""Settings of transformers' `generate` that a stream of tokens can follow."""

from collections.abc import Collection
from typing import Any

from transformers import GenerationConfig

from ..errors import UsageError

# Settings about whole answers, or several: their results cannot be sent token by token.
_WHOLE_ANSWERS = {
    "assistant_model": None,
    "custom_generate": None,
    "dola_layers": None,
    "num_beams": 1,
    "num_return_sequences": 1,
    "penalty_alpha": None,
    "prompt_lookup_num_tokens": None,
    "return_dict_in_generate": False,
    "streamer": None,
}
_BESIDE_CONFIG = {
    "generation_config",
    "logits_processor",
    "negative_prompt_attention_mask",
    "negative_prompt_ids",
    "prefix_allowed_tokens_fn",
    "stopping_criteria",
    "tokenizer",
}


def check_streams(arguments: dict[str, Any]) -> None:
    """Raise UsageError if arguments of `generate` request results that cannot be sent token by token."""
    config = arguments.get("generation_config")
    for name, without in _WHOLE_ANSWERS.items():
        for value in (arguments.get(name), getattr(config, name, None)):
            if value is not None and value != without:
                raise UsageError(f"{name} cannot be streamed: use generate, or chat for beams.")


def settings_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `generate` that change how one answer is streamed. Raises UsageError for an unknown name."""
    check_streams(arguments)
    known = GenerationConfig()
    for name in arguments:
        if not hasattr(known, name) and name not in _BESIDE_CONFIG and name not in _WHOLE_ANSWERS:
            raise UsageError(f"There is no setting {name!r}: the names are those of transformers' generate.")
    return {name: value for name, value in arguments.items() if value is not None and name not in _WHOLE_ANSWERS}


def stop_tokens(ends: int | Collection[int] | None) -> tuple[int, ...]:
    """Ids that end an answer, from an `eos_token_id`."""
    if ends is None:
        return ()
    return (ends,) if isinstance(ends, int) else tuple(ends)
