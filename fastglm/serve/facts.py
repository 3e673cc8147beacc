"""Facts of a loaded model that conversations over HTTP need, read in the process that holds it."""

from dataclasses import dataclass
from typing import Any

from fastglm.progress.progress import OnProgress

_TURN = "<|assistant|>"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts of a model's conversations.

    generation: `chatglm3`, `glm4` and so on; None for ChatGLM-6B.
    looked_at: characters at the end of a growing answer that its clean-up may still change.
    tokens: the bytes of each token.
    turn: the token after which an answer goes on with another message; None: there is none.
    """

    roles: tuple[str, ...]
    generation: str | None
    looked_at: str
    has_tools: bool
    tokens: tuple[bytes, ...]
    turn: int | None = None

    @property
    def has_roles(self) -> bool:
        """Tell whether histories are messages with roles; if not, they are pairs of texts."""
        return "system" in self.roles


def read_facts(model: Any, tokenizer: Any, progress: OnProgress) -> ModelFacts:
    """Read the facts of a model; for `Host.apply`."""
    conversation = tokenizer.conversation
    has_tools = conversation.call is not None
    return ModelFacts(
        conversation.roles,
        getattr(model.config, "generation", None),
        "".join(sorted(conversation.looked_at)),
        has_tools,
        tuple(tokenizer.token_bytes(range(model.config.vocab_size))),
        tokenizer.get_command(_TURN) if has_tools else None,
    )
