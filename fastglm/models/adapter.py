"""Adapters: results of fine-tuning in a folder of their own, beside the model that they were tuned for.

So far they are the prefixes of P-Tuning v2: a folder as the published trainer saves it, with the prefix encoder alone.
"""

from pathlib import Path

from ..errors import CheckpointError, UsageError
from .facts import ModelFacts
from .folder import CheckpointFolder
from .source import allowed_folders, as_path


class Adapter(CheckpointFolder):
    """A folder with a learned prefix, and the config of the model that it was tuned for."""

    def __init__(self, folder: Path) -> None:
        """Raise CheckpointError as `CheckpointFolder` does, and if there is no prefix."""
        super().__init__(folder)
        if not self.facts.pre_seq_len:
            raise CheckpointError(
                f"{folder} is not an adapter, as its config.json does not set pre_seq_len: name the folder that "
                "P-Tuning v2 wrote."
            )

    def misfit(self, facts: ModelFacts) -> str | None:
        """The reason why a model cannot take the prefix; None if it can."""
        if facts.pre_seq_len:
            return "the model has a learned prefix of its own"
        if not isinstance(facts, type(self.facts)):
            return "it was tuned for a model of another architecture"
        if other := facts.other_generation(self.fields):
            return f"it was tuned for a {other} model"
        for what, own, others in zip(_SIZES, _sizes(self.facts), _sizes(facts), strict=True):
            if own != others:
                return f"it was tuned for a model with {own} {what}, and this one has {others}"
        return None

    def check(self, facts: ModelFacts, name: str) -> None:
        """Raise UsageError if the model of this name cannot take the prefix."""
        if why := self.misfit(facts):
            raise UsageError(
                f"{name} cannot take the adapter {self.folder}: {why}. Name the model that it was tuned for."
            )


_SIZES = ("layers", "numbers in a state", "heads of keys in a layer", "numbers in a head")


def _sizes(facts: ModelFacts) -> tuple[str, ...]:
    heads = sorted({facts.kv_heads(layer) for layer in range(facts.layers)})
    many = f"{heads[0]} to {heads[-1]}" if len(heads) > 1 else str(heads[0])
    return str(facts.layers), str(facts.hidden), many, str(facts.head_dim)


def find_adapter(adapter: str | Path, restricted: bool = False) -> Adapter:
    """Open the folder of an adapter, without reading its weights.

    Args:
        restricted: the rule for visitors of the app: folders only below those in `allowed_folders`.

    Raises:
        UsageError: the folder may not be opened.
        CheckpointError: there is no such folder, or it holds no prefix.
    """
    path = as_path(str(adapter))
    if restricted and not any(path.resolve().is_relative_to(root) for root in allowed_folders()):
        raise UsageError(f"The adapter {str(adapter)!r} may not be opened here: put it beside the models of the app.")
    if not path.is_dir():
        raise CheckpointError(f"{str(adapter)!r} is not a folder: name the folder of an adapter, such as a prefix.")
    return Adapter(path.resolve())
