"""The published interface of all generations beside `chat`: quantizing, and streams of ids."""

import logging
from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from ..errors import UsageError
from ..kernels.format import WeightFormat
from ..kernels.packed import QuantizedLinear
from .generate_loop import steps
from .generate_settings import check_streams, stop_tokens

log = logging.getLogger(__name__)


class PublishedMixin:
    """Attributes and calls as published, with the same names, arguments and results."""

    config: Any
    generation_config: GenerationConfig
    generate_loop = staticmethod(steps)  # `custom_generate` for `generate`: yields each token as soon as it is known

    @property
    def quantized(self) -> bool:
        """Tell whether the linear layers hold packed weights."""
        return self.config.is_quantized

    def stream_generate(
        self,
        input_ids: Tensor,
        generation_config: GenerationConfig | None = None,
        logits_processor: LogitsProcessorList | None = None,
        stopping_criteria: StoppingCriteriaList | None = None,
        prefix_allowed_tokens_fn: Any | None = None,
        **kwargs: Any,
    ) -> Iterator[Tensor]:
        """`generate` as a stream: prompts and answers so far, [batch, tokens], after every token.

        As published the token that ends the last answer is not shown.

        Raises:
            UsageError: beams, whose answer is known only at their end.
        """
        check_streams({**kwargs, "generation_config": generation_config})
        tokens = self.generate(  # type: ignore[attr-defined]
            input_ids,
            generation_config=generation_config,
            logits_processor=logits_processor,
            stopping_criteria=stopping_criteria,
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            custom_generate=self.generate_loop,
            **kwargs,
        )
        return _grown(input_ids, tokens, stop_tokens(kwargs.get("eos_token_id", self.config.eos_token_id)))

    def quantize(self, bits: int, quantize_embeddings: bool = False, empty_init: bool = False, **_: Any) -> Self:
        """Pack the linear layers of the blocks in the published int8 or int4 format; embedding and head stay.

        Args:
            bits: 8 or 4; 0 changes nothing.
            empty_init: for the published loading code; here weights are always packed.

        Returns:
            the model itself.

        Raises:
            UsageError: other bits, or layers that are packed in another way already.
        """
        if bits not in (0, 4, 8) or isinstance(bits, bool):
            raise UsageError(f"quantize takes 4 or 8 bits, the published formats (got {bits!r}).")
        if quantize_embeddings:
            raise UsageError("quantize leaves embedding and head as they are: leave quantize_embeddings out.")
        if bits == 0:
            return self
        if self.quantized:
            if self.config.quantization_bit != bits or self.config.weight_format:
                raise UsageError("This model is quantised already: load the original to quantise it in another way.")
            log.info("Already quantised to %d bits.", bits)
            return self
        if (loaded := getattr(self, "fastglm", None)) and loaded.engine != "eager":
            raise UsageError("The fast engine runs this model: load the variant 'int8' or 'int4' instead.")
        names = self.config.architecture.tensors
        linears = [
            (block, path, block.get_submodule(path))
            for block in self.blocks  # type: ignore[attr-defined]
            for path in (*names.attention_in, names.attention_out, *names.mlp_in, names.mlp_out)
        ]
        if other := next((child for *_, child in linears if type(child) is not nn.Linear), None):
            raise UsageError(f"quantize packs plain linear layers, and this model has {type(other).__name__} in them.")
        if any(child.weight.is_meta for *_, child in linears):
            raise UsageError("Some weights are not in memory (device_map put them elsewhere): load all of them first.")
        if not all(torch.isfinite(child.weight.half()).all() for *_, child in linears):
            raise UsageError("Some weights are NaN or infinite in fp16, from which the published formats are made.")
        self.config.quantization_bit = bits
        for block, path, child in linears:
            block.set_submodule(path, packed(child, self.config.linear_format()))
        return self


def packed(linear: nn.Linear, format: WeightFormat) -> QuantizedLinear:
    """A linear layer with its weights in a format, which the published code rounds from fp16."""
    rows, columns = linear.weight.shape
    made = QuantizedLinear(format, columns, rows, bias=linear.bias is not None)
    made.set_parts(format.pack_blocks(linear.weight.detach().half()))
    made.bias = linear.bias
    return made.train(linear.training)


def _grown(ids: Tensor, tokens: Iterator[Tensor], ends: tuple[int, ...]) -> Iterator[Tensor]:
    """Prompts and answers so far, except the step in which all rows have ended by themselves."""
    stops = torch.tensor(ends, device=ids.device)
    ended = torch.zeros(len(ids), 1, dtype=torch.bool, device=ids.device)
    for token in tokens:
        ended |= torch.isin(token, stops)
        if ended.all():
            return
        ids = torch.cat((ids, token.to(ids.device)), -1)
        yield ids
