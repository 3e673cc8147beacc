"""The reference for batches: each sample alone, with positions and mask written down plainly."""

from typing import Any

import torch
import torch.nn.functional as F
from recorded import expected
from torch import Tensor

SOP, GMASK, PAD = 89, 86, 3
CASES = expected("chatglm")["generate"]
SAMPLES = [case["input_ids"] + case["new_ids"][:size] for case, size in zip(CASES, (4, 7, 2), strict=True)]


def inputs_of(ids: list[int]) -> dict[str, Tensor]:
    """Inputs of the model for a sample: ids, positions, and a mask that is True for attended tokens."""
    context, anchor, count = ids.index(SOP), ids.index(GMASK), len(ids)
    positions = [[i if i < context else anchor for i in range(count)], [max(i - context + 1, 0) for i in range(count)]]
    sees = [[column < context or column <= row for column in range(count)] for row in range(count)]
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": torch.tensor([[sees]]),
    }


def logits_of(model: Any, ids: list[int]) -> Tensor:
    """Logits of a sample, [tokens, vocabulary]."""
    return model(**inputs_of(ids)).logits[0]


def loss_of(model: Any, samples: list[list[int]], skip: int = 0) -> Tensor:
    """The mean loss over all next tokens, except the first `skip` of each sample."""
    losses = [
        F.cross_entropy(logits_of(model, ids)[:-1].float(), torch.tensor(ids[1:]), reduction="none")[skip:]
        for ids in samples
    ]
    return torch.cat(losses).mean()


def padded(samples: list[list[int]], where: str) -> tuple[Tensor, Tensor]:
    """A batch of samples, and a mask that is 1 for tokens, with padding to the left, right, on both sides or within."""
    longest = max(map(len, samples)) + (where == "both")
    rows, masks = [], []
    for number, ids in enumerate(samples):
        missing = longest - len(ids)
        left = {"left": missing, "right": 0, "both": (missing + 1) // 2, "within": 0}[where]
        cut = 2 + number if where == "within" else 0
        rows.append(ids[:cut] * (cut > 0) + [PAD] * (left or missing * (where == "within")) + ids[cut:])
        masks.append([1] * cut + [0] * (len(rows[-1]) - len(ids)) + [1] * (len(ids) - cut))
        rows[-1] += [PAD] * (longest - len(rows[-1]))
        masks[-1] += [0] * (longest - len(masks[-1]))
    return torch.tensor(rows), torch.tensor(masks)
