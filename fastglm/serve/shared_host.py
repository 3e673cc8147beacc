"""A variant that a running server holds, for the app on the same machine: no second copy of its weights is loaded."""

import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Sequence
from dataclasses import asdict
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from fastglm.errors import CancelledError, FastGLMError, HostError
from fastglm.generation.piece import Piece
from fastglm.hosting.answer import Answer
from fastglm.hosting.protocol import AskRequest, PieceReply
from fastglm.messages import Message, ToolCall
from fastglm.serve.record import Record
from fastglm.system.memory import Memory

ASK, STOP = "/app/ask", "/app/stop"
_PATIENCE = 5.0  # seconds for a server to take a connection, and to answer all but questions
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # this machine's own address, for those that mean all of its addresses
_LARGEST = 1 << 22  # bytes of a response that is read whole


class SharedHost:
    """Asks a server as `fastglm.hosting.host.Host` asks its process; the answers share the server's slots."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._ids = itertools.count()

    @property
    def is_ready(self) -> bool:
        """Tell whether the model is loaded."""
        with contextlib.suppress(HostError):
            return self.get("/health")[0] == 200
        return False

    def get(self, path: str) -> tuple[int, str]:
        """The status and the body of a response. Raises HostError if there is none."""
        return self._exchange("GET", path)

    def stop(self) -> None:
        """Have the server end; answers that run may take a minute more. Raises HostError if it cannot be told."""
        self._exchange("POST", STOP)

    def ask(self, prompt: str, history: Sequence[Message] = (), *, lease: bool = False, **settings: Any) -> Answer:
        """Request an answer, beside others; returns at once. The server holds the device, so none is leased."""
        connection, stopped = self._connection(), threading.Event()

        def cancel(answer: Answer) -> None:
            if answer.stop():
                stopped.set()
                _hang_up(connection)

        answer = Answer(AskRequest(next(self._ids), prompt, list(history), settings), lambda _: 0, cancel)
        work = threading.Thread(target=self._follow, args=(answer, connection, stopped), name="served answer")
        work.daemon = True
        work.start()
        return answer

    def _follow(self, answer: Answer, connection: HTTPConnection, stopped: threading.Event) -> None:
        """Pass the pieces from the server to an answer, to its end."""
        memory: Memory | None = None
        failure: FastGLMError | None = None
        try:
            connection.connect()
            connection.sock.settimeout(None)  # a long prompt is read in silence
            answer.begin()
            for line in self._asked(answer.request, connection):
                told = json.loads(line)
                if "piece" in told:
                    answer.add(PieceReply(answer.request.id, told["keep"], _piece(told["piece"])))
                elif "error" in told:
                    raise FastGLMError(told["error"])
                else:
                    memory = told["memory"] and Memory(**told["memory"])
                    break
            else:
                raise HostError(self._gone)
        except FastGLMError as error:
            failure = error
        except (OSError, HTTPException, ValueError, LookupError, TypeError):
            failure = HostError(self._gone)
        finally:
            connection.close()
            answer.finish(CancelledError("Stopped.") if failure and stopped.is_set() else failure, memory)

    def _asked(self, request: AskRequest, connection: HTTPConnection) -> HTTPResponse:
        history = [asdict(message) for message in request.history]
        body = {"prompt": request.prompt, "history": history, "settings": request.settings}
        connection.request("POST", ASK, json.dumps(body).encode(), self._headers)
        response = connection.getresponse()
        if response.status != 200:
            raise HostError(f"The server at {self.record.url} refused the question (HTTP {response.status}).")
        return response

    def _exchange(self, method: str, path: str) -> tuple[int, str]:
        connection = self._connection()
        try:
            connection.request(method, path, headers=self._headers)
            response = connection.getresponse()
            return response.status, response.read(_LARGEST).decode()
        except (OSError, HTTPException, ValueError) as error:
            raise HostError(self._gone) from error
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        host = urlsplit(self.record.url).hostname or ""
        return HTTPConnection(_HERE.get(host, host), self.record.port, timeout=_PATIENCE)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.record.token}", "Content-Type": "application/json"}

    @property
    def _gone(self) -> str:
        return f"The server at {self.record.url} has ended, or does not answer: try again."


def _hang_up(connection: HTTPConnection) -> None:
    """Close a connection that another thread reads from: its end reaches the server and that thread."""
    with contextlib.suppress(OSError, AttributeError):  # it is closed already
        connection.sock.shutdown(socket.SHUT_RDWR)


def _piece(told: dict[str, Any]) -> Piece:
    call = told.pop("call")
    likely = tuple((token, value) for token, value in told.pop("top_logprobs"))
    return Piece(**told, call=call and ToolCall(**call), top_logprobs=likely)
