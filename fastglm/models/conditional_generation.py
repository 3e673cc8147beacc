"""A body with its head as transformers' generation and trainers take it."""

from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.cache_utils import Cache
from transformers.loss.loss_utils import ForCausalLMLoss
from transformers.modeling_outputs import CausalLMOutputWithPast

from ..errors import UsageError
from ..kernels.packed import QuantizedEmbedding, QuantizedLinear, SharedHead
from .body import Body, FamilyModel, put
from .generate_hooks import GenerationHooks, check_supported
from .language_model import LanguageModel
from .masks import next_labels, real_tokens
from .published import PublishedMixin


class ConditionalGeneration(PublishedMixin, GenerationHooks, FamilyModel, LanguageModel, GenerationMixin):
    """The language model: `body_class` with a head, in the published interface."""

    body_class: ClassVar[type[Body]]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        put(self, self.base_model_prefix, self.body_class(config))
        embedding = self.embedding
        is_shared = isinstance(embedding, QuantizedEmbedding) and config.tie_word_embeddings
        ends = self.names.ends
        # A packed matrix is shared by construction.
        self._tied_weights_keys = {} if is_shared else {ends[1]: ends[0]}
        if isinstance(embedding, QuantizedEmbedding) and config.tie_word_embeddings:
            self.set_output_embeddings(SharedHead(embedding))
        elif format := config.embedding_weight_format():
            self.set_output_embeddings(QuantizedLinear(format, config.hidden, config.vocab_size, bias=False))
        else:
            self.set_output_embeddings(nn.Linear(config.hidden, config.vocab_size, bias=False))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        put(self, self.names.embedding, value)

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def set_output_embeddings(self, value: nn.Module) -> None:
        put(self, self.names.head, value)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Module:
        """Resize the embedding as transformers does; a separate head stays separate, whatever the config says.

        Raises:
            UsageError: embedding and head are quantized.
        """
        embedding, head = self.embedding, self.head
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
        """Run `Body.forward` and the head: logits [batch, sequence, vocabulary].

        Args:
            labels: [batch, sequence], -100 for no loss, as on padding; the loss is the mean over next tokens, or their
            sum over `num_items_in_batch`, which transformers' trainer passes.
            logits_to_keep: the number of last positions with logits; 0: all of them.
        """
        check_supported(past_key_values, kwargs)
        outputs = self.base_model(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=self.config.use_cache and not self.training if use_cache is None else use_cache,
            output_hidden_states=output_hidden_states,
        )
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.head(outputs.last_hidden_state[:, keep])
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
