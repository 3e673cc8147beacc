"""The loop of transformers' `generate`, as a generator."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from ..errors import NumbersError


def steps(
    model: Any,
    input_ids: Tensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    draw: Callable[[Tensor, Tensor], Tensor] | None = None,
    **model_kwargs: Any,
) -> Iterator[Tensor]:
    """The loop for `generate`'s argument `custom_generate`, which yields each token as soon as it is known.

    Args:
        input_ids: [batch, tokens].
        draw: the next tokens, [batch, 1], from processed scores and logits, [batch, vocabulary] each; None: by the
        config.

    Yields:
        the next token of each row, [batch, 1]; padding for an ended row.

    Raises:
        NumbersError: logits are NaN or infinite.
    """
    draw = draw or (_sampled if generation_config.do_sample else _best)
    step: dict[str, Any] = {"is_first_iteration": True}
    ended = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
    while not ended.all():
        # Entered anew each time: the consumer of this generator must not run in inference mode.
        with torch.inference_mode():
            inputs = model.prepare_inputs_for_generation(input_ids, **step, **model_kwargs)
            outputs = model(**inputs, return_dict=True)
            model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)
            logits = outputs.logits[:, -1].float()
            largest = logits.amax(-1, keepdim=True)
            # NaN gives no distribution to draw from.
            finite = largest - largest == 0
            logits = logits.where(finite, 0.0)
            token = draw(logits_processor(input_ids, logits), logits)
            is_known = ended | finite[:, 0]
            if len(ended) > 1:
                token = token.masked_fill(ended[:, None], model.config.pad_token_id)
            input_ids = torch.cat((input_ids, token), -1)
            ended = ended | stopping_criteria(input_ids, None)
            if not is_known.all():
                raise NumbersError
        yield token
        step = {"next_sequence_length": 1} if model_kwargs.get("use_cache", True) else {}


def _best(scores: Tensor, _logits: Tensor) -> Tensor:
    return scores.argmax(-1, keepdim=True)


def _sampled(scores: Tensor, _logits: Tensor) -> Tensor:
    return torch.multinomial(scores.softmax(-1), 1)
