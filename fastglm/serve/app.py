"""The HTTP app of a server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware.cors import CORSMiddleware

from fastglm._version import __version__
from fastglm.errors import FastGLMError
from fastglm.serve import errors, page, published, sharing
from fastglm.serve.answering import Answering, ClientGoneError
from fastglm.serve.guard import Guard
from fastglm.serve.metrics import Metrics
from fastglm.serve.openai import api
from fastglm.serve.served_model import ServedModel


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of an app.

    names: names of this server in Host headers, besides localhost and addresses in digits.
    origins: origins of pages that may use the server from a browser.
    limit: answers that may run or wait at a time.
    deadline: seconds for an answer.
    """

    key: str | None = None
    names: Sequence[str] = ()
    origins: Sequence[str] = ()
    limit: int = 64
    deadline: float = 600.0


def make_app(
    model: ServedModel,
    settings: Settings = Settings(),
    on_loaded: Callable[[Exception | None], object] = lambda _: None,
    shared: sharing.Sharing | None = None,
) -> FastAPI:
    """The app of a model, which it begins to load as soon as it runs.

    on_loaded: told the end of the first loading, and its error if it failed.
    shared: the access of the app on this machine.
    """

    async def load() -> None:
        try:
            await model.get()
        except Exception as error:
            on_loaded(error)
        else:
            on_loaded(None)

    @contextlib.asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(load())
        try:
            yield
        finally:
            await asyncio.to_thread(model.close)
            await loading

    app = FastAPI(
        title="FAST-ChatGLM",
        version=__version__,
        lifespan=living,
        docs_url=None,
        redoc_url=None,
    )
    app.openapi_version = "3.0.3"  # the newest that the packaged pages of Swagger can show
    metrics = Metrics(settings.limit)
    answering = Answering(model, metrics, settings.limit, settings.deadline)
    app.state.answering = answering
    errors.install(app)
    page.install(app, model, bool(settings.key))
    app.include_router(published.routes(answering))
    app.include_router(api.routes(answering))
    if shared:
        app.include_router(sharing.routes(answering, shared))
    _add_state(app, model, metrics)
    # The last one comes first.
    app.add_middleware(Guard, key=settings.key, names=settings.names, token=shared.token if shared else None)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    app.add_middleware(metrics.counting)
    return app


def _add_state(app: FastAPI, model: ServedModel, metrics: Metrics) -> None:
    """Add the addresses that tell the state of the server."""

    @app.get("/health", summary="200 once the model is loaded, 503 before")
    async def health() -> JSONResponse:
        if model.is_ready:
            return JSONResponse({"status": "ok"})
        if model.loaded:  # its process has ended
            model.begin()
        return errors.ApiError(503, f"The model is not ready: {model.state}.", headers={"Retry-After": "1"}).response()

    @app.get("/metrics", summary="Figures for Prometheus")
    async def figures() -> Response:
        with contextlib.suppress(FastGLMError):  # the model's process ends at this moment
            memory = await asyncio.to_thread(model.memory)
            return Response(metrics.text(memory, model.slots), media_type=CONTENT_TYPE_LATEST)
        return Response(metrics.text(None, 0), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(ClientGoneError)
    async def gone(*_: object) -> Response:
        return Response(status_code=499)  # nobody reads it
