"""The architectures, registered with transformers so that its Auto classes find them."""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from .chatglm import ChatGLMForConditionalGeneration
from .config import ChatGLM6BConfig, ChatGLMConfig
from .tokenizer import ChatGLMTokenizer


def register() -> None:
    """Makes `AutoConfig`, `AutoTokenizer` and the Auto models read ChatGLM without remote code."""
    AutoConfig.register("chatglm", ChatGLMConfig, exist_ok=True)
    for config in (ChatGLMConfig, ChatGLM6BConfig):
        AutoTokenizer.register(config, tokenizer_class=ChatGLMTokenizer, exist_ok=True)
    # The published checkpoints name the conditional-generation class under AutoModel and AutoModelForSeq2SeqLM.
    for auto in (AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM):
        auto.register(ChatGLM6BConfig, ChatGLMForConditionalGeneration, exist_ok=True)
