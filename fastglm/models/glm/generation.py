"""The generation of a checkpoint: the rules of numbers and of conversation that its config does not spell out.

ChatGLM2 and ChatGLM3 with 32k tokens of context have nearly the same config, and mean different positions by it. So
the folder's hints are asked in this order: the config's own `generation`, the tokenizer's config, the published code of
the tokenizer (read as text, never run), and the fields that are left of the published config.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import CheckpointError
from ...system.files import read_json, read_regular

_LARGEST = 1 << 20  # bytes of the published code of a tokenizer; it has some 20 kB
_ROLES = ("<|user|>", "<|assistant|>", "<|observation|>")


@dataclass(frozen=True, slots=True)
class Generation:
    """The rules of numbers that checkpoints of a generation share.

    exact_angles: rotary angles are products in fp32, otherwise in the dtype of the model, as it was trained.
    ratio: `rope_ratio` divides positions, or multiplies the base of the frequencies.
    exact_norm: norms take the mean of squares in fp32, otherwise in the dtype of the model.
    """

    title: str
    exact_angles: bool = True
    ratio: Literal["position", "base"] = "base"
    exact_norm: bool = True


GENERATIONS = {
    "chatglm2": Generation("ChatGLM2", exact_angles=False, ratio="position"),
    "chatglm3": Generation("ChatGLM3"),
    "glm4": Generation("GLM-4 or CodeGeeX4"),
    "codegeex2": Generation("CodeGeeX2", exact_angles=False, exact_norm=False),
}
_ANY = frozenset(GENERATIONS)
_LIKELIEST = ("chatglm3", "chatglm2", "glm4", "codegeex2")  # for a config that tells nothing


@dataclass(frozen=True, slots=True)
class Folder:
    """A checkpoint's fields and, if there is one, its folder."""

    fields: Mapping[str, Any]
    path: Path | None

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder; empty if there is none."""
        return read_json(self.path / name) if self.path and (self.path / name).is_file() else {}

    def text(self, name: str) -> str:
        """A text file of the folder; empty if there is none, or none that can be read."""
        try:
            return read_regular(self.path / name, _LARGEST).decode(errors="replace") if self.path else ""
        except OSError:
            return ""


def decide(fields: Mapping[str, Any], folder: Path | None = None) -> tuple[str, str | None]:
    """The generation of a checkpoint, and a line for its user if it had to be assumed.

    Args:
        fields: in the form of config.json.
        folder: the folder that the config lies in, if there is one.

    Raises:
        CheckpointError: the config names a generation that is not known.
    """
    said = fields.get("generation")
    if said is not None:
        if not isinstance(said, str) or said not in GENERATIONS:
            raise CheckpointError(f"generation is {str(said)[:40]!r}; known are {', '.join(GENERATIONS)}.")
        return said, None
    left, by, against = _ANY, "nothing in particular", ""
    is_sure = False
    for hint in _HINTS:
        told = hint.find(Folder(fields, folder))
        if left & told == left or not told:
            continue
        if not left & told:
            against = against or hint.name
            continue
        left, by = left & told, hint.name
        is_sure = is_sure or (len(left) == 1 and hint.is_sure)
    found = next(name for name in _LIKELIEST if name in left)
    if is_sure and not against:
        return found, None
    doubt = f", although {against} says otherwise" if against else ""
    return found, (
        f"This is taken for a {GENERATIONS[found].title} checkpoint, by {by}{doubt}. If that is wrong, set generation "
        f"to {', '.join(name for name in GENERATIONS if name != found)}, as an argument or in config.json."
    )


def named(fields: Mapping[str, Any]) -> frozenset[str]:
    """The generations that a config names, by its key or else by the name in it; none if it names none."""
    if fields.get("generation") in [*GENERATIONS]:
        return frozenset({fields["generation"]})
    return _by_name(Folder(fields, None))


def _by_tokenizer_config(folder: Folder) -> frozenset[str]:
    """The roles, or the chat template, in the config of the tokenizer."""
    told = folder.json("tokenizer_config.json")
    if told.get("generation") in [*GENERATIONS]:  # a tokenizer that was saved here
        return frozenset({told["generation"]})
    template = f"{told.get('chat_template') or ''}{folder.text('chat_template.jinja')}"
    fields = ("added_tokens_decoder", "additional_special_tokens", "extra_special_tokens")
    added = str([told.get(name) for name in fields])
    if "<|endoftext|>" in added:
        return frozenset({"glm4"})
    if "[Round " in template:
        return frozenset({"chatglm2", "codegeex2"})
    return frozenset({"chatglm3", "glm4"} if any(role in added + template for role in _ROLES) else ())


def _by_code(folder: Folder) -> frozenset[str]:
    """The published code of the tokenizer, as text."""
    text = folder.text("tokenization_chatglm.py")
    if "tiktoken" in text:
        return frozenset({"glm4"})
    if "<|user|>" in text:
        return frozenset({"chatglm3"})
    return frozenset({"chatglm2", "codegeex2"} if "[Round " in text else ())


def _by_fields(folder: Folder) -> frozenset[str]:
    """The fields and values that only CodeGeeX2, or only GLM-4, was published with."""
    if "rotary_percent" in folder.fields:
        return frozenset({"codegeex2"})
    epsilon = folder.fields.get("layernorm_epsilon")
    return frozenset({"glm4"}) if epsilon == 1.5625e-07 else frozenset({"chatglm2", "chatglm3"})


def _by_version(folder: Folder) -> frozenset[str]:
    """The release of transformers that wrote the config, if nobody has saved it since it was published."""
    version = folder.fields.get("transformers_version")
    return {"4.27.1": frozenset({"chatglm2"}), "4.30.2": _ANY - {"chatglm2"}}.get(str(version), frozenset())


def _by_length(folder: Folder) -> frozenset[str]:
    """The context, and the ratio of positions for a longer one."""
    ratio, length = folder.fields.get("rope_ratio"), folder.fields.get("seq_length")
    if ratio in (16, 50):
        return frozenset({"chatglm2" if ratio == 16 else "chatglm3"})
    return frozenset(_ANY - {"chatglm2"} if length in (8192, 131072) else ())


def _by_name(folder: Folder) -> frozenset[str]:
    """The name in the config, and that of the folder."""
    path = folder.path
    if path and path.parent.name == "snapshots":  # in the cache of a hub, whose folders for models have their ids
        path = path.parent.parent
    names = f"{folder.fields.get('_name_or_path')} {path.name if path else ''}".lower()
    patterns = {"chatglm2": "chatglm2", "chatglm3": "chatglm3", "glm-?4|codegeex4": "glm4", "codegeex2": "codegeex2"}
    return frozenset(name for pattern, name in patterns.items() if re.search(pattern, names))


@dataclass(frozen=True, slots=True)
class _Hint:
    """A place that tells generations apart. `find` gives those that fit, none if the place does not tell."""

    name: str
    find: Callable[[Folder], frozenset[str]]
    is_sure: bool


_HINTS = (
    _Hint("tokenizer_config.json", _by_tokenizer_config, True),
    _Hint("tokenization_chatglm.py", _by_code, True),
    _Hint("a field of its config", _by_fields, True),
    _Hint("transformers_version in its config", _by_version, False),
    _Hint("its context", _by_length, False),
    _Hint("its name", _by_name, False),
)
