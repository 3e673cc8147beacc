"""The common parts and steps of all architectures' models."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..errors import ContextError, UsageError
from ..history import as_messages, without_oldest
from ..messages import Message
from ..placement import Entries, Stage, stages_of
from .architecture import TensorNames, Tokenizer
from .base import ModelConfig
from .decoder import Decoder, Rotary
from .generate_settings import stop_tokens
from .masks import causal, check_left_padding
from .prefix import Prefix, PrefixEncoder


@dataclass(frozen=True, slots=True)
class Plan:
    """Positions and mask of prompts, ready for an engine."""

    position_ids: Tensor  # [batch, kinds, sequence]
    attention_mask: Tensor  # [batch, 1, sequence, sequence], True where attended
    padding: Tensor  # [batch], tokens of padding at the left
    stride: tuple[int, ...]  # by kind of position: its growth from one token of the answer to the next

    def next_position_ids(self, count: int) -> Tensor:
        """Positions of the `count` tokens after the prompt, [batch, kinds, count]."""
        stride = torch.tensor(self.stride, device=self.position_ids.device)[:, None]
        order = torch.arange(1, count + 1, device=self.position_ids.device)
        return self.position_ids[:, :, -1:] + stride * order


class BaseBlock(nn.Module):
    """A layer: attention and an MLP, each of which adds to the residual stream.

    `TensorNames` names its modules. It is called with states [batch, sequence, hidden], the result of
    `LanguageModel.rotary`, a mask [batch, 1, sequence, total] (None: everything is visible) and a cache or None; it
    returns the next states.
    """

    def head_rows(self) -> tuple[Tensor, ...]:
        """By matrix of `attention_in`: the rows of each key head with its query heads, [kv heads, rows]."""
        raise NotImplementedError

    def channel_rows(self) -> tuple[Tensor, ...]:
        """By matrix of `mlp_in`: the rows of each channel, [channels, rows]."""
        raise NotImplementedError


class LanguageModel(PreTrainedModel):
    """A model of any architecture: its parts, and the steps in which it computes.

    The base model takes `input_ids`, `position_ids`, `attention_mask`, `use_cache` and `output_hidden_states`, as
    transformers' do.
    """

    config: ModelConfig
    fastglm: Any  # `LoadedInfo`, if the loader made the model

    @property
    def names(self) -> TensorNames:
        """The names of its modules."""
        return self.config.architecture.tensors

    @property
    def embedding(self) -> nn.Module:
        """The first module: ids to states."""
        return self.get_submodule(self.names.embedding)

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers."""
        found = self.get_submodule(self.names.layers)
        assert isinstance(found, nn.ModuleList)
        return found

    @property
    def final_norm(self) -> nn.Module:
        """The norm of the states after the last layer."""
        return self.get_submodule(self.names.final_norm)

    @property
    def head(self) -> nn.Module:
        """The last module: normed states to logits."""
        return self.get_submodule(self.names.head)

    @property
    def prefix_encoder(self) -> PrefixEncoder | None:
        """The module of a learned prefix, if the model has one."""
        return self.get_submodule(self.names.prefix) if self.config.pre_seq_len else None

    def prefix(self) -> Prefix | None:
        """The keys and values of its learned prefix, if it has one."""
        return self.prefix_encoder() if self.prefix_encoder else None

    def tie(self) -> None:
        """Give the head the embedding's matrix, if both are plain and the config says that they are one."""
        embedding, head = self.embedding, self.head
        if self.config.tie_word_embeddings and isinstance(head, nn.Linear) and isinstance(embedding, nn.Embedding):
            head.weight = embedding.weight

    @property
    def entries(self) -> Entries:
        """The layers that begin on another device than the layer before; empty if all are on one device."""
        return self.base_model.entries

    @entries.setter
    def entries(self, entries: Entries) -> None:
        self.base_model.entries = entries

    @property
    def stages(self) -> list[Stage]:
        """Neighbouring layers on each device; empty if all are on one."""
        return stages_of(self.entries, len(self.blocks))

    @property
    def device(self) -> torch.device:
        """The device of ids and logits."""
        return self.stages[-1][1] if self.stages else super().device

    def hidden_states(self, batch: Any, *, each: bool = False) -> Any:
        """States of a packed batch after the final norm, [rows, tokens, hidden].

        Args:
            each: give a tuple with the states before every layer as well, the final ones last.
        """
        found = self.base_model(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            attention_mask=batch.attention_mask,
            use_cache=False,
            output_hidden_states=each,
        )
        return found.hidden_states if each else found.last_hidden_state

    @property
    def rotary(self) -> Rotary:
        """An object that converts positions into the form that the layers take.

        It is called with position ids, [batch, kinds, sequence], a number above all of them (0 if they are known to be
        within the context) and the dtype of the states.
        """
        found: Rotary = self.base_model.rotary
        return found

    def plan(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Plan:
        """Positions and mask of a batch of prompts, and of the tokens after them.

        Args:
            input_ids: [batch, sequence].
            attention_mask: [batch, sequence], 0 on the padding at the left; None where there is none.

        Raises:
            UsageError: there is padding on the right.
        """
        real = check_left_padding(input_ids, attention_mask)
        positions = (real.cumsum(-1) - 1).clamp(min=0)[:, None]
        return Plan(positions, causal(real), (~real).sum(-1), self.config.position_stride)

    def decoder(self) -> Decoder:
        """A module for an engine; a new one each time, on the same weights."""
        return Decoder(self)

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""
        return self.config.context

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        """Ids that end an answer."""
        return stop_tokens(self.config.eos_token_id)

    def clean_response(self, text: str) -> str:
        """An answer as the published code shows it."""
        return self.config.conversation.clean(text)

    def prompt_ids(
        self, tokenizer: Tokenizer, query: str | Message, history: Any = None, room: int = 1
    ) -> tuple[list[int], int]:
        """Ids of a conversation, and the number of its oldest rounds that were left out to keep `room` tokens free.

        Nothing that a user typed becomes a control token.

        Args:
            query: the user's text, or a message of another role that is to be answered.
            history: in any form of `fastglm.history`.

        Raises:
            ContextError: the query alone leaves no room for a single token.
            UsageError: query or history have another form, or roles that this model does not know.
        """
        asked = Message("user", query) if isinstance(query, str) else query
        if not isinstance(asked, Message):
            raise UsageError(f"The query must be a text (got {type(query).__name__}).")
        conversations = without_oldest([*as_messages(history), asked])
        for left_out, messages in enumerate(conversations):
            ids = tokenizer.conversation.ids(tokenizer, messages)
            is_last = left_out == len(conversations) - 1
            if len(ids) + (1 if is_last else room) <= self.context_length:
                return ids, left_out
        raise ContextError(
            f"The message is {len(ids)} tokens long and the model's context is {self.context_length}: shorten it."
        )
