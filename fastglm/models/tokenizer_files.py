"""Reading of a checkpoint's tokenizer files, which may contain anything."""

from pathlib import Path

from ..errors import CheckpointError, FastGLMError
from ..system.files import open_regular, read_json
from .architecture import Tokenizer, own_fields, recognize

# Files that transformers reads if they exist.
_TABLES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json")
_OTHERS = ("tokenizer.model", "chat_template.jinja")


def read_tokenizer(folder: Path, generation: str = "auto") -> Tokenizer:
    """The tokenizer of a folder.

    Args:
        generation: as for `fastglm.load`.

    Raises:
        CheckpointError: a file is missing, invalid, or no tokenizer can be made from it.
    """
    known = recognize(own_fields(read_json(folder / "config.json")))
    for name in _TABLES:
        if (folder / name).exists():
            read_json(folder / name)
    for name in {*_OTHERS, *known.tokenizer_files} - {*_TABLES}:
        if (folder / name).exists():
            _check(folder / name)
    settings = {} if generation == "auto" else {"generation": generation}
    try:
        tokenizer: Tokenizer = known.tokenizer_classes[0].from_pretrained(folder, **settings)
        tokenizer.encode("1")
    except FastGLMError:
        raise
    except Exception as error:  # values of these tables may lead to any error
        said = " ".join(str(error).split())[:160] or type(error).__name__
        raise CheckpointError(f"{folder}: its tokenizer's files cannot be used ({said}): fetch them again.") from error
    return tokenizer


def _check(path: Path) -> None:
    try:
        open_regular(path).close()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): fetch the file again.") from error
