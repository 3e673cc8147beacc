"""Errors of the HTTP API, all in OpenAI's format."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from fastglm.errors import (
    CancelledError,
    ContextError,
    DiskShortError,
    FastGLMError,
    HomeError,
    HostError,
    MemoryShortError,
    UsageError,
    shortened,
)

_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
_MESSAGES = {
    400: "The body could not be read as JSON.",
    404: "There is no such address here.",
    405: "This address does not take this method.",
}
_PARAMS = {"grammar": "response_format", "must_call": "tools"}  # fields by the settings that errors begin with
_LOG = " The log: "  # before the place of a host's log, which is no news for clients

_NO_PLACE = "The server cannot write to its disk, and so cannot start its model."

log = logging.getLogger("fastglm.serve")


class ApiError(HTTPException):
    """An error with an HTTP status; `param` is the field of the request that caused it."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        self.param, self.code = param, code

    @property
    def content(self) -> dict[str, Any]:
        """The body of the response, in OpenAI's format."""
        kind = _TYPES.get(self.status_code, "invalid_request_error" if self.status_code < 500 else "server_error")
        message = shortened(str(self.detail))
        return {"error": {"message": message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.content, self.status_code, self.headers)

    @property
    def event(self) -> str:
        """The data of the event that ends a stream with this error."""
        return json.dumps(self.content, ensure_ascii=False)


def as_api_error(error: Exception, param: str | None = None) -> ApiError:
    """The error that clients see; `param` is the field with the text that the model was to answer."""
    match error:
        case ApiError():
            return error
        case ContextError():
            return ApiError(400, str(error), param, "context_length_exceeded")
        case UsageError():
            return ApiError(400, str(error), _PARAMS.get(str(error).partition(" ")[0], param))
        case MemoryShortError():
            return ApiError(503, str(error), code="memory_short", headers={"Retry-After": "5"})
        case HostError():
            log.error("%s", error)
            return ApiError(503, str(error).partition(_LOG)[0], code="model_ended", headers={"Retry-After": "1"})
        case HomeError() | DiskShortError():
            log.error("%s", error)
            return ApiError(503, _NO_PLACE, code="no_place", headers={"Retry-After": "60"})
        case CancelledError():
            return ApiError(503, str(error), code="server_stopping", headers={"Retry-After": "5"})
        case FastGLMError():
            return ApiError(500, str(error))
        case _:
            log.error("an unexpected error", exc_info=error)
            return ApiError(500, f"The server failed unexpectedly ({type(error).__name__}).")


def install(app: FastAPI) -> None:
    """Have all errors of an app answered in one format."""

    async def invalid(_: Request, error: Any) -> JSONResponse:
        return of_validation(error).response()

    async def refused(_: Request, error: Any) -> JSONResponse:
        if isinstance(error, ApiError):
            return error.response()
        message = _MESSAGES.get(error.status_code, str(error.detail))
        return ApiError(error.status_code, message, headers=error.headers).response()

    async def failed(_: Request, error: Exception) -> JSONResponse:
        return as_api_error(error).response()

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(StarletteHTTPException, refused)
    for kind in (FastGLMError, Exception):
        app.add_exception_handler(kind, failed)


def of_validation(error: RequestValidationError) -> ApiError:
    """The error of a body that is no JSON, or has a wrong field, which it names."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"][1:]]
    if first["type"] == "json_invalid":
        return ApiError(400, f"The body is not valid JSON ({first.get('ctx', {}).get('error', first['msg'])}).")
    if first["type"] == "value_error" and not where:
        return ApiError(400, f"{first['ctx']['error']}.")
    if not where:
        return ApiError(400, "The body must be a JSON object.")
    param = ".".join(where)
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"There is no field {param!r} here: leave it out.", param, "unknown_parameter")
    if first["type"] == "missing":
        return ApiError(400, f"The field {param!r} is missing.", param, "missing_required_parameter")
    return ApiError(
        400, f"The field {param!r} is wrong: {first['msg'].removeprefix('Value error, ')}.", param, "invalid_value"
    )
