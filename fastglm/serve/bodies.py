"""The base of all bodies of requests."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Part(BaseModel):
    """A JSON object whose fields are all known, and have exactly their types. A field that is null is left out."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, content: Any) -> Any:
        """Leave out null fields, also unknown ones: clients send so the settings that nobody has chosen."""
        if isinstance(content, dict):
            return {name: value for name, value in content.items() if value is not None}
        return content


class Body(Part):
    """The whole body of a request."""

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, content: Any) -> Any:
        """Refuse halves of surrogate pairs, which JSON can name and no text can hold."""
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("A text in the body holds half of a surrogate pair") from error
        return content
