"""Replicas of the model that obeys the prompt behind a server; Ray Serve runs them in this process, with no cluster."""

import json
from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from serving import served

pytest.importorskip("ray.serve", reason="Ray Serve is not installed")

import ray
from ray import serve

from fastglm.hosting.protocol import HostKey
from fastglm.serve.cluster import ClusterModel, Replicas, reason
from fastglm.serve.facts import ModelFacts


def load(self: Replicas, deployment: serve.Application, _: object) -> ModelFacts:
    """Start the replicas as `Replicas.load` does, in this process."""
    self.handle = serve.run(deployment, _local_testing_mode=True).options(stream=True)
    return self.handle.options(stream=False).facts.remote().result(timeout_s=60)


@pytest.fixture
def local(fake_model: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])
    monkeypatch.setattr(Replicas, "load", load)
    monkeypatch.setattr(Replicas, "close", lambda _: None)
    with served(HostKey(), kind=partial(ClusterModel, model="demo", replicas=1, limit=8)) as client:
        yield client


def test_pieces_and_errors_of_replicas_reach_the_client(local: httpx.Client) -> None:
    assert local.post("/", json={"prompt": "x"}).json()["response"] == "x1 x2 x3 x4 x5 "
    assert local.post("/", json={"prompt": "rewrite"}).json()["response"] == "ne"
    assert local.post("/", json={"prompt": "context"}).status_code == 400
    assert local.post("/", json={"prompt": "bug"}).status_code == 503


def test_a_stream_brings_tokens_as_they_come(local: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "long"}], "stream": True}
    with local.stream("POST", "/v1/chat/completions", json=body) as stream:
        lines = [line for line in stream.iter_lines() if line]
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    texts = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert "".join(texts) == "".join(f"long{number} " for number in range(1, 51))
    assert len(texts) > 20
    assert lines[-1] == "data: [DONE]"


def test_the_end_of_a_host_is_an_error_and_the_next_answer_is_right(local: httpx.Client) -> None:
    crashed = local.post("/", json={"prompt": "crash"})
    assert (crashed.status_code, crashed.json()["error"]["code"]) == (503, "model_ended")
    assert local.post("/", json={"prompt": "x"}).json()["response"] == "x1 x2 x3 x4 x5 "


def test_replicas_load_the_model_by_its_name_on_all_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])
    model = ClusterModel(HostKey("mine"), "a server", "/models/mine", 1, 8)
    key = model.deployment()._bound_deployment.init_args[0]
    assert (key.model, key.device) == ("/models/mine", "cpu")
    assert (model.key.model, model.name) == ("mine", "mine")


def test_the_reason_is_the_last_line_of_a_traceback() -> None:
    told = (
        "The deployment failed:\nray::Replica.__init__()\n  File x\nfastglm.errors.UsageError: no folder x: check it\n"
    )
    assert reason(told) == "no folder x: check it"
    assert reason("ModuleNotFoundError: No module named 'fastglm'") == "ModuleNotFoundError: No module named 'fastglm'"
