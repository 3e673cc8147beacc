"""Tokens that a user added to a tokenizer, found in a text."""

from collections.abc import Iterable, Iterator
from typing import Any

from transformers import BatchEncoding, PreTrainedTokenizer
from transformers.tokenization_python import Trie

from ..errors import UsageError


class AddedTokensTokenizer(PreTrainedTokenizer):
    """A tokenizer that finds added tokens in a text, but never those of its vocabulary."""

    built_in: frozenset[str] = frozenset()  # tokens of the vocabulary; searching for added tokens passes over them
    _special: tuple[Any, ...] = ()  # the special tokens of `_hidden`
    _hidden: frozenset[int] = frozenset()

    @property
    def hidden_ids(self) -> frozenset[int]:
        """Ids of special and built-in tokens, found again only if a special token has changed."""
        special = (*self._special_tokens_map.values(), *self._extra_special_tokens)
        if special != self._special:
            built_in = map(self._convert_token_to_id, self.built_in)
            self._hidden = frozenset(self.all_special_ids).union(built_in)
            self._special = special
        return self._hidden

    def parts(self, text: str, special: bool) -> Iterator[tuple[str, bool]]:
        """Parts of a text, and whether each is a token that a user added; `special` includes special tokens."""
        text = without_surrogates(text)
        plain, end, strip = "", 0, False
        for part in self.tokens_trie.split(text) if self.tokens_trie.data else [text]:
            begin, end = end, end + len(part)
            token = self._added_tokens_decoder.get(self._added_tokens_encoder.get(part, -1))
            if (
                token is None
                or (token.special and not special)
                or part in self.built_in
                or (token.single_word and (text[begin - 1 : begin].isalnum() or text[end : end + 1].isalnum()))
            ):
                plain += part.lstrip() if strip else part
                strip = False
                continue
            if token.lstrip:
                plain = plain.rstrip()
            if plain:
                yield plain, False
            yield part, True
            plain, strip = "", token.rstrip
        if plain:
            yield plain, False

    def _encode_plus(self, *args: Any, return_offsets_mapping: bool = False, **kwargs: Any) -> BatchEncoding:
        if return_offsets_mapping:  # transformers would leave them out without a word
            raise UsageError("This tokenizer knows no offsets of tokens in a text: leave return_offsets_mapping out.")
        return super()._encode_plus(*args, **kwargs)

    def _update_trie(self, unique_no_split_tokens: Iterable[str] | None = None) -> None:
        added = {str(token) for token in self._added_tokens_decoder.values()} | set(unique_no_split_tokens or ())
        self.tokens_trie = Trie(added - self.built_in)

    def _update_total_vocab_size(self) -> None:
        self.total_vocab_size = max([self.vocab_size, *(id + 1 for id in self._added_tokens_decoder)])


def without_surrogates(text: str) -> str:
    """A text whose halves of surrogate pairs, which no encoding has, are replaced by U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
