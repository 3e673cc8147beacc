"""Layer-by-layer runs of a model whose weights are read from disk when needed: quality without memory for the model.

Every layer is read once for many texts, so reading takes little time beside computing. A file's memory is released with
its tensors: a file is opened again for every layer, and for every part of the head.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from ..system.devices import default_dtype
from .checkpoint import Checkpoint
from .head import FinalStates, Head
from .language_model import BaseBlock
from .packing import Batch, Passage
from .prefix import PrefixEncoder, prefixed

M = TypeVar("M", bound=nn.Module)
Watch = Mapping[nn.Module, Callable[[Tensor], None]]
Where = tuple[Any, Tensor | None, Any]  # rotation, mask and cache of a passage, as a layer takes them


class LayerwiseModel:
    """A checkpoint's weights as published, one layer in memory at a time."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype | None = None) -> None:
        """Read nothing yet.

        Args:
            dtype: of weights and states; None: the device's own.

        Raises:
            CheckpointError: the checkpoint is quantized, so its weights are small enough to be loaded.
        """
        if checkpoint.config.is_quantized:
            raise CheckpointError(f"{checkpoint.folder} is quantised: load it, it is small.")
        self.checkpoint, self.device = checkpoint, device
        self.dtype = dtype or default_dtype(device)
        self.head = Head(checkpoint)
        with torch.device("meta"):
            self.empty = checkpoint.config.architecture.model_class(checkpoint.config)  # facts that need no weights

    @torch.inference_mode()
    def finals(
        self, batches: Sequence[Batch], on_layer: Callable[[int, int], None] | None = None, head: Head | None = None
    ) -> FinalStates:
        """The last states of every predicting token of all batches, in order.

        Args:
            on_layer: called after each layer with the number of finished layers and of all; the head counts as one.
            head: restricted to some tokens; the targets are then numbers in it.
        """
        found = self.results(batches, self._states(batches, on_layer), head)
        if on_layer:
            on_layer(self.checkpoint.config.layers + 1, self.checkpoint.config.layers + 1)
        return found

    @torch.inference_mode()
    def next_tokens(self, passages: Sequence[Passage]) -> list[Tensor]:
        """The likeliest token after every row of every passage, [rows] each."""
        states = self._states(passages)
        last = self.norm()(torch.cat([state[:, -1] for state in states]))
        anything = torch.zeros(len(last), dtype=torch.long, device=self.device)
        return list(self.head.finals(last, anything).best.long().split([len(state) for state in states]))

    @torch.inference_mode()
    def results(self, batches: Sequence[Batch], states: list[Tensor], head: Head | None = None) -> FinalStates:
        """The results of norm and head for the states after the last layer, which are released. `head`: as for
        `finals`.
        """
        norm = self.norm()
        predicting = [
            norm(state.flatten(0, 1)[batch.predicting.to(self.device)])
            for state, batch in zip(states, batches, strict=True)
        ]
        states.clear()
        targets = torch.cat([batch.targets for batch in batches]).to(self.device)
        return (head or self.head).finals(torch.cat(predicting), targets)

    def embed(self, passages: Sequence[Passage]) -> list[Tensor]:
        """States before the first layer, [rows, tokens, hidden size] of each passage."""
        table = self.read(self.checkpoint.names.ends[0])
        return [table[passage.input_ids.cpu()].to(self.device, self.dtype) for passage in passages]

    def run(
        self, block: nn.Module, passages: Sequence[Passage], states: Sequence[Tensor], watch: Watch | None = None
    ) -> list[Tensor]:
        """States after a layer, from those before it; arguments as of `step`."""
        return [self.step(block, *each, watch) for each in zip(passages, states, strict=True)]

    @torch.inference_mode()
    def step(self, block: nn.Module, passage: Passage, state: Tensor, watch: Watch | None = None) -> Tensor:
        """States of one passage after a layer.

        Args:
            watch: by linear layer, a function that gets its inputs, [tokens, columns] without the padding.
        """
        placed = passage.to(self.device)
        real = placed.input_ids.ne(self.checkpoint.pad)
        with ExitStack() as hooks:
            for module, see in (watch or {}).items():
                hooks.enter_context(module.register_forward_pre_hook(lambda _, x, see=see: see(x[0][real])))
            return block(state, *self.where(placed))

    def where(self, passage: Passage) -> Where:
        """Rotation, mask and cache of a passage, as a layer takes them."""
        length = passage.attention_mask.shape[-1] + 1
        rotation = self.empty.rotary(passage.position_ids, length, self.dtype)
        return rotation, *prefixed(self._prefix_encoder, passage.attention_mask, passage.cache)

    def _states(self, passages: Sequence[Passage], on_layer: Callable[[int, int], None] | None = None) -> list[Tensor]:
        """States after all layers; the weights of each are released before the next."""
        states = self.embed(passages)
        layers = self.checkpoint.config.layers
        for layer in range(layers):
            block = self.block(layer)
            for number, passage in enumerate(passages):
                states[number] = self.step(block, passage, states[number])
            del block
            if on_layer:
                on_layer(layer + 1, layers + 1)
        return states

    def block(self, layer: int) -> BaseBlock:
        """A layer with its weights."""
        with torch.device("meta"):
            block = self.checkpoint.config.architecture.block_class(self.checkpoint.config, layer)
        return self._filled(block, self.checkpoint.names.layer(layer))

    def norm(self) -> nn.Module:
        """The norm after the last layer."""
        return self._filled(deepcopy(self.empty.final_norm), f"{self.checkpoint.names.final_norm}.")

    def read(self, name: str) -> Tensor:
        """A tensor as it is stored, mapped from its file if possible."""
        return self.checkpoint.named([name])[name]

    @cached_property
    def _prefix_encoder(self) -> PrefixEncoder | None:
        encoder = self.empty.prefix_encoder
        return encoder and self._filled(deepcopy(encoder), f"{self.checkpoint.names.prefix}.")

    def _filled(self, module: M, prefix: str) -> M:
        """The module with its weights, read under `prefix`."""
        names = [name for name, _ in module.named_parameters()]
        weights = self.checkpoint.named([prefix + name for name in names])
        state = {name: weights.pop(prefix + name).to(self.device, self.dtype) for name in names}
        module.load_state_dict(state, assign=True)
        return module.requires_grad_(False).eval()
