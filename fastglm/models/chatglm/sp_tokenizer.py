"""The published `tokenizer.sp_tokenizer`: pieces and ids of a text alone, with no special tokens added."""

from typing import Any


class SPTokenizer:
    """A view of a ChatGLM-6B tokenizer under the published names."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @property
    def num_image_tokens(self) -> int:
        """Number of ids before those of the text."""
        return self._tokenizer.num_image_tokens

    @property
    def num_text_tokens(self) -> int:
        """Pieces of the vocabulary file."""
        return self.num_tokens - self.num_image_tokens

    @property
    def num_tokens(self) -> int:
        """All ids."""
        return self._tokenizer.vocab_size

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def decode(self, text_ids: list[int]) -> str:
        """The text of ids."""
        return self._tokenizer.decode(text_ids)

    def tokenize(self, text: str) -> list[str]:
        """Pieces of a text."""
        return self._tokenizer.tokenize(text)

    def __getitem__(self, token: int | str) -> str | int:
        """The piece of an id, or the id of a piece."""
        convert = self._tokenizer.convert_ids_to_tokens
        return convert(token) if isinstance(token, int) else self._tokenizer.convert_tokens_to_ids(token)
