"""Answers in a given form: the tokens that a grammar does not allow are masked, by llguidance.

A grammar reads bytes, so that a token may hold parts of characters and of words. White space is limited everywhere: a
model that writes nothing else could go on for ever.
"""

import json
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..errors import UsageError
from ..models.architecture import CallRules

_ANY_OBJECT = {"type": "object"}
_WHITE_SPACE = {"whitespace_flexible": True, "whitespace_pattern": r"\n?[ ]{0,12}"}  # at each place where JSON has some
# Models begin answers with a space or a line break. Any tokens may spell the bytes that must come next.
_NO_FORCING = '%llguidance {"no_forcing": true}\n'
_START = _NO_FORCING + "start: /[ \\n]{0,2}/ @answer"

_tables: "WeakKeyDictionary[Any, Any]" = WeakKeyDictionary()  # by tokenizer


class Grammar:
    """The form of an answer: JSON by a schema, or the call of a tool."""

    def __init__(self, form: str | CallRules, tokenizer: Any, vocabulary: int, stops: tuple[int, ...]) -> None:
        """Create a grammar.

        Args:
            form: a JSON schema, or "json" for any object; or the rules for a call.
            vocabulary: the number of the model's logits.
            stops: tokens that end the answer, which are allowed where the grammar may end.

        Raises:
            UsageError: the schema cannot be followed, nothing ends the answer, or llguidance is missing.
        """
        self.name = "must_call" if isinstance(form, CallRules) else "grammar"  # the setting
        self.vocabulary, self.stops = vocabulary, [stop for stop in stops if 0 <= stop < vocabulary]
        if not self.stops:
            raise UsageError(f"{self.name} needs a token that ends the answer: leave ignore_eos out.")
        try:
            from llguidance import LLMatcher
        except ImportError as error:
            raise UsageError(f"{self.name} needs llguidance: pip install 'fastglm[grammar]'.") from error
        self._rules = _call_rules(form) if isinstance(form, CallRules) else _json_rules(form)
        self.table = _table(tokenizer, vocabulary)
        fault = LLMatcher.validate_grammar(self._rules, self.table)
        if fault and not fault.startswith("WARNING"):
            raise UsageError(f"{self.name} has a schema that cannot be followed: {_line(fault)}.")

    def begin(self) -> "Matcher":
        """Follow the grammar from its beginning."""
        from llguidance import LLMatcher

        return Matcher(self, LLMatcher(self.table, self._rules, log_level=0))


class Matcher:
    """Follows one answer by its grammar."""

    def __init__(self, grammar: Grammar, matcher: Any) -> None:
        self._grammar, self._matcher = grammar, matcher
        self.allowed = self._next()

    def take(self, token: int) -> None:
        """Follow the next token of the answer."""
        if token not in self._grammar.stops:
            self._matcher.consume_token(token)
            self.allowed = self._next()

    def _next(self) -> Tensor:
        """Tell which tokens may come next, [vocabulary]."""
        grammar, matcher = self._grammar, self._matcher
        bits = bytearray(matcher.compute_logit_bias())
        allowed = torch.frombuffer(bits, dtype=torch.uint8)[: grammar.vocabulary] > 0
        allowed[grammar.table.eos_token] = False
        allowed[grammar.stops] = matcher.is_accepting()
        if matcher.is_error() or not allowed.any():
            fault = _line(matcher.get_error()) or "no token fits"
            raise UsageError(f"{grammar.name} cannot be followed further: {fault}.")
        return allowed


class _Tokens:
    """A tokenizer in llguidance's interface."""

    bos_token_id = None

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        self.eos_token_id = tokenizer.eos_token_id
        self.special_token_ids = [self.eos_token_id]
        self.tokens = tokenizer.token_bytes(range(vocabulary))

    def __call__(self, text: str) -> list[int]:
        """Ids of a text, for bytes that must come next: nothing is forced here."""
        raise NotImplementedError


def _table(tokenizer: Any, vocabulary: int) -> Any:
    """A tokenizer's tokens for llguidance."""
    from llguidance import LLTokenizer, TokenizerWrapper

    if not hasattr(tokenizer, "token_bytes"):
        raise UsageError("grammar needs the bytes of each token, which this tokenizer does not tell (token_bytes).")
    if tokenizer not in _tables or _tables[tokenizer].vocab_size != vocabulary:
        _tables[tokenizer] = LLTokenizer(TokenizerWrapper(_Tokens(tokenizer, vocabulary)), n_vocab=vocabulary)
    return _tables[tokenizer]


def _call_rules(form: CallRules) -> str:
    """The rules for a call, for llguidance."""
    try:
        schemas = [_schema(name, schema) for name, schema in form.schemas.items()]
        return json.dumps({"grammars": [{"lark_grammar": _NO_FORCING + form.lark}, *schemas]}, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"must_call has parameters that are no JSON: {_line(str(error))}.") from error


def _schema(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "json_schema": {**schema, "x-guidance": _WHITE_SPACE}}


def _json_rules(text: str) -> str:
    """The rules of a JSON text for llguidance. Raises UsageError if it is no schema."""
    if not isinstance(text, str):
        raise UsageError(f'grammar must be "json", or a JSON schema as a text (got {type(text).__name__}).')
    try:
        schema = _ANY_OBJECT if text == "json" else json.loads(text)
        if not isinstance(schema, dict):
            raise UsageError('grammar must be "json", or a JSON schema: an object.')
        return json.dumps({"grammars": [{"lark_grammar": _START}, _schema("answer", schema)]})
    except (ValueError, RecursionError) as error:
        raise UsageError(f"grammar is no JSON: {_line(str(error))}.") from error


def _line(text: str) -> str:
    return " ".join(text.split())[:200].rstrip(".")
