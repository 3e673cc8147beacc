"""Hooks for transformers' `generate`, in which the model finds positions itself instead of counting."""

from typing import Any

from torch import Tensor
from transformers import GenerationConfig
from transformers.cache_utils import Cache

from ..errors import UsageError
from .dynamic_cache import make_cache
from .masks import check_left_padding

_CACHES = (None, "dynamic", "dynamic_full", "offloaded", "quantized")
_STATIC = (
    "transformers' caches of fixed size, or of pages, are not supported: leave cache_implementation out, or load the "
    "variant 'fast', whose engine has a fixed one."
)
_ATTENTIONS = "The weights of attention are never held as a matrix here: leave output_attentions out."


def check_supported(cache: Any | None, others: dict[str, Any]) -> None:
    """Raise UsageError for arguments of `forward` that would be ignored or misread."""
    if others.get("output_attentions"):
        raise UsageError(_ATTENTIONS)
    if others.get("head_mask") is not None:
        raise UsageError("head_mask is not supported: leave it out.")
    if cache is not None and not isinstance(cache, Cache):
        raise UsageError("past_key_values must be a cache of transformers, such as DynamicCache, not a tuple.")
    if cache is not None and cache.is_compileable:
        raise UsageError(_STATIC)


class GenerationHooks:
    """Overrides parts of transformers' `GenerationMixin`: `generate` uses the config's cache, and refuses in one line
    settings that this architecture cannot follow.
    """

    config: Any

    def _prepare_generation_config(
        self, generation_config: GenerationConfig | None, **kwargs: Any
    ) -> tuple[GenerationConfig, dict[str, Any]]:
        """The settings of an answer. A temperature of 0 is greedy."""
        if kwargs.get("temperature") == 0:
            kwargs |= {"do_sample": False, "temperature": None}
        config, model_kwargs = super()._prepare_generation_config(generation_config, **kwargs)  # type: ignore[misc]
        if config.temperature == 0:
            config.do_sample, config.temperature = False, None
        if config.prefill_chunk_size is not None and not self.config.is_causal:
            raise UsageError(
                "This model sees its prompt in both directions, so that it cannot be read in chunks: leave "
                "prefill_chunk_size out."
            )
        if config.output_attentions:
            raise UsageError(_ATTENTIONS)
        if config.cache_implementation not in _CACHES:
            raise UsageError(_STATIC)
        if model_kwargs.get("position_ids") is not None:
            raise UsageError("generate finds the positions from the tokens: leave position_ids out.")
        return config, model_kwargs

    def _prepare_cache_for_generation(
        self, generation_config: GenerationConfig, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        """`generate`'s own cache, in the format of the config; one that its caller asks for stays as it is."""
        is_own = model_kwargs.get("past_key_values") is generation_config.cache_implementation is None
        super()._prepare_cache_for_generation(generation_config, model_kwargs, *args, **kwargs)  # type: ignore[misc]
        if is_own and "past_key_values" in model_kwargs:
            model_kwargs["past_key_values"] = make_cache(self.config)

    def _prepare_position_ids_for_generation(self, inputs_tensor: Tensor, model_kwargs: dict[str, Any]) -> None:
        """Return None, so that no positions are counted. Raises UsageError if there is padding on the right."""
        mask = model_kwargs.get("attention_mask")
        if mask is not None:
            check_left_padding(mask, mask)
