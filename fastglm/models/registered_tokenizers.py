"""The tokenizer classes registered with transformers under the published names, which several architectures share."""

from pathlib import Path
from typing import Any, ClassVar

from transformers import PreTrainedTokenizer

from ..errors import CheckpointError, UsageError
from ..system.files import read_json
from .architecture import Architecture, architectures, own_fields, recognize


class ChatGLMTokenizer(PreTrainedTokenizer):
    """A class without tokenizers of its own: reading a folder gives the class that its vocabulary file belongs to."""

    vocab_files_names: ClassVar[dict[str, str]] = {
        name: name for known in architectures() for name in known.tokenizer_files if name.endswith(".model")
    }

    def __init__(self, *_: Any, **__: Any) -> None:
        raise UsageError(f"Read a tokenizer with {type(self).__name__}.from_pretrained(folder).")

    @classmethod
    def _from_pretrained(
        cls, resolved_vocab_files: dict[str, Any], name_or_path: Any, *arguments: Any, **settings: Any
    ) -> Any:
        """The tokenizer of a folder, whose files transformers has found.

        Raises:
            CheckpointError: there is no vocabulary file, or one of another architecture than the config's.
        """
        files = dict(resolved_vocab_files)
        found = {name: Path(files.pop(name)) for name in cls.vocab_files_names if files.get(name)}
        if files.get("tokenizer_file"):
            found["tokenizer.json"] = Path(files["tokenizer_file"])
        kind, path = _choose(found, Path(name_or_path))
        names = {key: value for key, value in files.items() if key not in (*cls.vocab_files_names, "vocab_file")}
        names |= {"tokenizer_file": None, _file_key(kind): str(path)}
        return kind._from_pretrained(names, name_or_path, *arguments, **settings)


class ChatGLM4Tokenizer(ChatGLMTokenizer):
    """The name in the tokenizer configs of GLM-4 and its successors."""


def _choose(found: dict[str, Path], folder: Path) -> tuple[Any, Path]:
    """The class whose vocabulary file is there, and the file; for several files the first of the config's kind."""
    known = _beside(next(iter(found.values())).parent if found else folder)
    own = _kinds(known) if known else []
    kinds = [*own, *(kind for each in architectures() for kind in _kinds(each) if kind not in own)]
    for kind in kinds:
        path = found.get(_file_name(kind))
        if path is None or not kind.reads(path):
            continue
        if known and kind not in own:
            raise CheckpointError(
                f"{path} is a vocabulary of {kind.origin}, but config.json beside it describes {known.name}: "
                "copy both from the same checkpoint."
            )
        return kind, path
    for path in found.values():
        raise CheckpointError(f"{path} is no vocabulary of the family (an incomplete download?): fetch it again.")
    wanted = dict.fromkeys(_file_name(kind) for kind in own or kinds)
    raise CheckpointError(f"The checkpoint has no {' or '.join(wanted)}: copy the tokenizer file beside config.json.")


def _kinds(known: Architecture) -> list[Any]:
    """The classes of an architecture that have tokenizers."""
    return [kind for kind in known.tokenizer_classes if not issubclass(kind, ChatGLMTokenizer)]


def _file_key(kind: Any) -> str:
    return "vocab_file" if "vocab_file" in kind.vocab_files_names else "tokenizer_file"


def _file_name(kind: Any) -> str:
    return kind.vocab_files_names[_file_key(kind)]


def _beside(folder: Path) -> Architecture | None:
    """The architecture of the config in a folder; None if there is no config, or one that says nothing known."""
    path = folder / "config.json"
    if not path.is_file():
        return None
    try:
        return recognize(own_fields(read_json(path)))
    except CheckpointError:
        return None  # reading the config reports it
