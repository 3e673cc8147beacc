"""Narrowing a layer of another kind: separate queries, keys and values, shared keys, a gate, no biases."""

import torch
from torch import Tensor, nn

from fastglm.compress.configs import narrowed
from fastglm.compress.prune.width import _narrow
from fastglm.models.architecture import TensorNames
from fastglm.models.facts import LayerShape
from fastglm.models.language_model import BaseBlock

NAMES = TensorNames("wte", "out", "norm", "h", "ln1", ("q", "k", "v"), "o", "ln2", ("gate_up",), "down")
HIDDEN, WIDTH = 12, 4


class GroupedBlock(BaseBlock):
    """Four heads of queries on two of keys; `gate_up` gives all gates, then the numbers that they scale."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.shape = shape
        self.q = nn.Linear(HIDDEN, shape.query_heads * WIDTH, bias=False)
        self.k, self.v = (nn.Linear(HIDDEN, shape.kv_heads * WIDTH, bias=False) for _ in range(2))
        self.o = nn.Linear(shape.query_heads * WIDTH, HIDDEN, bias=False)
        self.gate_up = nn.Linear(HIDDEN, 2 * shape.inner, bias=False)
        self.down = nn.Linear(shape.inner, HIDDEN, bias=False)

    def head_rows(self) -> tuple[Tensor, ...]:
        heads = self.shape.kv_heads
        keys = torch.arange(heads * WIDTH).view(heads, -1)
        return torch.arange(self.shape.query_heads * WIDTH).view(heads, -1), keys, keys

    def channel_rows(self) -> tuple[Tensor, ...]:
        return (torch.arange(2 * self.shape.inner).view(2, -1).T,)

    def forward(self, x: Tensor) -> Tensor:
        share = self.shape.query_heads // self.shape.kv_heads
        q, k, v = (part(x).unflatten(-1, (-1, WIDTH)).transpose(0, 1) for part in (self.q, self.k, self.v))
        k, v = (part.repeat_interleave(share, 0) for part in (k, v))
        x = x + self.o((q @ k.mT).softmax(-1).matmul(v).transpose(0, 1).flatten(1))
        gate, up = self.gate_up(x).chunk(2, -1)
        return x + self.down(nn.functional.silu(gate) * up)


@torch.inference_mode()
def test_parts_that_add_nothing_go_from_a_layer_with_shared_keys() -> None:
    torch.manual_seed(0)
    block, x = GroupedBlock(LayerShape(4, 2, 16)), torch.randn(40, HIDDEN)
    smaller = narrowed(block.shape, 0.5, 0.5)
    assert smaller == LayerShape(2, 1, 8)
    block.o.weight[:, : 2 * WIDTH] = 0  # the first head of keys, with its two of queries
    block.down.weight[:, ::2] = 0

    def run(watch: dict[nn.Module, object]) -> None:
        hooks = [m.register_forward_pre_hook(lambda _, given, see=see: see(given[0])) for m, see in watch.items()]
        block(x)
        for hook in hooks:
            hook.remove()

    narrow = GroupedBlock(smaller)
    narrow.load_state_dict(_narrow(NAMES, block, run, smaller))
    torch.testing.assert_close(narrow(x), block(x))
