"""A model run layer by layer, its weights read from disk as they are needed: quality without room for the model.

Every layer is read once for many texts, so that reading is small beside calculating; of the head, rows come in parts.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from ..models.chatglm import Block
from ..models.checkpoint import Checkpoint
from ..models.packing import Batch
from ..models.rotary import Rotary2D

HEAD_ROWS = 8192  # of the head at once
LAYER = "transformer.layers.{}."
EMBEDDING, NORM, HEAD = "transformer.word_embeddings.weight", "transformer.final_layernorm.", "lm_head.weight"


@dataclass(frozen=True, slots=True)
class BestLogits:
    """Of the tokens that predict: the largest logits, and what all of them come to."""

    tokens: Tensor  # [targets, best], int32: the tokens with the largest logits
    logits: Tensor  # [targets, best], float32, descending
    total: Tensor  # [targets], float32: log of the sum of exp over the whole vocabulary
    target: Tensor  # [targets], float32: the logit of the token that should come

    @property
    def losses(self) -> Tensor:
        """Cross-entropy of each target, [targets], in nats."""
        return self.total - self.target


class StreamedModel:
    """A checkpoint's weights as published, one layer in memory at a time."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        """Raises CheckpointError for a quantised checkpoint, whose weights are small enough to be loaded."""
        if checkpoint.config.linear_format():
            raise CheckpointError(f"{checkpoint.folder} is quantised: load it, it is small.")
        self.checkpoint, self.device, self.dtype = checkpoint, device, dtype

    @torch.inference_mode()
    def best_logits(
        self, batches: Sequence[Batch], best: int, on_layer: Callable[[int, int], None] | None = None
    ) -> list[BestLogits]:
        """The `best` largest logits of every predicting token of every batch.

        Args:
            on_layer: told after each layer how many are done, and of how many; the head counts as one.
        """
        config = self.checkpoint.config
        table = self.read(EMBEDDING)
        states = [table[batch.input_ids].to(self.device, self.dtype) for batch in batches]
        del table
        rotary = Rotary2D(int(config.head_dim or 0), config.max_sequence_length + 1)
        for layer in range(config.num_layers):
            block = self.block(layer)
            for number, batch in enumerate(batches):
                placed = batch.to(self.device)
                rotation = rotary(placed.position_ids, placed.input_ids.shape[1] + 1, self.dtype)
                states[number] = block(states[number], rotation, placed.attention_mask, None)
            if on_layer:
                on_layer(layer + 1, config.num_layers + 1)
        norm = self.filled(nn.LayerNorm(config.hidden_size, eps=config.layernorm_epsilon, device="meta"), NORM)
        predicting = [
            norm(state).flatten(0, 1)[batch.predicting.to(self.device)]
            for state, batch in zip(states, batches, strict=True)
        ]
        found = self._head(torch.cat(predicting), torch.cat([batch.targets for batch in batches]).to(self.device), best)
        if on_layer:
            on_layer(config.num_layers + 1, config.num_layers + 1)
        sizes = [len(batch.targets) for batch in batches]
        parts = zip(*(part.split(sizes) for part in found), strict=True)
        return [BestLogits(*part) for part in parts]

    def block(self, layer: int) -> nn.Module:
        """A layer with its weights."""
        with torch.device("meta"):
            block = Block(self.checkpoint.config, layer)
        return self.filled(block, LAYER.format(layer))

    def filled(self, module: nn.Module, prefix: str) -> nn.Module:
        """The module with its weights, read under `prefix`."""
        names = [name for name, _ in module.named_parameters()]
        weights = self.checkpoint.named([prefix + name for name in names])
        state = {name: weights[prefix + name].to(self.device, self.dtype) for name in names}
        module.load_state_dict(state, assign=True)
        return module.eval()

    def _head(self, hidden: Tensor, targets: Tensor, best: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """tokens, logits, total and target of `BestLogits` for `hidden` [targets, hidden size]."""
        count = len(hidden)
        tokens = torch.empty(count, 0, dtype=torch.long, device=self.device)
        logits = torch.empty(count, 0, device=self.device)
        total = torch.full((count,), -torch.inf, device=self.device)
        target = torch.empty(count, device=self.device)
        for first, rows in self._head_rows():
            part = (hidden @ rows.to(self.device, self.dtype).T).float()
            total = torch.logaddexp(total, part.logsumexp(-1))
            inside = (targets >= first) & (targets < first + part.shape[1])
            target[inside] = part[inside].gather(-1, (targets[inside] - first)[:, None])[:, 0]
            here = torch.arange(first, first + part.shape[1], device=self.device).expand_as(part)
            logits, order = torch.cat((logits, part), -1).topk(min(best, logits.shape[1] + part.shape[1]))
            tokens = torch.cat((tokens, here), -1).gather(-1, order)
        return tokens.int(), logits, total, target

    def _head_rows(self) -> Iterator[tuple[int, Tensor]]:
        """The head's rows in parts, each with the number of its first row."""
        name = EMBEDDING if self.checkpoint.config.tie_word_embeddings else HEAD
        head = self.read(name)
        for first in range(0, len(head), HEAD_ROWS):
            yield first, head[first : first + HEAD_ROWS]

    def read(self, name: str) -> Tensor:
        """A tensor as it is stored, mapped from its file where that is possible."""
        return self.checkpoint.named([name])[name]
