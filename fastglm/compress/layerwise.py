"""Calibration examples on their way through a checkpoint, of which one layer is in memory at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..evaluate.head import Head
from ..models.chatglm.block import Block
from ..models.chatglm.rotary import Rotary2D
from ..models.checkpoint import EMBEDDING, LAYER, NORM, Checkpoint
from ..models.packing import Batch, Example, pack
from ..system.devices import resolve_device
from .calibration import ROW

ROWS = 8  # of `ROW` tokens, that run together

M = TypeVar("M", bound=nn.Module)
Watch = Mapping[nn.Module, Callable[[Tensor], None]]


def read_block(checkpoint: Checkpoint, layer: int, device: torch.device, dtype: torch.dtype) -> Block:
    """A layer with its weights."""
    with torch.device("meta"):
        block = Block(checkpoint.config, layer)
    return _filled(block, checkpoint, LAYER.format(layer), device, dtype)


class Walk:
    """Examples in rows, and what the layers make of them: `states`, [rows, tokens, hidden size] of each batch."""

    def __init__(self, checkpoint: Checkpoint, examples: Sequence[Example], device: str = "auto") -> None:
        """Raises DeviceError: the device is not there."""
        self.checkpoint, self.device = checkpoint, resolve_device(device)
        self.dtype = torch.float32 if self.device.type == "cpu" else torch.float16
        pad = checkpoint.config.pad_token_id
        assert pad is not None  # set by the config
        self.pad = pad
        self.batches = [batch.to(self.device) for batch in _batches(examples, pad)]
        self.rotary = Rotary2D(int(checkpoint.config.head_dim or 0), ROW + 1)

    def real(self, batch: Batch) -> Tensor:
        """[rows, tokens], False on the padding."""
        return batch.input_ids.ne(self.pad)

    def embed(self) -> list[Tensor]:
        """The states before the first layer."""
        table = self.checkpoint.named([EMBEDDING])[EMBEDDING]
        return [table[batch.input_ids.cpu()].to(self.device, self.dtype) for batch in self.batches]

    def block(self, layer: int) -> Block:
        """A layer as the checkpoint has it."""
        return read_block(self.checkpoint, layer, self.device, self.dtype)

    @torch.inference_mode()
    def run(self, block: nn.Module, states: Sequence[Tensor], watch: Watch | None = None) -> list[Tensor]:
        """The states after a layer.

        Args:
            watch: by linear layer, what is to see its inputs, [tokens, columns] without the padding, batch by batch.
        """
        after = []
        for batch, state in zip(self.batches, states, strict=True):
            real = self.real(batch)
            hooks = [
                module.register_forward_pre_hook(lambda _, x, see=see, real=real: see(x[0][real]))
                for module, see in (watch or {}).items()
            ]
            rotation = self.rotary(batch.position_ids, batch.input_ids.shape[1] + 1, self.dtype)
            after.append(block(state, rotation, batch.attention_mask, None))
            for hook in hooks:
                hook.remove()
        return after

    @torch.inference_mode()
    def loss(self, states: Sequence[Tensor]) -> float:
        """Nats per token of the answers, from the states after the last layer."""
        config = self.checkpoint.config
        norm = nn.LayerNorm(config.hidden_size, eps=config.layernorm_epsilon, device="meta")
        norm = _filled(norm, self.checkpoint, NORM, self.device, self.dtype)
        hidden = [norm(s).flatten(0, 1)[b.predicting] for s, b in zip(states, self.batches, strict=True)]
        targets = torch.cat([batch.targets for batch in self.batches])
        return Head(self.checkpoint).finals(torch.cat(hidden), targets).losses.mean().item()


def _filled(module: M, checkpoint: Checkpoint, prefix: str, device: torch.device, dtype: torch.dtype) -> M:
    """The module with its weights, read under `prefix`."""
    names = [name for name, _ in module.named_parameters()]
    weights = checkpoint.named([prefix + name for name in names])
    state = {name: weights[prefix + name].to(device, dtype, copy=True) for name in names}
    module.load_state_dict(state, assign=True)
    return module.requires_grad_(False).eval()


def _batches(examples: Sequence[Example], pad: int) -> Iterator[Batch]:
    """The examples packed into rows, some rows at a time."""
    group: list[Example] = []
    total = 0
    for example in examples:
        if total + len(example.tokens) > ROWS * ROW:
            yield pack(group, ROW, pad)
            group, total = [], 0
        group.append(example)
        total += len(example.tokens)
    if group:
        yield pack(group, ROW, pad)
