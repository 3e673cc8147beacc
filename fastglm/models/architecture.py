"""The architectures of the family: a table of their names, and the facts that distinguish and describe each.

A new architecture is one folder, whose `Architecture` is named in `ARCHITECTURES`. Nothing here imports torch: the
classes of an architecture are loaded on first use.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pkgutil import resolve_name as find_name
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import CheckpointError
from ..messages import Message, ToolCall
from .relatives import check_relative

if TYPE_CHECKING:
    from .base import ModelConfig
    from .facts import ModelFacts
    from .language_model import BaseBlock, LanguageModel

# A package with an architecture of its own appends its name.
ARCHITECTURES = ["fastglm.models.chatglm.architecture:CHATGLM_6B", "fastglm.models.glm.architecture:GLM"]
resolve_name = cache(find_name)  # a config looks for its architecture often


@dataclass(frozen=True, slots=True)
class TensorNames:
    """Names of a checkpoint's modules by role; a tensor's name continues with `.weight` or the like.

    The names from `attention_norm` on are names inside a layer. Several matrices that read the same states are listed
    one by one.
    """

    embedding: str
    head: str
    final_norm: str
    layers: str
    attention_norm: str
    attention_in: tuple[str, ...]  # they give queries, keys and values
    attention_out: str  # adds to the residual stream
    mlp_norm: str
    mlp_in: tuple[str, ...]
    mlp_out: str  # adds to the residual stream
    attention_out_norm: str = ""  # of what attention adds; where a model has one
    mlp_out_norm: str = ""  # of what the MLP adds; likewise
    prefix: str = "transformer.prefix_encoder"  # only in checkpoints with a learned prefix
    unused: tuple[str, ...] = ()  # ends of names of tables that follow from the config

    @property
    def ends(self) -> tuple[str, str]:
        """The matrices of embedding and head."""
        return f"{self.embedding}.weight", f"{self.head}.weight"

    def layer(self, number: int) -> str:
        """The beginning of the names of a layer's tensors."""
        return f"{self.layers}.{number}."

    def split(self, name: str) -> tuple[int | None, str]:
        """The number of the layer that a tensor belongs to, and its name in there; None for those outside layers."""
        if not name.startswith(f"{self.layers}."):
            return None, name
        layer, _, rest = name.removeprefix(f"{self.layers}.").partition(".")
        return int(layer), rest


@dataclass(frozen=True, slots=True)
class OtherLayout:
    """A layout of another program for checkpoints of an architecture; reading a folder gives the architecture's own.

    parts: sizes of the matrices that `tensors` lists for one of the architecture, from its facts and a layer's number.
    """

    name: str
    model_types: tuple[str, ...]  # in config.json
    tensors: TensorNames
    fields: Callable[[Mapping[str, Any]], dict[str, Any]]  # the architecture's own fields of a config
    parts: Callable[[Any, int], Sequence[int]]


class Tokenizer(Protocol):
    """The parts of a tokenizer that make conversations, beside those of transformers."""

    pad_token_id: int
    eos_token_id: int
    vocab_size: int
    conversation: "Conversation"

    @property
    def end_ids(self) -> list[int]:
        """Tokens that end an answer."""

    def __len__(self) -> int: ...

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Ids of a text."""

    def encode_text(self, text: str) -> list[int]:
        """Ids of a text in which nothing becomes a control token."""

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """A prompt of ids that is ready to be answered, with its answer if given."""

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = False) -> str:
        """The text of ids."""


@dataclass(frozen=True, slots=True)
class CallRules:
    """Rules for an answer that calls a tool, in llguidance's form of Lark, and the JSON schemas in them by name."""

    lark: str
    schemas: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Conversation:
    """The rules of a conversation with a model.

    clean: changes an answer like the published code, by rules on neighbouring characters and short phrases.
    looked_at: the characters in those rules. A growing answer is never cut beside one of them.
    opening: the text that a model writes before each answer: the line of a tool's name, empty where it calls none.
    call: finds the call of a tool in a whole answer, whose control tokens have their names; None: there are no tools.
    call_rules: rules for an answer that calls one of some functions, which are given with `name` and `parameters`.
    """

    roles: tuple[str, ...]
    ids: Callable[[Tokenizer, Sequence[Message]], list[int]]  # ids of a conversation that is ready to be answered
    clean: Callable[[str], str]
    looked_at: frozenset[str]
    ends: tuple[str, ...] = ()  # control tokens that end an answer; none: the end of a sequence alone
    opening: str = ""
    call: Callable[[str], ToolCall | None] | None = None
    call_rules: Callable[[Sequence[Mapping[str, Any]]], CallRules] | None = None


@dataclass(frozen=True)
class Architecture:
    """Facts about an architecture. Its classes are given as `package.module:Class`."""

    name: str
    model_type: str  # in config.json
    recognizes: Callable[[Mapping[str, Any]], bool]  # by the fields of a config of that type
    facts: str
    config: str
    model: str
    block: str
    auto_config: str  # the class registered with transformers for the type, which architectures may share
    tokenizers: tuple[str, ...]  # the classes registered with transformers; the first reads a checkpoint's
    tokenizer_files: tuple[str, ...]  # files that a copy of a checkpoint needs
    tensors: TensorNames
    conversation: Conversation
    shapes: Mapping[str, int]  # the number of layers of each published size that `shape:` can name
    other_layouts: tuple[OtherLayout, ...] = ()

    @property
    def facts_class(self) -> type["ModelFacts"]:
        """The class of the facts in its configs, which needs no torch."""
        found: type[ModelFacts] = resolve_name(self.facts)
        return found

    @property
    def config_class(self) -> type["ModelConfig"]:
        """The class of its configs."""
        found: type[ModelConfig] = resolve_name(self.config)
        return found

    @property
    def model_class(self) -> type["LanguageModel"]:
        """The class of its models."""
        found: type[LanguageModel] = resolve_name(self.model)
        return found

    @property
    def block_class(self) -> type["BaseBlock"]:
        """The class of its layers."""
        found: type[BaseBlock] = resolve_name(self.block)
        return found

    @property
    def auto_config_class(self) -> type["ModelConfig"]:
        """The class registered with transformers for the type."""
        found: type[ModelConfig] = resolve_name(self.auto_config)
        return found

    @property
    def tokenizer_classes(self) -> list[Any]:
        """The classes of its tokenizers; the first reads a checkpoint's."""
        return [resolve_name(name) for name in self.tokenizers]


def architectures() -> list[Architecture]:
    """All architectures of the table."""
    return [resolve_name(name) for name in ARCHITECTURES]


def model_types() -> set[str]:
    """Every `model_type` of a config.json that can be read."""
    others = {kind for known in architectures() for layout in known.other_layouts for kind in layout.model_types}
    return others | {known.model_type for known in architectures()}


def layout_of(fields: Mapping[str, Any]) -> OtherLayout | None:
    """The layout of another program that a config.json belongs to; None for an architecture's own."""
    layouts = (layout for known in architectures() for layout in known.other_layouts)
    return next((layout for layout in layouts if fields.get("model_type") in layout.model_types), None)


def own_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config.json in the layout of its architecture. Raises CheckpointError for what it cannot say."""
    layout = layout_of(fields)
    return layout.fields(fields) if layout else dict(fields)


def recognize(fields: Mapping[str, Any]) -> Architecture:
    """The architecture of a config, by its fields in the layout of the architecture.

    Raises:
        CheckpointError: no architecture of the table fits; a model of the family that others run is named.
    """
    check_relative(fields)
    if layout := layout_of(fields):
        raise CheckpointError(
            f"This checkpoint is in {layout.name} ({fields['model_type']}): load it with fastglm.load, or with "
            "transformers' own AutoModelForCausalLM."
        )
    for known in architectures():
        if fields.get("model_type") == known.model_type and known.recognizes(fields):
            return known
    raise CheckpointError(
        "The config says chatglm but has the fields of no known generation: "
        "check that config.json is the one published with the checkpoint."
    )


def architecture_of(config: "ModelConfig") -> Architecture:
    """The architecture that a config's class belongs to."""
    return next(known for known in architectures() if known.config_class is type(config))
