"""A checkpoint's matrices rounded by GPTQ, layer by layer, while calibration texts flow through the rounded model.

Every matrix is rounded for the inputs that it will have: those that come out of the rounded matrices before it, in its
own layer too. In memory at once are one layer in floating point, the texts' states (tokens × hidden size), and two
matrices of the widest input's width squared, all in fp32: for ChatGLM-6B with 16,384 tokens about 0.8, 0.3 and 2.1 GB,
beside the shards that are being read and written.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from ..evaluate.likelihood import shortest_first
from ..evaluate.streamed import StreamedModel
from ..kernels.format import Parts, ReferenceKernel
from ..models.checkpoint import EMBEDDING, HEAD, LAYER, NORM, Checkpoint
from ..models.config import ChatGLM6BConfig
from ..models.packing import Batch, Example, pack
from ..models.rotary import Rotary2D
from ..progress import OnProgress, Progress
from ..texts import Text
from .calibration import calibration_examples
from .gptq import Hessian, factorise, quantise

TOKENS_AT_ONCE = 2048  # that run through a layer together
MOST_TOKENS = 65_536  # of all texts

Packed = tuple[str, Parts]  # the name of a matrix, with the suffix `weight`, and what it is packed into
Where = tuple[tuple[Tensor, Tensor], Tensor]  # rotation and mask of a batch, as a layer takes them


class _SeenError(Exception):
    """Ends a pass through a layer where its purpose is reached."""


def gptq_examples(checkpoint: Checkpoint, texts: Sequence[Text]) -> list[Example]:
    """The examples to calibrate on. Raises UsageError, with the number wanted, where there are too few."""
    # With fewer inputs than columns, nothing is known of some of the directions that a matrix reads.
    widest = max(checkpoint.config.inner(layer) for layer in range(checkpoint.config.num_layers))
    return calibration_examples(checkpoint, texts, MOST_TOKENS, widest)


class Calibrated:
    """The matrices of a checkpoint, packed on calibration examples."""

    def __init__(
        self, checkpoint: Checkpoint, packed: ChatGLM6BConfig, chosen: Sequence[Example], device: torch.device
    ) -> None:
        """Packs nothing yet.

        Args:
            packed: what the packed checkpoint's config will be: it names the formats.
            device: where layers run and are rounded; MPS, which lacks some of what that takes, leaves it to the CPU.
        """
        format, embedding_format = packed.linear_format(), packed.embedding_weight_format()
        assert format
        assert embedding_format
        self.config, self.format, self.embedding_format = packed, format, embedding_format
        device = torch.device("cpu") if device.type == "mps" else device
        self.model = StreamedModel(checkpoint, device, torch.float32 if device.type == "cpu" else torch.float16)
        self.pad = int(packed.pad_token_id or 0)
        self.batches = [batch.to(device) for batch in _batches(chosen, self.pad)]
        self.states: list[Tensor] = []  # of every batch, [rows, length, hidden], as they go into the next layer

    @torch.inference_mode()
    def matrices(self, progress: OnProgress | None = None) -> Iterator[Packed]:
        """Embedding, layers and head, on the CPU. An embedding, and a head that shares it, are to nearest."""
        total = 4 * self.config.num_layers + (1 if self.config.tie_word_embeddings else 2)
        for done, (name, parts) in enumerate(self._matrices(), 1):
            yield name, {part: tensor.cpu() for part, tensor in parts.items()}
            if progress:
                progress(Progress(f"quantise to {self.format.name} by GPTQ", done, total, "matrices"))

    def _matrices(self) -> Iterator[Packed]:
        yield EMBEDDING, self._embed()
        rotary = Rotary2D(int(self.config.head_dim or 0), self.config.max_sequence_length + 1)
        placed = [
            (rotary(batch.position_ids, batch.input_ids.shape[1] + 1, self.model.dtype), batch.attention_mask)
            for batch in self.batches
        ]
        for layer in range(self.config.num_layers):
            block = self.model.block(layer)
            yield from self._layer(block, placed, LAYER.format(layer))
            self.states = [block(x, *where, None) for x, where in zip(self.states, placed, strict=True)]
        if not self.config.tie_word_embeddings:
            yield HEAD, self._head()

    def _embed(self) -> Parts:
        shape = (self.config.vocab_size, self.config.hidden_size)
        parts = self.embedding_format.pack_blocks(self.model.read(EMBEDDING))
        kernel = ReferenceKernel(self.embedding_format)
        held = kernel.prepare(parts, *shape)
        for batch in self.batches:
            rows = kernel.gather(batch.input_ids.cpu().flatten(), held, *shape).unflatten(0, batch.input_ids.shape)
            self.states.append(rows.to(self.model.device, self.model.dtype))
        return parts

    def _layer(self, block: nn.Module, placed: Sequence[Where], prefix: str) -> Iterator[Packed]:
        """Rounds the matrices of a layer, in place, in the order in which they are used."""
        for name, linear in block.named_modules():
            if not isinstance(linear, nn.Linear):
                continue
            parts = quantise(linear.weight, factorise(self._hessian(linear, block, placed)), self.format)
            rounded = self.format.unpack(parts, linear.in_features).to(self.model.dtype)
            linear.weight = nn.Parameter(rounded, requires_grad=False)
            yield f"{prefix}{name}.weight", parts

    def _hessian(self, linear: nn.Linear, block: nn.Module, placed: Sequence[Where]) -> Tensor:
        hessian = Hessian(linear.in_features, self.model.device)
        for batch, x, where in zip(self.batches, self.states, placed, strict=True):
            hessian.add(_inputs(linear, block, x, where)[batch.input_ids != self.pad])
        return hessian.matrix

    def _head(self) -> Parts:
        """By the tokens that predict, the only ones that a head sees."""
        config = self.config
        norm = self.model.filled(nn.LayerNorm(config.hidden_size, eps=config.layernorm_epsilon, device="meta"), NORM)
        hessian = Hessian(config.hidden_size, self.model.device)
        for batch, x in zip(self.batches, self.states, strict=True):
            hessian.add(norm(x).flatten(0, 1)[batch.predicting])
        return quantise(self.model.read(HEAD), factorise(hessian.matrix), self.embedding_format)


def _inputs(linear: nn.Linear, block: nn.Module, x: Tensor, where: Where) -> Tensor:
    """What `linear` is given when its block runs on x; the rest of the block does not run."""
    seen: list[Tensor] = []

    def see(_: nn.Module, given: tuple[Tensor]) -> None:
        seen.append(given[0])
        raise _SeenError

    with linear.register_forward_pre_hook(see), suppress(_SeenError):
        block(x, *where, None)
    return seen[0]


def _batches(chosen: Sequence[Example], pad: int) -> Iterator[Batch]:
    """The examples, the shortest first, as many at once as have `TOKENS_AT_ONCE` tokens with their padding."""
    group: list[Example] = []
    for number in shortest_first(chosen):
        if group and (len(group) + 1) * len(chosen[number].tokens) > TOKENS_AT_ONCE:
            yield pack(group, len(group[-1].tokens), pad)
            group = []
        group.append(chosen[number])
    yield pack(group, len(group[-1].tokens), pad)
