"""Rules for answers that call a tool, in the forms that `calls.py` reads."""

import json
from collections.abc import Iterable, Mapping, Sequence
from keyword import iskeyword
from typing import Any

from ...errors import UsageError, shortened
from ..architecture import CallRules

_NESTED = 4  # depth of lists and dictionaries that no schema describes
# Literals of Python. No character may end a line, and no number is infinite.
_LITERALS = r"""
STRING: /'([^'\\\x00-\x1f\x7f]|\\['"\\nrt])*'|"([^"\\\x00-\x1f\x7f]|\\['"\\nrt])*"/
INTEGER: /-?(0|[1-9][0-9]{0,17})/
NUMBER: /-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?/
any0: STRING | NUMBER | "True" | "False" | "None"
"""
_KINDS = {
    "string": "STRING",
    "integer": "INTEGER",
    "number": "NUMBER",
    "boolean": '("True" | "False")',
    "null": '"None"',
}


def call_rules(generation: str, functions: Sequence[Mapping[str, Any]]) -> CallRules:
    """The rules for a call of one of some functions.

    Args:
        functions: each with a `name`, and perhaps `parameters`, a JSON schema of an object.

    Raises:
        UsageError: a call of such a function cannot be written.
    """
    if not functions:
        raise UsageError("must_call names no function: give at least one.")
    schemas = {f"f{number}": _parameters(function) for number, function in enumerate(functions)}
    names = [_text(f"{function['name']}\n") for function in functions]
    if generation != "chatglm3":
        calls = [f"{name} @{schema}" for name, schema in zip(names, schemas, strict=True)]
        return CallRules(_start(calls), {name: _closed(schema) for name, schema in schemas.items()})
    literals = _Literals()
    calls = [
        f'{name} / ?/ "```python\\ntool_call(" {literals.arguments(schema)} ")\\n```"'
        for name, schema in zip(names, schemas.values(), strict=True)
    ]
    return CallRules(_start(calls) + literals.text, {})


def _start(calls: Iterable[str]) -> str:
    return f"start: / ?/ ({' | '.join(calls)})\n"  # models begin answers with a space


def _parameters(function: Mapping[str, Any]) -> dict[str, Any]:
    schema = function.get("parameters") or {"properties": {}}
    if not isinstance(schema, dict):
        raise UsageError(f"must_call gives {function['name']} parameters that are no JSON schema of an object.")
    return {"type": "object"} | schema


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without properties that it does not name, unless it allows them itself or refers to another."""
    is_whole = "properties" in schema and not schema.keys() & {"$ref", "allOf", "anyOf", "oneOf"}
    return {"additionalProperties": False} | schema if is_whole else schema


def _text(text: str) -> str:
    """A text as a rule."""
    return json.dumps(text, ensure_ascii=False)


class _Literals:
    """Rules for literals of Python by JSON schemas: types, properties, items and enumerations; others are left out."""

    def __init__(self) -> None:
        self._rules: list[str] = []
        for depth in range(1, _NESTED):
            inner = f"any{depth - 1}"
            self._rules.append(f"any{depth}: any0 | {_list(inner)} | {_dictionary(inner)}")

    @property
    def text(self) -> str:
        return _LITERALS + "\n".join(self._rules) + "\n"

    def arguments(self, schema: Mapping[str, Any]) -> str:
        """A rule for the arguments of a call, in the order of their declaration. Raises UsageError for their names."""
        for name in _properties(schema):
            if not name.isidentifier() or iskeyword(name):
                raise UsageError(
                    f"must_call names {shortened(repr(name))[:100]}, which ChatGLM3 cannot give to a parameter."
                )
        return self._members(schema, lambda name: f"{name}=")

    def _members(self, schema: Mapping[str, Any], written: Any) -> str:
        required = schema.get("required")
        required = required if isinstance(required, list) else []
        head = tail = ""  # rules for the later members: where they are the first ones, and after others
        for name, value in reversed([*_properties(schema).items()]):
            member = f"{_text(written(name))} {self._value(value)}"
            first = f"{member} {tail}"
            if name in required:
                head, tail = first, f'", " {first}'
            else:
                head = f"({first} | {head})" if head else f"({first})?"
                tail = f'(", " {member})? {tail}'
        return self._rule(head) if head else '""'

    def _value(self, schema: Any) -> str:
        """A rule for a value."""
        if not isinstance(schema, dict):
            return f"any{_NESTED - 1}"
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._rule(" | ".join(_text(repr(value)) for value in schema["enum"]))
        if "const" in schema:
            return _text(repr(schema["const"]))
        for several in ("anyOf", "oneOf"):
            if isinstance(schema.get(several), list) and schema[several]:
                return self._rule(" | ".join(map(self._value, schema[several])))
        types = schema.get("type")
        kinds = types if isinstance(types, list) else [types]
        return self._rule(" | ".join(self._kind(kind, schema) for kind in kinds) or f"any{_NESTED - 1}")

    def _kind(self, kind: Any, schema: Mapping[str, Any]) -> str:
        if kind == "array":
            return _list(self._value(schema.get("items")))
        if kind == "object" and _properties(schema):
            return f'"{{" {self._members(schema, lambda name: f"{name!r}: ")} "}}"'
        if kind == "object":
            return _dictionary(f"any{_NESTED - 2}")
        return _KINDS.get(kind, f"any{_NESTED - 1}") if isinstance(kind, str) else f"any{_NESTED - 1}"

    def _rule(self, text: str) -> str:
        """The name of a new rule."""
        self._rules.append(f"v{len(self._rules)}: {text}")
        return f"v{len(self._rules) - 1}"


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def _list(item: str) -> str:
    return f'"[" ({item} (", " {item})*)? "]"'


def _dictionary(value: str) -> str:
    return f'"{{" (STRING ": " {value} (", " STRING ": " {value})*)? "}}"'
