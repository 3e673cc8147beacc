"""The architectures, registered with transformers so that its Auto classes find them."""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from .chatglm.config import ChatGLM6BConfig, ChatGLMConfig
from .chatglm.model import ChatGLMForConditionalGeneration
from .chatglm.tokenizer import ChatGLM6BTokenizer, ChatGLMTokenizer


def register() -> None:
    """Makes `AutoConfig`, `AutoTokenizer` and the Auto models read ChatGLM without remote code."""
    AutoConfig.register("chatglm", ChatGLMConfig, exist_ok=True)
    # By the names of their classes alone, under a config that no checkpoint has: for a tokenizer that is registered for
    # the config of a checkpoint, AutoTokenizer prefers remote code where `trust_remote_code` is left in a call.
    for tokenizer in (ChatGLM6BTokenizer, ChatGLMTokenizer):
        AutoTokenizer.register(ChatGLMConfig, tokenizer_class=tokenizer, exist_ok=True)
    # The published checkpoints name the conditional-generation class under AutoModel and AutoModelForSeq2SeqLM.
    for auto in (AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM):
        auto.register(ChatGLM6BConfig, ChatGLMForConditionalGeneration, exist_ok=True)
