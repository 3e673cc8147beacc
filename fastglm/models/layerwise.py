"""A model run layer by layer, its weights read from disk as they are needed: quality without room for the model.

Every layer is read once for many texts, so that reading is small beside calculating. What was read of a file is let go
with it: a file is opened anew for every layer, and for every part of the head.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from ..errors import CheckpointError
from ..evaluate.head import FinalStates, Head
from .chatglm.block import Block
from .chatglm.model import ChatGLMForConditionalGeneration
from .checkpoint import EMBEDDING, LAYER, NORM, Checkpoint
from .packing import Batch


@dataclass(frozen=True, slots=True)
class Passage:
    """Rows of tokens that pass through the layers together."""

    input_ids: Tensor  # [rows, tokens]
    position_ids: Tensor  # [rows, 2, tokens]
    attention_mask: Tensor  # [rows, 1, tokens, total], True where attended
    cache: Cache | None = None  # keys and values of the tokens before, which those of these are added to

    def to(self, device: torch.device) -> "Passage":
        """The same on another device."""
        return Passage(
            self.input_ids.to(device), self.position_ids.to(device), self.attention_mask.to(device), self.cache
        )


class StreamedModel:
    """A checkpoint's weights as published, one layer in memory at a time."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        """Raises CheckpointError for a quantised checkpoint, whose weights are small enough to be loaded."""
        if checkpoint.config.linear_format():
            raise CheckpointError(f"{checkpoint.folder} is quantised: load it, it is small.")
        self.checkpoint, self.device, self.dtype = checkpoint, device, dtype
        self.head = Head(checkpoint)
        with torch.device("meta"):
            self.empty = ChatGLMForConditionalGeneration(checkpoint.config)  # what it knows without its weights

    @torch.inference_mode()
    def finals(
        self, batches: Sequence[Batch], on_layer: Callable[[int, int], None] | None = None, head: Head | None = None
    ) -> FinalStates:
        """The last states of every predicting token of all batches, in their order.

        Args:
            on_layer: told after each layer how many are done, and of how many; the head counts as one.
            head: of some tokens only, by whose numbers in it the targets then go.
        """
        passages = [Passage(batch.input_ids, batch.position_ids, batch.attention_mask) for batch in batches]
        states = self._states(passages, on_layer)
        norm = self._final_norm()
        predicting = [
            norm(state.flatten(0, 1)[batch.predicting.to(self.device)])
            for state, batch in zip(states, batches, strict=True)
        ]
        del states
        targets = torch.cat([batch.targets for batch in batches]).to(self.device)
        found = (head or self.head).finals(torch.cat(predicting), targets)
        if on_layer:
            on_layer(self.checkpoint.config.num_layers + 1, self.checkpoint.config.num_layers + 1)
        return found

    @torch.inference_mode()
    def next_tokens(self, passages: Sequence[Passage]) -> list[Tensor]:
        """The likeliest token after every row of every passage, [rows] each."""
        states = self._states(passages)
        last = self._final_norm()(torch.cat([state[:, -1] for state in states]))
        anything = torch.zeros(len(last), dtype=torch.long, device=self.device)
        return list(self.head.finals(last, anything).best.long().split([len(state) for state in states]))

    def _states(self, passages: Sequence[Passage], on_layer: Callable[[int, int], None] | None = None) -> list[Tensor]:
        """What the layers make of each passage, [rows, tokens, hidden size]."""
        table = self.read(EMBEDDING)
        states = [table[passage.input_ids.cpu()].to(self.device, self.dtype) for passage in passages]
        del table
        layers = self.checkpoint.config.num_layers
        for layer in range(layers):
            self._run(layer, passages, states)
            if on_layer:
                on_layer(layer + 1, layers + 1)
        return states

    def _run(self, layer: int, passages: Sequence[Passage], states: list[Tensor]) -> None:
        """One layer over all states, in place; its weights are let go at the end."""
        block = self.block(layer)
        for number, passage in enumerate(passages):
            placed = passage.to(self.device)
            rotation = self.empty.transformer.rotary(
                placed.position_ids, placed.attention_mask.shape[-1] + 1, self.dtype
            )
            states[number] = block(states[number], rotation, placed.attention_mask, placed.cache)

    def _final_norm(self) -> nn.Module:
        config = self.checkpoint.config
        return self.filled(nn.LayerNorm(config.hidden_size, eps=config.layernorm_epsilon, device="meta"), NORM)

    def block(self, layer: int) -> nn.Module:
        """A layer with its weights."""
        with torch.device("meta"):
            block = Block(self.checkpoint.config, layer)
        return self.filled(block, LAYER.format(layer))

    def filled(self, module: nn.Module, prefix: str) -> nn.Module:
        """The module with its weights, read under `prefix`."""
        weights = self.checkpoint.named([prefix + name for name, _ in module.named_parameters()])
        state = {
            name: weights.pop(prefix + name).to(self.device, self.dtype)
            for name in list(dict(module.named_parameters()))
        }
        module.load_state_dict(state, assign=True)
        return module.eval()

    def read(self, name: str) -> Tensor:
        """A tensor as it is stored, mapped from its file where that is possible."""
        return self.checkpoint.named([name])[name]
