"""The generation of a tokenizer, from the files beside its vocabulary."""

from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from ...system.files import read_json
from ..architecture import own_fields
from .generation import decide


def find_generation(kind: Any, vocab_file: str | Path, said: str | None = None) -> str:
    """The generation of a tokenizer.

    Args:
        kind: the class of the tokenizer, which knows its own generations.
        said: by the user, or by the tokenizer's own config.

    Raises:
        CheckpointError: the vocabulary file belongs to none of the generation.
    """
    path = Path(vocab_file).with_name("config.json")
    fields = own_fields(read_json(path)) if path.is_file() else {}
    if said is not None:
        fields["generation"] = said
    is_told = "generation" in fields or fields.get("model_type") == "chatglm"
    found = decide(fields, path.parent)[0] if is_told or len(kind.generations) > 1 else kind.generations[0]
    if found not in kind.generations:
        raise CheckpointError(
            f"{vocab_file} is a vocabulary of {kind.origin}, but the files beside it are those of {found}: "
            "copy all of them from the same checkpoint."
        )
    return found
