"""ChatGLM-6B as a transformers model (GLM: Du et al., ACL 2022, arXiv 2103.10360; GLM-130B, arXiv 2210.02414, p. 3).

Differences from the usual decoder: the residual branch starts from the normalised input scaled by a constant, the
rotary positions are two-dimensional, and the prompt is seen in both directions.
"""

import math
from copy import copy
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.loss.loss_utils import ForCausalLMLoss
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from ..errors import CheckpointError, UsageError
from ..kernels.after import After
from ..kernels.linear import QuantizedEmbedding, QuantizedLinear, SharedHead, apply, make_linear
from ..placement import Entries, Stage, moved, stages_of
from .attention import attend
from .cache import make_cache
from .chat import ChatMixin
from .config import ChatGLM6BConfig
from .fused import add_norm, fuses, launch_rotate
from .generation import RIGHT_PADDING, GenerationHooks, check_supported
from .masks import holds, next_labels, real_tokens
from .positions import Layout, Plan, find_layout, layout_of
from .positions import attention_mask as find_attention_mask
from .positions import position_ids as find_position_ids
from .published import PublishedMixin
from .reading import Reader, Reading
from .rotary import Rotary2D, apply_rotary

# The published blocks take 28 as their number of layers whatever the config says.
RESIDUAL_SCALE = math.sqrt(2 * 28)
# Rows of a prompt that a layer works on at a time when it answers, so that its intermediates stay small. The context is
# seen in both directions: a layer needs the keys and values of all rows before it attends from the first.
ROWS = 512


class Attention(nn.Module):
    """Multi-head attention; `query_key_value` gives [q | k | v] head by head.

    The published fp16 code divides q by the layer number and multiplies the scores by it in fp32, to stay within
    fp16's range. `scaled_dot_product_attention` keeps the scores in fp32 or scales before the product, so that
    here the plain scale does the same, at any depth; a layer that moved up because others were removed before it keeps
    what it was trained with (`config.layer_number`).
    """

    def __init__(self, config: ChatGLM6BConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads = config.heads(layer)
        self.head_dim: int = config.head_dim  # type: ignore[assignment]  # set by the config
        width = self.heads * self.head_dim
        self.query_key_value = make_linear(config, config.hidden_size, 3 * width)
        self.dense = make_linear(config, width, config.hidden_size)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None, cache: Any | None) -> Tensor:
        """x: [batch, sequence, hidden]; mask: [batch, 1, sequence, total], True (or 0.0) where attended."""
        if cache is not None and hasattr(cache, "places") and fuses(x):  # a decode step
            q, (k, v) = launch_rotate(self._qkv(x), rotation, *cache.of_layer(self.layer)), cache.seen(self.layer)
            return self._merge(q, k, v, mask)
        if cache is None or x.shape[1] <= ROWS:
            q, k, v = self._project(x, rotation)
        else:
            parts = zip(*(part.split(ROWS, 1) for part in (x, *rotation)), strict=True)
            q, k, v = (
                torch.cat(found, 2)
                for found in zip(*(self._project(rows, (cos, sin)) for rows, cos, sin in parts), strict=True)
            )
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        return self._merge(q, k, v, mask)

    def _merge(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return self.dense(attend(q, k, v, mask).transpose(1, 2).flatten(2))

    def _qkv(self, x: Tensor) -> Tensor:
        """[batch, sequence, heads, 3 * head_dim]"""
        return self.query_key_value(x).unflatten(-1, (self.heads, 3 * self.head_dim))

    def _project(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries, rotated keys and values, [batch, heads, sequence, head_dim] each."""
        qk, v = self._qkv(x).split((2 * self.head_dim, self.head_dim), -1)
        q, k = apply_rotary(qk, rotation).transpose(1, 2).chunk(2, -1)
        return q, k, v.transpose(1, 2)


class MLP(nn.Module):
    """The feed-forward part: GELU in its tanh form between two linear maps, and the residual."""

    def __init__(self, config: ChatGLM6BConfig, layer: int) -> None:
        super().__init__()
        self.dense_h_to_4h = make_linear(config, config.hidden_size, config.inner(layer))
        self.dense_4h_to_h = make_linear(config, config.inner(layer), config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """x: [batch, sequence, hidden]."""
        inner = apply(self.dense_h_to_4h, x, After(gelu=True))
        return apply(self.dense_4h_to_h, inner, After(residual=x, scale=RESIDUAL_SCALE))


class Block(nn.Module):
    """One layer; each residual branch starts from the normalised input."""

    def __init__(self, config: ChatGLM6BConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layernorm_epsilon)
        self.attention = Attention(config, layer)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layernorm_epsilon)
        self.mlp = MLP(config, layer)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None, cache: Any | None) -> Tensor:
        """x: [batch, sequence, hidden]."""
        a = self.input_layernorm(x)
        branch = self.attention(a, rotation, mask, cache)
        m = add_norm(branch, a, RESIDUAL_SCALE, self.post_attention_layernorm)
        if cache is None or x.shape[1] <= ROWS:
            return self.mlp(m)
        return torch.cat([self.mlp(rows) for rows in m.split(ROWS, 1)], 1)


class Decoder(nn.Module):
    """A model as an engine runs it: ids, positions, mask and cache are given, and only logits come out.

    It shares the weights of the model it is made of.
    """

    def __init__(self, model: "ChatGLMForConditionalGeneration") -> None:
        super().__init__()
        transformer = model.transformer
        self.word_embeddings, self.layers = transformer.word_embeddings, transformer.layers
        self.final_layernorm, self.lm_head = transformer.final_layernorm, model.lm_head
        self.rotary = transformer.rotary

    @property
    def dtype(self) -> torch.dtype:
        """Of the activations."""
        return next(self.layers.parameters()).dtype  # of a norm, which is never packed

    def part(self, layers: range) -> "Decoder":
        """What runs some of the layers: takes hidden states instead of ids, and gives them where more layers follow."""
        part = copy(self)
        part._modules = {**self._modules, "word_embeddings": nn.Identity()}
        part.layers = self.layers[layers.start : layers.stop]
        if layers.stop < len(self.layers):
            part._modules |= {"final_layernorm": nn.Identity(), "lm_head": nn.Identity()}
        return part

    def forward(self, ids: Tensor, position_ids: Tensor, mask: Tensor, cache: Any, keep: int) -> Tensor:
        """Logits of the last `keep` positions, [batch, keep, vocabulary].

        Args:
            ids: [batch, sequence].
            position_ids: [batch, 2, sequence], within the context of the model.
            mask: [batch, 1, sequence, total], True (or 0.0) where attended.
            cache: its `update` takes new keys and values of a layer and returns those to attend to.
        """
        x = self.word_embeddings(ids)
        rotation = self.rotary(position_ids, 0, x.dtype)
        for block in self.layers:
            x = block(x, rotation, mask, cache)
        return self.lm_head(self.final_layernorm(x[:, -keep:]))


class ChatGLMPreTrainedModel(PreTrainedModel):
    """What transformers needs to know of the family."""

    config_class = ChatGLM6BConfig
    base_model_prefix = "transformer"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules: ClassVar[list[str]] = ["Block"]
    _skip_keys_device_placement: ClassVar[list[str]] = ["past_key_values"]
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"rotary_emb\.inv_freq"]

    @classmethod
    def from_pretrained(cls, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """As of transformers. Raises CheckpointError where weights are missing, which would else be random numbers."""
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
        self.entries: Entries = {}  # empty where all lies on one device
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.word_embeddings = value

    def layout(self, input_ids: Tensor, mask: Tensor | None) -> Layout:
        """Where contexts end in a batch of prompts, from the tokens themselves; mask: [batch, sequence] or None."""
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
        if ids is None:  # rows of the embedding stand for their tokens, as those behind a learned prompt
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
    ChatMixin, PublishedMixin, GenerationHooks, ChatGLMPreTrainedModel, GenerationMixin
):
    """The language model, with what the published one offers: `chat`, `stream_chat`, `quantize` and more."""

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

    @property
    def device(self) -> torch.device:
        """Where ids come in and logits come out."""
        return self.stages[-1][1] if self.stages else super().device

    @property
    def stages(self) -> list[Stage]:
        """Neighbouring layers on each device; none where all lies on one."""
        return stages_of(self.transformer.entries, len(self.transformer.layers))

    def get_input_embeddings(self) -> nn.Module:
        return self.transformer.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.transformer.word_embeddings = value

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.lm_head = value

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Module:
        """As transformers does; where head and embedding are two matrices they stay two, whatever the config says.

        Raises:
            UsageError: embedding and head are quantised.
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
        """As `ChatGLMModel.forward`, with logits [batch, sequence, vocabulary].

        Args:
            labels: [batch, sequence], -100 where no loss is wanted, as on padding; the loss is the mean over next
                tokens, or their sum over `num_items_in_batch`, which transformers' trainer passes.
            logits_to_keep: of the last so many positions only; 0: all of them.
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
        """Positions and mask of a batch of prompts, and of what follows them.

        Args:
            input_ids: [batch, sequence].
            attention_mask: [batch, sequence], 0 on the padding at the left; None where there is none.

        Raises:
            UsageError: there is padding on the right.
        """
        if attention_mask is not None and not holds(attention_mask[:, -1] != 0):
            raise UsageError(RIGHT_PADDING)
        layout = self.transformer.layout(input_ids, attention_mask)
        return Plan(find_position_ids(layout), find_attention_mask(layout), (~layout.real).sum(-1))

    def decoder(self) -> Decoder:
        """What an engine runs; made anew each time, on the same weights."""
        return Decoder(self)
