"""Divergence of a variant's next-token probabilities from the original's, on the tokens of the same answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..models.head import FinalStates, Head
from ..models.language_model import LanguageModel
from ..models.packing import Batch
from .arithmetic import Arithmetic, scoring
from .likelihood import losses, target_logits

PRECISELY_AT_ONCE = 32  # targets whose probabilities over the whole vocabulary are in memory in fp64 at once


@dataclass(frozen=True, slots=True)
class Divergence:
    """Figures of every target, in the order of the batches."""

    kl: Tensor  # [targets], nats: KL(original ‖ variant)
    agrees: Tensor  # [targets], bool: equal best token, the first of equals
    losses: Tensor  # [targets], nats: the variant's cross-entropy

    @property
    def kl_divergence(self) -> float:
        """Mean nats per token."""
        return self.kl.double().mean().item()

    @property
    def top1_agreement(self) -> float:
        """Share of the tokens."""
        return self.agrees.double().mean().item()


@torch.inference_mode()
def divergence(
    model: LanguageModel,
    batches: Sequence[Batch],
    original: FinalStates,
    head: Head,
    arithmetic: Arithmetic = Arithmetic.exact,
) -> Divergence:
    """Compare a variant with the original's final states for the same batches, over the whole vocabulary.

    The original's logits are computed again, in fp32, from its last states and its own head; a variant's by its own
    head, packed or not.

    Raises:
        UsageError: the two have different vocabularies.
    """
    if model.config.vocab_size != head.size:
        raise UsageError("The variant's vocabulary is not the original's: their probabilities cannot be compared.")
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with scoring(model, arithmetic):
        for batch, finals in zip(batches, original.split([len(batch.targets) for batch in batches]), strict=True):
            parts += _compare(model, batch.to(model.device), finals, head)
    return Divergence(*(torch.cat(found) for found in zip(*parts, strict=True)))


def _compare(
    model: LanguageModel, batch: Batch, original: FinalStates, head: Head
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """KL, agreement and losses, some targets at a time."""
    for logits, targets, states, best in target_logits(model, batch, original.states, original.best):
        kl = _kl(head.logits(states.float()), logits)
        yield kl.float().cpu(), (logits.argmax(-1) == best).cpu(), losses(logits, targets).cpu()


def _kl(original: Tensor, variant: Tensor) -> Tensor:
    """KL of each row of logits [targets, vocabulary], in fp64 where the device has that."""
    precise = torch.float32 if original.device.type == "mps" else torch.float64
    pairs = zip(original.split(PRECISELY_AT_ONCE), variant.split(PRECISELY_AT_ONCE), strict=True)
    logs = ((p.to(precise).log_softmax(-1), q.to(precise).log_softmax(-1)) for p, q in pairs)
    return torch.cat([F.kl_div(q, p, reduction="none", log_target=True).sum(-1) for p, q in logs]).clamp(min=0)
