"""A model whose replicas run on a Ray cluster. Ray Serve places them, routes requests to them, and starts new ones in
the place of those that end. Needs the extra `ray`.

The server itself stays outside of the cluster: keys, limits and figures are in one place, and an error of Ray's becomes
one of this API, also within a stream.
"""

import asyncio
import itertools
import logging
import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from fastglm.errors import CancelledError, FastGLMError, HostError
from fastglm.hosting.answer import Answer
from fastglm.hosting.protocol import AskRequest, HostKey, PieceReply
from fastglm.messages import Message
from fastglm.serve.facts import ModelFacts
from fastglm.serve.replica import Replica
from fastglm.serve.served_model import Loaded, ServedModel
from fastglm.serve.share import share_of
from fastglm.system.ray_cluster import first_line

LOOK_EVERY = 0.2  # seconds, while replicas start
HEALTH_EVERY = 2.0  # seconds between looks at a replica
LOADS_WITHIN = 120.0  # seconds for a look at a replica whose model is being loaded again
LOST = (RayError, RayServeException)
DEPLOYMENT = "replica"


class ClusterModel(ServedModel):
    """The model of a server that has its replicas on the connected cluster."""

    def __init__(self, key: HostKey, who: str, model: str, replicas: int, limit: int) -> None:
        """`model` is the model's name on all machines, and `limit` the number of requests that a replica may have.

        Raises FastGLMError if replicas do not fit.
        """
        super().__init__(key, who)
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self._share = share_of(machines, replicas, key.device)
        self._model, self._replicas, self._limit = model, replicas, limit

    def _load(self) -> Loaded:
        name = re.sub(r"\W+", "-", f"fastglm {socket.gethostname()} {self._who}")
        replicas = self._host = Replicas(name)
        self._check_open()
        try:
            facts = replicas.load(self.deployment(), self._on_state)
        except BaseException:
            replicas.close()
            raise
        self.state, self.loaded = "ready", Loaded(replicas, facts)
        return self.loaded

    def deployment(self) -> serve.Application:
        """The replicas as an application of Ray Serve."""
        deployment = serve.deployment(
            name=DEPLOYMENT,
            num_replicas=self._replicas,
            ray_actor_options={"num_cpus": self._share.cpus, "num_gpus": self._share.gpus},
            max_ongoing_requests=self._limit,
            max_constructor_retry_count=1,  # an error of loading is told at once
            health_check_period_s=HEALTH_EVERY,
            health_check_timeout_s=LOADS_WITHIN,
        )(Replica)
        key = replace(self.key, model=self._model, device=self._share.device)
        return deployment.bind(key, f"a replica of {self._who}")

    def _on_state(self, state: str) -> None:
        self._check_open()
        self.state = state


class Replicas:
    """The replicas of a model, which answer as one host does."""

    alive = True  # Ray Serve sees to it

    def __init__(self, name: str) -> None:
        """`name` is that of the application of Ray Serve; one with the same name is replaced."""
        self._name = name
        self._ids = itertools.count()
        self._following: dict[Answer, asyncio.Task[None]] = {}
        self.handle: DeploymentHandle | None = None  # once they are there

    @property
    def slots(self) -> int:
        """The number of answers whose first piece is there."""
        return sum(answer.piece is not None for answer in list(self._following))

    def load(self, deployment: serve.Application, on_state: Callable[[str], object]) -> ModelFacts:
        """Start the replicas; returns the facts of their model once all are there.

        `on_state` is told news of the start; an exception from it ends the wait. Raises FastGLMError if a replica
        cannot start.
        """
        logging.getLogger("ray.serve").setLevel(logging.CRITICAL)
        try:
            serve.start(proxy_location="Disabled")  # no addresses of its own
            target = serve.RunTarget(deployment, self._name, route_prefix=None)
            [handle] = serve.run_many([target], wait_for_applications_running=False)
            while (state := self._state()) is not None:
                on_state(state)
                time.sleep(LOOK_EVERY)
            self.handle = handle.options(stream=True)
            return handle.facts.remote().result(timeout_s=LOADS_WITHIN)
        except (*LOST, TimeoutError) as error:
            raise HostError(f"The cluster could not start the replicas ({first_line(error)}).") from error

    def _state(self) -> str | None:
        """The state of the start in one line; None once all replicas are there."""
        application = serve.status().applications[self._name]
        deployment = application.deployments.get(DEPLOYMENT)
        message = (deployment.message if deployment else "") or application.message
        match application.status:
            case ApplicationStatus.RUNNING:
                return None
            case ApplicationStatus.DEPLOY_FAILED | ApplicationStatus.UNHEALTHY:
                raise HostError(f"A replica could not start: {reason(message)}")
        return f"starting replicas {message}".strip()

    def ask(self, prompt: Any, history: Sequence[Message] = (), *, lease: bool = False, **settings: Any) -> Answer:
        """Request an answer from a replica; call it in the loop of the server. Replicas have their devices leased."""
        request = AskRequest(next(self._ids), prompt, list(history), settings)
        answer = Answer(request, lambda _: 0, self._cancel)
        task = self._following[answer] = asyncio.create_task(self._follow(answer))
        task.add_done_callback(lambda _: self._following.pop(answer))
        return answer

    async def _follow(self, answer: Answer) -> None:
        """Pass the pieces of an answer on as they come."""
        assert self.handle
        failure: FastGLMError | None = HostError("The replica that answered was stopped: ask again.")
        response: Any = self.handle.answer.remote(answer.request)
        try:
            answer.begin()
            async for news in response:
                if isinstance(news, FastGLMError):
                    failure = news
                    return
                for keep, piece in news:
                    answer.add(PieceReply(answer.request.id, keep, piece))
            failure = None
        except asyncio.CancelledError:
            response.cancel()
            raise
        except LOST as error:
            failure = HostError(f"The replica that answered ended ({first_line(error)}): ask again.")
        finally:
            answer.finish(failure)

    def _cancel(self, answer: Answer) -> None:
        if following := self._following.get(answer):
            following.cancel()
            answer.finish(CancelledError("Stopped."))

    def memory(self) -> None:
        """The memory of replicas is for Ray's own figures."""

    def close(self) -> None:
        """End the replicas."""
        try:
            serve.delete(self._name)
        except (*LOST, TimeoutError) as error:
            logging.getLogger("fastglm.serve").error("the replicas could not be ended (%s)", first_line(error))


def reason(message: str) -> str:
    """The error of a replica, from a message of Ray Serve with its traceback."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    return re.sub(r"^fastglm[\w.]*: ", "", lines[-1]) if lines else "Ray Serve does not tell why"
