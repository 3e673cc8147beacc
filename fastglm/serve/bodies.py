"""The base of all bodies of requests."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Part(BaseModel):
    """A JSON object whose fields are all known, and have exactly their types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


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
