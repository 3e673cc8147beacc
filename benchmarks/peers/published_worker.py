"""Run the published code in the Python with its transformers: uses the standard library, torch and transformers only.

The first line of JSON on standard input says what to build, each later one asks for an answer; each token is one line
of output.
"""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

sys.path.pop(0)  # this folder: its modules have the names of libraries


def main() -> None:
    """Build, then answer until the input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of the code must not look like a reply
    import torch
    import transformers

    def reply(**what: Any) -> None:
        replies.write(json.dumps(what) + "\n")
        replies.flush()

    order = json.loads(sys.stdin.readline())
    torch.set_num_threads(order["threads"])
    model = build(order)
    reply(notes=["published code", "transformers " + transformers.__version__, "torch " + torch.__version__])
    for line in sys.stdin:
        asked = json.loads(line)
        for token in answer(model, asked["prompt"], asked["tokens"]):
            reply(token=token)


def build(order: Any) -> Any:
    """Build the model with random weights, in fp32.

    The code is trusted: the user named it with --published to be measured. No other code is run.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    sizes = order["sizes"]
    config = AutoConfig.from_pretrained(order["code"], trust_remote_code=True)
    config.num_layers, config.hidden_size = sizes["layers"], sizes["hidden"]
    config.num_attention_heads, config.inner_hidden_size = sizes["heads"], sizes["inner"]
    config.vocab_size, config.max_sequence_length = sizes["vocabulary"], sizes["context"]
    config.quantization_bit, config.pre_seq_len = 0, None
    for name, token in order["special"].items():
        setattr(config, name, token)
    model = AutoModel.from_config(config, trust_remote_code=True).float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                weight.normal_(0, 0.02)
            else:
                weight.fill_(float("layernorm.weight" in name))
    return model


def answer(model: Any, prompt: "list[int]", tokens: int) -> "Iterator[int]":
    """Yield greedy tokens through the published streaming."""
    import torch

    ids = torch.tensor([prompt])
    # The published code ends before the last token that max_length allows, and at a token that no model gives.
    settings = {"max_length": len(prompt) + tokens + 1, "do_sample": False, "eos_token_id": -1}
    for count, so_far in enumerate(model.stream_generate(ids, **settings), 1):
        yield int(so_far[0, -1])
        if count == tokens:
            return


if __name__ == "__main__":
    main()
