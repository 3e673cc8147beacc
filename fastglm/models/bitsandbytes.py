"""Linear layers of bitsandbytes in a model, created by transformers' own quantizer as in `from_pretrained`.

int8 is LLM.int8() (Dettmers et al., arXiv 2208.07339) with its threshold of 6; nf4 is the data type of QLoRA (Dettmers
et al., arXiv 2305.14314) in blocks of 64, one fp32 scale each. Head and embedding stay in floating point.
"""

import logging
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import UsageError

Form = Literal["int8", "nf4"]


def replace_linears(model: Any, form: Form, device: torch.device, dtype: torch.dtype) -> None:
    """Replace the linear layers of a model on the meta device, not filled yet, by those of bitsandbytes.

    Args:
        dtype: of the activations; nf4 multiplies in it.

    Raises:
        UsageError: bitsandbytes does not work here.
    """
    from transformers import BitsAndBytesConfig
    from transformers.quantizers import AutoHfQuantizer

    config = BitsAndBytesConfig(load_in_8bit=True)
    if form == "nf4":
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    quantizer = AutoHfQuantizer.from_config(config, pre_quantized=False)
    try:
        quantizer.validate_environment(device_map={"": device})
    except (ImportError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"bitsandbytes cannot be used here ({reason}).") from error
    quantizer.preprocess_model(model, dtype=dtype, device_map={"": device})
    model.hf_quantizer = quantizer
    quantizer.postprocess_model(model)
    # At every product bitsandbytes reports a cast to fp16, which takes longer than the cast.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)


def quantise(place: nn.Parameter, weight: Tensor, device: torch.device) -> nn.Parameter:
    """The packed weight for a parameter of a layer from `replace_linears`. weight: floating point."""
    make: Any = type(place)
    return make(weight.cpu(), requires_grad=False, **vars(place)).to(device)  # packed while it moves from the CPU


def planned_bytes(place: Tensor) -> int | None:
    """Bytes of a weight with its scales after packing; None if it stays in floating point."""
    match type(place).__name__:
        case "Int8Params":
            return place.numel() + 4 * place.shape[0]
        case "Params4bit":
            return -(-place.numel() // 2) + 4 * -(-place.numel() // getattr(place, "blocksize", 64)) + 4 * 16
    return None


def scales(layer: Any) -> list[Tensor]:
    """Tensors of a layer beside its packed weight: its scales, and the 16 values of nf4."""
    weight = layer._parameters.get("weight")
    found: list[Tensor | None] = []
    if type(weight).__name__ == "Int8Params":
        found = [weight.SCB, layer.state.SCB]  # in one of two places, depending on whether the layer has been used
    elif type(weight).__name__ == "Params4bit":
        found = [weight.quant_state.absmax, weight.quant_state.code]
    return [tensor for tensor in found if tensor is not None]


def count(parameter: nn.Parameter) -> int:
    """Number of weights in a parameter; nf4 packs two into a byte."""
    state = getattr(parameter, "quant_state", None)
    return state.shape.numel() if state else parameter.numel()
