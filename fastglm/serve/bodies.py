"""The base of all bodies of requests."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

_DEEPEST = 64  # objects and lists in one another
_MOST_FIELDS = 64  # of one object; more than any has


class Part(BaseModel):
    """A JSON object whose fields are all known, and have exactly their types. A field that is null is left out."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, content: Any) -> Any:
        """Leave out null fields, also unknown ones: clients send so the settings that nobody has chosen. Masses of
        fields are refused, before each becomes an error of its own.
        """
        if isinstance(content, dict):
            if len(content) > _MOST_FIELDS:
                raise ValueError("An object in the body has too many fields")
            return {name: value for name, value in content.items() if value is not None}
        return content


class Body(Part):
    """The whole body of a request."""

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, content: Any) -> Any:
        """Refuse halves of surrogate pairs, which JSON can name and no text can hold; nesting that later steps cannot
        follow; and numbers that are none.
        """
        if _depth(content) > _DEEPEST:
            raise ValueError(f"The body nests more than {_DEEPEST} objects and lists")
        try:
            json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("A text in the body holds half of a surrogate pair") from error
        except ValueError as error:
            raise ValueError("A number in the body is NaN or infinite") from error
        return content


def _depth(content: Any) -> int:
    """The number of objects and lists in one another, at most one more than are allowed."""
    level = [content]
    for depth in range(_DEEPEST + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return depth
        level = [part for item in level for part in (item.values() if isinstance(item, dict) else item)]
    return _DEEPEST + 1
