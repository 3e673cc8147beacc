"""The numbers of learned prefixes in checkpoints and adapters, [length, width] in fp32.

A projection is computed when they are read: a prefix needs it no more than once, and at the published sizes it has 0.96
billion weights.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import CheckpointError
from .adapter import Adapter
from .checkpoint import Checkpoint, check_form
from .facts import ModelFacts
from .folder import listed, short
from .prefix import PrefixEncoder
from .weights import is_finite, read_tensors


def stored_prefix(checkpoint: Checkpoint) -> Tensor:
    """The prefix in a checkpoint that has one. Raises CheckpointError as `Checkpoint.named` does."""
    start = f"{checkpoint.names.prefix}."
    return _values(checkpoint.config, start, checkpoint.named([n for n in checkpoint.places if n.startswith(start)]))


def read_prefix(adapter: Adapter) -> Tensor:
    """The prefix of an adapter.

    Raises:
        CheckpointError: a file is corrupt; a tensor is missing, of another shape or type, not finite or of no prefix.
    """
    start = f"{adapter.names.prefix}."
    with torch.device("meta"):
        expected = {start + name: tensor for name, tensor in PrefixEncoder(adapter.facts).state_dict().items()}
    found: dict[str, Tensor] = {}
    for shard in adapter.shards:
        for name, tensor in read_tensors(shard):
            if not name.startswith(start):
                raise CheckpointError(
                    f"{adapter.folder} holds more than a learned prefix, {short(name)} for one: name it as the model."
                )
            if name not in expected:
                raise CheckpointError(
                    f"{adapter.folder} holds {short(name)}, and prefix_projection in its config.json says otherwise: "
                    "fetch both again."
                )
            check_form(name, tensor, expected[name])
            if not is_finite(tensor):
                raise CheckpointError(f"{adapter.folder}: {name} holds NaN or infinite numbers: fetch it again.")
            found[name] = tensor
    if missing := expected.keys() - found.keys():
        raise CheckpointError(f"{adapter.folder} lacks {listed(missing)}: fetch it again.")
    return _values(adapter.facts, start, found)


@torch.no_grad()
def _values(facts: ModelFacts, start: str, tensors: Mapping[str, Tensor]) -> Tensor:
    with torch.device("meta"):
        encoder = PrefixEncoder(facts)
    state = {name.removeprefix(start): tensor.float() for name, tensor in tensors.items()}
    encoder.load_state_dict(state, assign=True)
    return encoder.values()
