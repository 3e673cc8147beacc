"""Attention masks and labels from callers: converted into one form, or refused in one line."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError

IGNORED = -100  # a label without a loss
_HIDES = -10000  # the largest value of a floating-point mask at hidden places: as published, and in transformers


def holds(condition: Tensor) -> bool:
    """Tell whether a condition is true everywhere; assumed if there are only shapes."""
    return condition.is_meta or bool(condition.all())


def check_left_padding(input_ids: Tensor, mask: Tensor | None) -> Tensor:
    """The tokens that are not padding, [batch, sequence].

    Args:
        input_ids: [batch, sequence].
        mask: [batch, sequence], 0 on the padding at the left; None without padding.

    Raises:
        UsageError: there is padding on the right.
    """
    if mask is None:
        return torch.ones_like(input_ids, dtype=torch.bool)
    if not holds(mask[:, -1] != 0):
        raise UsageError(
            "Answers follow the last token of each row, so that padding must be on the left: tokenize with "
            "padding_side='left'."
        )
    return mask != 0


def causal(real: Tensor, seen_by_all: Tensor | None = None) -> Tensor:
    """The mask of rows from their tokens, [batch, 1, sequence, sequence], True where attended.

    Rows of the padding see themselves, so that no softmax is over nothing.

    Args:
        real: [batch, sequence], False on padding.
        seen_by_all: [batch, sequence], True for a token that those before it see too.
    """
    length = real.shape[1]
    allowed = torch.ones(length, length, dtype=torch.bool, device=real.device).tril_()  # in place: it may be large
    if seen_by_all is not None:
        allowed = allowed | seen_by_all[:, None]
    seen = allowed & real[:, None]
    seen.diagonal(0, 1, 2).fill_(True)
    return seen[:, None]


def real_columns(mask: Tensor, batch: int, columns: int) -> Tensor:
    """Convert a two-dimensional mask to [batch, columns], False on padding, wherever the padding is.

    Raises:
        UsageError: another shape, or values with no clear meaning.
    """
    if mask.shape != (batch, columns):
        raise UsageError(
            f"attention_mask has the shape {list(mask.shape)}: it must be [{batch}, {columns}], 1 for each token "
            "(those in past_key_values too) and 0 for padding, or have four dimensions."
        )
    if mask.dtype == torch.bool:
        return mask
    if not holds((mask == 0) | (mask == 1)):
        raise UsageError("An attention_mask of two dimensions is 1 for each token and 0 for padding, and nothing else.")
    return mask == 1


def attended(mask: Tensor, batch: int, length: int, columns: int) -> tuple[Tensor, Tensor | None]:
    """Convert a four-dimensional mask to bool, True where attended, and derive which new tokens are real.

    Accepted forms: True where attended; True where hidden, as published (`get_masks`); and numbers that are added to
    scores, 0 where attended. The tokens themselves distinguish the two bool forms: each token sees itself, and no other
    token sees padding.

    Args:
        mask: [batch or 1, 1, length, columns]; the new tokens are the last `length` columns.

    Returns:
        the mask, in which every token sees at least one; and [batch, length], False on padding, None without padding.

    Raises:
        UsageError: another shape, type or form.
    """
    if mask.shape[1:] != (1, length, columns) or mask.shape[0] not in (1, batch):
        raise UsageError(
            f"attention_mask has the shape {list(mask.shape)}: with four dimensions it must be "
            f"[{batch}, 1, {length}, {columns}]."
        )
    if mask.is_floating_point():
        if not holds((mask == 0) | (mask <= _HIDES)):
            raise UsageError(
                "An attention_mask of floating-point numbers is added to the scores: 0 where attended, -10000 or less "
                "where hidden. For other masks use bool, True where attended."
            )
        return _seeing(mask == 0, batch)
    if mask.dtype != torch.bool:
        raise UsageError(
            f"attention_mask is of {mask.dtype}: with four dimensions it must be bool, True where attended."
        )
    sees_itself = _own_columns(mask)
    if holds(sees_itself):
        return mask, None
    forms = [form for form in (mask, ~mask) if _hides_padding(form)]
    if not bool(sees_itself.any()):
        forms = [~mask]
    if len(forms) != 1:
        raise UsageError(
            "attention_mask hides some tokens from themselves, so that its meaning is not clear: use True where "
            "attended, with every token seeing itself."
        )
    return _seeing(forms[0], batch)


def _own_columns(mask: Tensor) -> Tensor:
    """The diagonal of the new tokens, [batch, length], in a mask [batch, 1, length, columns]."""
    return mask[:, 0].diagonal(mask.shape[-1] - mask.shape[-2], 1, 2)


def _hides_padding(mask: Tensor) -> bool:
    """Tell whether no token sees a token that does not see itself."""
    new = mask[:, 0, :, mask.shape[-1] - mask.shape[-2] :]
    return not bool((new & ~_own_columns(mask)[:, None]).any())


def _seeing(mask: Tensor, batch: int) -> tuple[Tensor, Tensor | None]:
    """Let tokens that see nothing see themselves, so that no softmax is over nothing."""
    length, columns = mask.shape[2:]
    own = F.pad(torch.eye(length, dtype=torch.bool, device=mask.device), (columns - length, 0))
    real = _own_columns(mask).expand(batch, -1)
    return mask | (own & ~mask.any(-1, keepdim=True)), None if holds(real) else real


def real_tokens(mask: Tensor | None, batch: int, length: int) -> Tensor | None:
    """Derive from a mask which new tokens are real: [batch, length], False on padding; None if the mask does not
    tell.
    """
    if mask is None:
        return None
    if mask.ndim == 2:
        return real_columns(mask, batch, mask.shape[1])[:, -length:]
    return attended(mask, batch, length, mask.shape[-1])[1]


def next_labels(labels: Tensor, real: Tensor | None) -> Tensor:
    """The label that each token predicts, [batch, length]: the label of the next token that is not padding.

    Padding predicts nothing and is never predicted, whatever its label.

    Args:
        labels: [batch, length].
        real: [batch, length], False on padding; None without padding.
    """
    labels = F.pad(labels, (0, 1), value=IGNORED)
    if real is None:
        return labels[:, 1:]
    length = real.shape[1]
    column = torch.where(real, torch.arange(length, device=real.device), length)
    following = F.pad(column.flip(-1).cummin(-1).values.flip(-1)[:, 1:], (0, 1), value=length)
    return labels.gather(1, following).masked_fill(~real, IGNORED)
