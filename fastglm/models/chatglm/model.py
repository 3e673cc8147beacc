"""ChatGLM-6B as a transformers model (GLM: Du et al., ACL 2022, arXiv 2103.10360; GLM-130B, arXiv 2210.02414, p. 3).

Differences from the usual decoder: the residual branch starts from the normalised input scaled by a constant, the
rotary positions are two-dimensional, and the prompt is seen in both directions.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.loss.loss_utils import ForCausalLMLoss
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from ...errors import CheckpointError, UsageError
from ...kernels.packed import QuantizedEmbedding, QuantizedLinear, SharedHead
from ...placement import Entries, moved
from ..dynamic_cache import make_cache
from ..language_model import LanguageModel, Plan
from .block import Block
from .chat import ChatMixin
from .config import ChatGLM6BConfig
from .generation import RIGHT_PADDING, GenerationHooks, check_supported
from .masks import holds, next_labels, real_tokens
from .positions import Layout, find_layout, layout_of
from .positions import attention_mask as find_attention_mask
from .positions import position_ids as find_position_ids
from .published import PublishedMixin
from .reading import Reader, Reading
from .rotary import Rotary2D


class ChatGLMPreTrainedModel(PreTrainedModel):
    """The facts about the family for transformers."""

    config_class = ChatGLM6BConfig
    base_model_prefix = "transformer"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules: ClassVar[list[str]] = ["Block"]
    _skip_keys_device_placement: ClassVar[list[str]] = ["past_key_values"]
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"rotary_emb\.inv_freq"]

    @classmethod
    def from_pretrained(cls, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """Load as in transformers. Raises CheckpointError for missing weights, which otherwise would be random
        numbers.
        """
        model, info = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        if missing := sorted(info["missing_keys"]):
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise CheckpointError(
                f"The checkpoint lacks {', '.join(missing[:3])}{more}: a shard is missing; fetch it again."
            )
        return (model, info) if output_loading_info else model


class ChatGLMModel(ChatGLMPreTrainedModel):
    """Embedding, layers and final norm."""

    def __init__(self, config: ChatGLM6BConfig) -> None:
        super().__init__(config)
        config.check()
        shape = (config.vocab_size, config.hidden_size)
        self.word_embeddings: nn.Module = nn.Embedding(*shape)
        if format := config.embedding_weight_format():
            self.word_embeddings = QuantizedEmbedding(format, *shape)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.final_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layernorm_epsilon)
        assert config.head_dim is not None
        self.rotary = Rotary2D(config.head_dim, config.max_sequence_length + 1)
        self.entries: Entries = {}  # empty if all layers are on one device
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.word_embeddings = value

    def layout(self, input_ids: Tensor, mask: Tensor | None) -> Layout:
        """Find the ends of contexts in a batch of prompts, from the tokens themselves; mask: [batch, sequence] or
        None.
        """
        config = self.config
        return find_layout(input_ids, mask, config.bos_token_id, config.gmask_token_id, config.mask_token_id)

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
        """Runs the layers.

        Args:
            input_ids: [batch, sequence]; or their embeddings, [batch, sequence, hidden].
            position_ids: [batch, 2, sequence], position and block position; found from the tokens where not given.
            attention_mask: [batch, total] with 0 on padding, wherever that lies; or [batch, 1, sequence, total], True
                where attended, or True where hidden, as published.
            past_key_values: keys and values of the tokens before, or a prefix that was learned.

        Raises:
            UsageError: something that cannot be read as meant, or that this architecture does not have.
        """
        check_supported(past_key_values, others)
        if (input_ids is None) == (inputs_embeds is None):
            raise UsageError("Give the model either input_ids or inputs_embeds.")
        x = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        reading = self._read(input_ids, x, position_ids, attention_mask, past_key_values)
        if self.gradient_checkpointing and self.training and past_key_values is not None:
            raise UsageError("Gradient checkpointing does not go with past_key_values: switch one of them off.")
        if use_cache and past_key_values is None:
            past_key_values = make_cache(self.config)
        if past_key_values is not None:
            reading.remember(past_key_values)

        mask = reading.mask
        rotation = self.rotary(reading.position_ids, reading.positions, x.dtype)
        hidden_states: tuple[Tensor, ...] = ()
        for layer, block in enumerate(self.layers):
            if layer in self.entries:
                x, rotation, mask = moved(self.entries[layer], x, rotation, mask)
            if output_hidden_states:
                hidden_states += (x,)
            if self.gradient_checkpointing and self.training:
                x = self._gradient_checkpointing_func(block.__call__, x, rotation, mask, None)
            else:
                x = block(x, rotation, mask, past_key_values)
        x = self.final_layernorm(x)
        return BaseModelOutputWithPast(
            last_hidden_state=x,
            past_key_values=past_key_values,
            hidden_states=(*hidden_states, x) if output_hidden_states else None,
        )

    def _read(
        self,
        ids: Tensor | None,
        x: Tensor,
        position_ids: Tensor | None,
        attention_mask: Tensor | None,
        cache: Cache | None,
    ) -> Reading:
        """Positions and mask of new tokens, [batch, sequence], or of their embeddings x: [batch, sequence, hidden]."""
        reader = Reader(x.shape[:2], x.device, attention_mask, cache)
        if position_ids is not None:
            return reader.as_given(position_ids)
        config = self.config
        marks = [config.bos_token_id, config.gmask_token_id, config.mask_token_id]
        if ids is None:  # rows of the embedding stand for their tokens, as those after a learned prompt
            rows = self.word_embeddings(torch.tensor(marks, device=x.device)).to(x.dtype)
            is_sop, is_gmask, is_mask = ((x == row).all(-1) for row in rows)
        else:
            is_sop, is_gmask, is_mask = (ids.to(x.device) == mark for mark in marks)
        if not reader.begins:
            return reader.after_prompt(reader.lacks_sop and not holds(~is_sop))
        has_sop = holds(is_sop.any(-1))
        if not has_sop and (ids is None or reader.is_behind_prefix):
            raise UsageError(
                "There is no <sop> in inputs_embeds or behind past_key_values, from which positions would follow: pass "
                "position_ids."
            )
        return reader.of_prompt(layout_of(is_sop, is_gmask, is_mask, reader.new), has_sop)


class ChatGLMForConditionalGeneration(
    ChatMixin, PublishedMixin, GenerationHooks, ChatGLMPreTrainedModel, LanguageModel, GenerationMixin
):
    """The language model with the published interface: `chat`, `stream_chat`, `quantize` and more."""

    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "transformer.word_embeddings.weight"}

    def __init__(self, config: ChatGLM6BConfig) -> None:
        super().__init__(config)
        self.transformer = ChatGLMModel(config)
        self.lm_head: nn.Module
        embedding = self.transformer.word_embeddings
        if isinstance(embedding, QuantizedEmbedding) and config.tie_word_embeddings:
            self.lm_head = SharedHead(embedding)
            self._tied_weights_keys = {}  # type: ignore[misc]  # shared by construction
        elif format := config.embedding_weight_format():
            self.lm_head = QuantizedLinear(format, config.hidden_size, config.vocab_size, bias=False)
        else:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.transformer.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.transformer.word_embeddings = value

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.lm_head = value

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Module:
        """Resize the embedding as transformers does; a separate head stays separate, whatever the config says.

        Raises:
            UsageError: embedding and head are quantized.
        """
        embedding, head = self.transformer.word_embeddings, self.lm_head
        if isinstance(embedding, QuantizedEmbedding):
            raise UsageError(
                "A quantised embedding cannot grow: resize the model it was made from, and quantise again."
            )
        self.config.tie_word_embeddings = head.weight is embedding.weight
        return super().resize_token_embeddings(*args, **kwargs)

    def forward(
        self,
        input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Run `ChatGLMModel.forward` and the head: logits [batch, sequence, vocabulary].

        Args:
            labels: [batch, sequence], -100 for no loss, as on padding; the loss is the mean over next tokens, or their
            sum over `num_items_in_batch`, which transformers' trainer passes.
            logits_to_keep: the number of last positions with logits; 0: all of them.
        """
        check_supported(past_key_values, kwargs)
        outputs = self.transformer(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=self.config.use_cache and not self.training if use_cache is None else use_cache,
            output_hidden_states=output_hidden_states,
        )
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, keep])
        loss = None
        if labels is not None:
            batch, length = outputs.last_hidden_state.shape[:2]
            if labels.shape != (batch, length):
                raise UsageError(f"labels have the shape {list(labels.shape)}: it must be [{batch}, {length}].")
            real = real_tokens(attention_mask, batch, length)
            targets = next_labels(labels, None if real is None else real.to(labels.device))[:, keep]
            items = kwargs.get("num_items_in_batch")
            loss = ForCausalLMLoss(logits, None, logits.shape[-1], items, shift_labels=targets.contiguous())
        output = CausalLMOutputWithPast(
            loss=loss, logits=logits, past_key_values=outputs.past_key_values, hidden_states=outputs.hidden_states
        )
        return output if return_dict is not False else output.to_tuple()

    def plan(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Plan:
        """Positions and mask of a batch of prompts, and of the tokens after them.

        Args:
            input_ids: [batch, sequence].
            attention_mask: [batch, sequence], 0 on the padding at the left; None without padding.

        Raises:
            UsageError: there is padding on the right.
        """
        if attention_mask is not None and not holds(attention_mask[:, -1] != 0):
            raise UsageError(RIGHT_PADDING)
        layout = self.transformer.layout(input_ids, attention_mask)
        positions, mask = find_position_ids(layout), find_attention_mask(layout)
        return Plan(positions, mask, (~layout.real).sum(-1), self.config.position_stride)
