"""How far a variant's next-token probabilities are from those of the original, on the tokens of the same answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..models.chatglm import ChatGLMForConditionalGeneration
from ..models.packing import Batch
from .streamed import BestLogits


@dataclass(frozen=True, slots=True)
class Divergence:
    """Of every target, in the order of the batches."""

    kl: Tensor  # [targets], nats: KL(original ‖ variant)
    agrees: Tensor  # [targets], bool: the best token is the same
    losses: Tensor  # [targets], nats: the variant's cross-entropy

    @property
    def kl_divergence(self) -> float:
        """Mean nats per token."""
        return self.kl.mean().item()

    @property
    def top1_agreement(self) -> float:
        """Share of the tokens."""
        return self.agrees.float().mean().item()


@torch.inference_mode()
def divergence(
    model: ChatGLMForConditionalGeneration, batches: Sequence[Batch], original: Sequence[BestLogits]
) -> Divergence:
    """Compares a variant with what the original found for the same batches.

    All tokens beyond the original's best ones count as one: what this gives is at most the full divergence (the
    log-sum inequality: Cover and Thomas, Elements of Information Theory, theorem 2.7.1), and equal to it where the
    best are the whole vocabulary.

    Raises:
        UsageError: the two have different vocabularies.
    """
    parts = [_compare(_logits(model, batch), batch, found) for batch, found in zip(batches, original, strict=True)]
    return Divergence(*(torch.cat(found) for found in zip(*parts, strict=True)))


def _logits(model: ChatGLMForConditionalGeneration, batch: Batch) -> Tensor:
    placed = batch.to(model.device)
    hidden = model.transformer(placed.input_ids, placed.position_ids, placed.attention_mask).last_hidden_state
    return model.lm_head(hidden.flatten(0, 1)[placed.predicting]).float()


def _compare(logits: Tensor, batch: Batch, original: BestLogits) -> tuple[Tensor, Tensor, Tensor]:
    tokens = original.tokens.to(logits.device, torch.long)
    if tokens.max() >= logits.shape[-1]:
        raise UsageError("The variant's vocabulary is not the original's: their probabilities cannot be compared.")
    p = (original.logits - original.total[:, None]).double().to(logits.device)
    q = (logits.gather(-1, tokens) - logits.logsumexp(-1, keepdim=True)).double()
    kl = (p.exp() * (p - q)).sum(-1)
    p_rest, q_rest = ((1 - known.exp().sum(-1)).clamp(min=1e-12) for known in (p, q))
    kl += p_rest * (p_rest / q_rest).log()
    losses = F.cross_entropy(logits, batch.targets.to(logits.device), reduction="none")
    return kl.clamp(min=0).float().cpu(), (logits.argmax(-1) == tokens[:, 0]).cpu(), losses.cpu()
