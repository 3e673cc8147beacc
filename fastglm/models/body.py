"""The layers of a model between ids and the states before its head, built from the names of its architecture."""

from abc import abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast

from ..errors import UsageError
from ..kernels.packed import QuantizedEmbedding
from ..placement import Entries, moved
from .base import ModelConfig
from .decoder import Rotary
from .dynamic_cache import make_cache
from .generate_hooks import check_supported
from .loaded_weights import check_loaded
from .prefix import PrefixEncoder, prefixed
from .reading import CausalReader, Reading


class FamilyModel(PreTrainedModel):
    """The facts about the family for transformers."""

    config: ModelConfig
    base_model_prefix = "transformer"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules: ClassVar[list[str]] = ["Block"]
    _skip_keys_device_placement: ClassVar[list[str]] = ["past_key_values"]
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"rotary_(emb|pos_emb)\.inv_freq"]

    @classmethod
    def from_pretrained(
        cls, *args: Any, output_loading_info: bool = False, ignore_mismatched_sizes: bool = False, **kwargs: Any
    ) -> Any:
        """Load as in transformers. Raises CheckpointError for weights that do not fit, as `check_loaded` does."""
        kwargs |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        model, info = super().from_pretrained(*args, **kwargs)
        check_loaded(model.config, info, not ignore_mismatched_sizes)
        return (model, info) if output_loading_info else model


class Body(FamilyModel):
    """Embedding, layers and final norm, each at the place that its name says."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        config.check()
        shape, format = (config.vocab_size, config.hidden), config.embedding_weight_format()
        block = config.architecture.block_class
        parts = {
            self._place("embedding"): QuantizedEmbedding(format, *shape) if format else nn.Embedding(*shape),
            self._place("layers"): nn.ModuleList(block(config, layer) for layer in range(config.layers)),
            self._place("final_norm"): self.make_final_norm(),
        }
        if config.pre_seq_len:
            parts[self._place("prefix")] = PrefixEncoder(config)
        for path, module in parts.items():
            put(self, path, module)
        self.rotary = self.make_rotary()
        self.entries: Entries = {}  # empty if all layers are on one device
        self.gradient_checkpointing = False

    @abstractmethod
    def make_final_norm(self) -> nn.Module:
        """Create the norm after the last layer."""

    @abstractmethod
    def make_rotary(self) -> Rotary:
        """Create the object that converts positions into the form that the layers take."""

    def _place(self, role: str) -> str:
        """The path of a module in here, by its role."""
        name: str = getattr(self.config.architecture.tensors, role)
        return name.removeprefix(f"{self.base_model_prefix}.")

    @property
    def _prefix_encoder(self) -> PrefixEncoder | None:
        found = self.get_submodule(self._place("prefix")) if self.config.pre_seq_len else None
        assert found is None or isinstance(found, PrefixEncoder)
        return found

    def get_input_embeddings(self) -> nn.Module:
        return self.get_submodule(self._place("embedding"))

    def set_input_embeddings(self, value: nn.Module) -> None:
        put(self, self._place("embedding"), value)

    def forward(
        self,
        input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        **others: Any,
    ) -> BaseModelOutputWithPast:
        """Run the layers.

        Args:
            input_ids: [batch, sequence]; or their embeddings, [batch, sequence, hidden].
            position_ids: [batch, kinds, sequence]; found from the tokens where not given.
            attention_mask: [batch, total] with 0 on padding, wherever that lies; or [batch, 1, sequence, total], True
                where attended, or True where hidden, as published.
            past_key_values: keys and values of the tokens before, or a prefix that was learned.

        Raises:
            UsageError: an argument without a clear meaning, or one that this architecture does not have.
        """
        check_supported(past_key_values, others)
        if (input_ids is None) == (inputs_embeds is None):
            raise UsageError("Give the model either input_ids or inputs_embeds.")
        x = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        reading = self.read(input_ids, x, position_ids, attention_mask, past_key_values)
        if self.gradient_checkpointing and self.training and past_key_values is not None:
            raise UsageError("Gradient checkpointing does not go with past_key_values: switch one of them off.")
        if use_cache and past_key_values is None:
            past_key_values = make_cache(self.config)
        if past_key_values is not None:
            reading.remember(past_key_values)

        mask, cache = prefixed(self._prefix_encoder, reading.mask, past_key_values)
        rotation = self.rotary(reading.position_ids, reading.positions, x.dtype)
        hidden_states: tuple[Tensor, ...] = ()
        layers = self.get_submodule(self._place("layers"))
        assert isinstance(layers, nn.ModuleList)
        for layer, block in enumerate(layers):
            if layer in self.entries:
                x, rotation, mask = moved(self.entries[layer], x, rotation, mask)
            if output_hidden_states:
                hidden_states += (x,)
            if self.gradient_checkpointing and self.training:
                x = self._gradient_checkpointing_func(block.__call__, x, rotation, mask, cache)
            else:
                x = block(x, rotation, mask, cache)
        x = self.get_submodule(self._place("final_norm"))(x)
        return BaseModelOutputWithPast(
            last_hidden_state=x,
            past_key_values=past_key_values,
            hidden_states=(*hidden_states, x) if output_hidden_states else None,
        )

    def read(
        self,
        ids: Tensor | None,
        x: Tensor,
        position_ids: Tensor | None,
        attention_mask: Tensor | None,
        cache: Cache | None,
    ) -> Reading:
        """Positions and mask of new tokens, [batch, sequence], or of their embeddings x: [batch, sequence, hidden]."""
        return CausalReader(x.shape[:2], x.device, attention_mask, cache).read(position_ids)


def put(root: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module at a path, with plain modules on the way where there are none."""
    *parents, last = path.split(".")
    for name in parents:
        if name not in root._modules:
            root.add_module(name, nn.Module())
        root = root.get_submodule(name)
    setattr(root, last, module)
