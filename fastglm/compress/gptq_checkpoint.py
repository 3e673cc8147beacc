"""GPTQ for a whole checkpoint, layer by layer, while calibration texts flow through the rounded model.

Every matrix is rounded for its future inputs: the outputs of the rounded matrices before it, also in its own layer. A
matrix that adds to the residual stream is first moved, by least squares, so that the stream after it equals the
original's, which compensates earlier rounding: the asymmetric target of GPTAQ (Li et al., ICML 2025, arXiv 2504.02692)
and Qronos (Zhang et al., arXiv 2505.11695), taken behind the sum instead of behind the matrix.

In memory at once are one layer in floating point, twice, the texts' states in both models (tokens × hidden size), and
two matrices of the widest input's width squared, all in fp32: for ChatGLM-6B with 16,384 tokens about 1.6, 0.6 and 2.1
GB, beside the shards that are being read and written.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress

import torch
from torch import Tensor, nn

from ..evaluate.likelihood import batches_of
from ..kernels.format import Parts
from ..kernels.reference import ReferenceKernel
from ..models.architecture import TensorNames
from ..models.base import ModelConfig
from ..models.checkpoint import Checkpoint
from ..models.layerwise import LayerwiseModel, Where
from ..models.packing import Example
from ..progress.progress import OnProgress, Progress
from ..text_files import Text
from .calibration import calibration_examples
from .gptq import Hessian, factorise, nearest, quantise

TOKENS_AT_ONCE = 2048  # tokens that run through a layer together
MOST_TOKENS = 65_536  # tokens of all texts

Packed = tuple[str, Parts]  # the name of a matrix, with the suffix `weight`, and its packed tensors


class _SeenError(Exception):
    """Ends a pass through a layer once its purpose is reached."""


def gptq_examples(checkpoint: Checkpoint, texts: Sequence[Text]) -> list[Example]:
    """The examples to calibrate on. Raises UsageError, with the needed number, if there are too few."""
    # With fewer inputs than columns, some directions that a matrix reads remain unknown.
    widest = max(checkpoint.config.inner(layer) for layer in range(checkpoint.config.layers))
    return calibration_examples(checkpoint, texts, MOST_TOKENS, widest)


class Calibrated:
    """The matrices of a checkpoint, packed on calibration examples."""

    def __init__(
        self, checkpoint: Checkpoint, packed: ModelConfig, chosen: Sequence[Example], device: torch.device
    ) -> None:
        """Create it without packing anything yet.

        Args:
            packed: the config of the packed checkpoint, which names the formats.
            device: the device that runs and rounds layers; MPS lacks some operators for it and leaves it to the CPU.
        """
        format, embedding_format = packed.linear_format(), packed.embedding_weight_format()
        assert format
        assert embedding_format
        self.names = checkpoint.names
        self.config, self.format, self.embedding_format = packed, format, embedding_format
        device = torch.device("cpu") if device.type == "mps" else device
        self.model = LayerwiseModel(checkpoint, device)
        self.added = _added(self.names, self.model.empty.blocks[0])
        self.pad = checkpoint.pad
        together = batches_of(chosen, checkpoint.config, TOKENS_AT_ONCE, len(chosen))
        self.batches = [batch.to(device) for batch in together]
        # The input of the next layer for every batch, [rows, length, hidden]: in the rounded model, and in the
        # original.
        self.states: list[Tensor] = []
        self.originals: list[Tensor] = []

    @torch.inference_mode()
    def matrices(self, progress: OnProgress | None = None) -> Iterator[Packed]:
        """Yield embedding, layers and head, on the CPU. An embedding, and a head that shares it, are rounded to
        nearest.
        """
        matrices = len(self.names.attention_in) + len(self.names.mlp_in) + 2
        total = matrices * self.config.layers + (1 if self.config.tie_word_embeddings else 2)
        for done, (name, parts) in enumerate(self._matrices(), 1):
            yield name, {part: tensor.cpu() for part, tensor in parts.items()}
            if progress:
                progress(Progress(f"quantise to {self.format.name} by GPTQ", done, total, "matrices"))

    def _matrices(self) -> Iterator[Packed]:
        yield self.names.ends[0], self._embed()
        placed = [self.model.where(batch) for batch in self.batches]
        for layer in range(self.config.layers):
            block = self.model.block(layer)
            yield from self._layer(block, self.model.block(layer), placed, self.names.layer(layer))
            self.states = self.model.run(block, self.batches, self.states)
        if not self.config.tie_word_embeddings:
            yield self.names.ends[1], self._head()

    def _embed(self) -> Parts:
        shape = (self.config.vocab_size, self.config.hidden_size)
        table = self.model.read(self.names.ends[0])
        parts = nearest(table, self.embedding_format)
        kernel = ReferenceKernel(self.embedding_format)
        held = kernel.prepare(parts, *shape)
        for batch in self.batches:
            ids = batch.input_ids.cpu()
            rows = kernel.gather(ids.flatten(), held, *shape).unflatten(0, ids.shape)
            self.states.append(rows.to(self.model.device, self.model.dtype))
        self.originals = self.model.embed(self.batches)
        return parts

    def _layer(self, block: nn.Module, original: nn.Module, placed: Sequence[Where], prefix: str) -> Iterator[Packed]:
        """Round the matrices of a layer, in place, in the order of their use; the originals move on."""
        for name, linear in block.named_modules():
            if not isinstance(linear, nn.Linear):
                continue
            hessian, lack = self._sums(name, block, original, placed)
            factors = factorise(hessian)
            moved = linear.weight if lack is None else linear.weight + factors.solve(lack)
            parts = quantise(moved, factors, self.format)
            rounded = self.format.unpack(parts, linear.in_features).to(self.model.dtype)
            linear.weight = nn.Parameter(rounded, requires_grad=False)
            yield f"{prefix}{name}.weight", parts

    def _sums(
        self, name: str, block: nn.Module, original: nn.Module, placed: Sequence[Where]
    ) -> tuple[Tensor, Tensor | None]:
        """Sums over all tokens for a matrix: `2 X Xᵀ`, and `2 D Xᵀ` with D the deviation of the residual stream behind
        it.
        """
        linear = block.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        hessian = Hessian(linear.in_features, self.model.device)
        lack = torch.zeros(linear.weight.shape, device=self.model.device) if name in self.added else None
        for number, (batch, where) in enumerate(zip(self.batches, placed, strict=True)):
            real = batch.input_ids != self.pad
            x, stream = _run(block, name, self.added.get(name, name), self.states[number], where)
            hessian.add(x[real])
            if lack is None:
                continue
            _, wanted = _run(original, name, self.added[name], self.originals[number], where)
            lack.addmm_((wanted - stream)[real].float().T, x[real].float(), alpha=2)
            if name == self.names.mlp_out:
                self.originals[number] = original(self.originals[number], *where) if self.added[name] else wanted
        return hessian.matrix, lack

    def _head(self) -> Parts:
        """Pack the head by the tokens that predict, the only ones that a head sees."""
        norm = self.model.norm()
        hessian = Hessian(self.config.hidden_size, self.model.device)
        for batch, x in zip(self.batches, self.states, strict=True):
            hessian.add(norm(x).flatten(0, 1)[batch.predicting])
        return quantise(self.model.read(self.names.ends[1]), factorise(hessian.matrix), self.embedding_format)


def _added(names: TensorNames, block: nn.Module) -> dict[str, str | None]:
    """By matrix that adds to the residual stream: the module that gets the sum, None if the sum leaves the layer; or
    the norm between the matrix and the stream, in a model with such norms.
    """
    after = {names.attention_out: names.mlp_norm, names.mlp_out: None}
    norms = {names.attention_out: names.attention_out_norm, names.mlp_out: names.mlp_out_norm}
    there = dict(block.named_modules())
    return after | {name: norm for name, norm in norms.items() if norm and norm in there}


def _run(block: nn.Module, name: str, last: str | None, x: Tensor, where: Where) -> tuple[Tensor, Tensor]:
    """The input of the matrix `name` when its block runs on x, and that of `last` (None: the block's output).

    The rest of the block does not run.
    """
    seen: list[Tensor] = []

    def see(_: nn.Module, given: tuple[Tensor]) -> None:
        seen.append(given[0])

    def end(_: nn.Module, given: tuple[Tensor]) -> None:
        seen.append(given[0])
        raise _SeenError

    with ExitStack() as hooks:
        hooks.enter_context(block.get_submodule(name).register_forward_pre_hook(see))
        if last:
            hooks.enter_context(block.get_submodule(last).register_forward_pre_hook(end))
        with suppress(_SeenError):
            seen.append(block(x, *where))
    return seen[0], seen[-1]
