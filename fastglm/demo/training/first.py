"""The training of the first embedded model: ChatGLM-6B's layout, learned from the corpus alone."""

from pathlib import Path

import torch

from ...models.chatglm.block import RESIDUAL_SCALE
from ...models.chatglm.config import ChatGLM6BConfig
from ...models.chatglm.model import ChatGLMForConditionalGeneration
from ...models.chatglm.tokenizer import ChatGLM6BTokenizer
from ..corpus import vocabulary_texts
from ..skills import SKILLS
from ..tokenizer import VOCABULARY_FILE, train_tokenizer
from .design import Design, scale_branches
from .plan import Plan


class FirstDemo(Design):
    """`fastglm train demo`."""

    command = "demo"
    card = "card.md"
    dtype = torch.float16
    skills = SKILLS
    plan = Plan()

    def write_tokenizer(self, out: Path, seed: int, plan: Plan) -> None:
        train_tokenizer(vocabulary_texts(seed), out, plan.vocabulary)

    def read_tokenizer(self, out: Path) -> ChatGLM6BTokenizer:
        return ChatGLM6BTokenizer(str(out / VOCABULARY_FILE), num_image_tokens=0)

    def model(self, plan: Plan, tokenizer: ChatGLM6BTokenizer) -> ChatGLMForConditionalGeneration:
        """The untrained model. Its branches are scaled so that it learns faster."""
        config = ChatGLM6BConfig(
            vocab_size=-(-tokenizer.vocab_size // 64) * 64,
            hidden_size=plan.hidden,
            num_layers=plan.layers,
            num_attention_heads=plan.heads,
            inner_hidden_size=plan.inner,
            max_sequence_length=1024,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            mask_token_id=tokenizer.model.piece_to_id("[MASK]"),
            gmask_token_id=tokenizer.gmask_token_id,
            tie_word_embeddings=False,
        )
        config.architectures = ["ChatGLMForConditionalGeneration"]
        model = ChatGLMForConditionalGeneration(config)
        scale_branches(model, RESIDUAL_SCALE)
        return model
