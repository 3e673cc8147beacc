"""A replica on a cluster: one host process with the weights, and a stream of pieces for each request."""

from collections.abc import AsyncGenerator

from fastglm.errors import FastGLMError
from fastglm.generation.piece import Piece
from fastglm.hosting.protocol import AskRequest, HostKey
from fastglm.serve.answering import news_of
from fastglm.serve.facts import ModelFacts
from fastglm.serve.served_model import ServedModel

# Pieces, each with only its added text and the number of earlier characters that it keeps; or the error of an answer.
News = list[tuple[int, Piece]] | FastGLMError


class Replica:
    """Loads a model in its constructor, and answers; Ray Serve calls the methods."""

    async def __init__(self, key: HostKey, who: str) -> None:  # type: ignore[misc]  # Ray Serve awaits it
        """`who` is the name that other users of the device see. Raises the errors of loading."""
        self._model = ServedModel(key, who)
        await self._model.get()

    def facts(self) -> ModelFacts:
        return self._model.facts

    async def answer(self, request: AskRequest) -> AsyncGenerator[News]:
        """Yield the pieces of an answer, those that have come since the last time at once; its error comes last.

        Closing stops the answer.
        """
        try:
            loaded = await self._model.get()
        except FastGLMError as error:
            yield error
            return
        answer = loaded.host.ask(request.prompt, request.history, lease=False, **request.settings)
        news, seen, is_over = news_of([answer]), 0, False
        try:
            while not is_over:
                await news.wait()
                news.clear()
                is_over = answer.over
                if replies := answer.replies(seen):
                    seen += len(replies)
                    yield [(reply.keep, reply.piece) for reply in replies]
            if answer.failure:
                yield answer.failure
        finally:
            answer.cancel()

    async def check_health(self) -> None:
        """Load the model again if its process has ended. After several errors Ray Serve replaces this replica."""
        await self._model.get()

    def __del__(self) -> None:
        self._model.close()
