"""`fastglm serve --ray` with two replicas of a real model on a cluster of one machine, one of which is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from hosting import eventually, gone
from recorded import folder

pytest.importorskip("ray.serve", reason="Ray Serve is not installed")

from ray.cluster_utils import Cluster

import fastglm
from fastglm.cli.commands import main

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]
QUESTIONS = ["你好", "再说一次", "ok", "1+1=?", "x", "什么"]
CLIENTS = 4


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster with two processors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTGLM_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]))
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 2, "object_store_memory": 100 << 20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield cluster.address
        finally:
            cluster.shutdown()


@pytest.fixture
def url(address: str) -> Iterator[str]:
    """The address of a running server, which must stop by Ctrl-C and end its replicas."""
    asked = ["--model", folder("chatglm3").name, "--variant", "original", "--port", "0", "--ray", address]
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from fastglm.cli.commands import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", code, "serve", *asked, "--replicas", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder("chatglm3").parent) as process:
        assert process.stderr
        lines = []
        try:
            for line in process.stderr:
                lines.append(line)
                if "is ready" in line:
                    break
            assert "is ready" in lines[-1], lines
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield lines[-1].split(" at ")[1].split()[0]
            hosts = [host for replica in replicas() for host in replica.children(recursive=True)]
            process.send_signal(signal.SIGINT)
            assert process.wait(100) == 130
            assert not replicas()
            eventually(lambda: all(gone(host.pid) for host in hosts))
        finally:
            process.kill()


def replicas() -> list[psutil.Process]:
    """The processes of replicas that have their hosts."""
    named = [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"]]
    return [process for process in named if process.info["cmdline"][0].startswith("ray::ServeReplica")]


def test_a_killed_replica_costs_no_wrong_answer_and_comes_back(url: str) -> None:
    model, tokenizer = fastglm.load(folder("chatglm3"), "original", "cpu")
    right = {
        question: [*fastglm.stream(model, tokenizer, question, do_sample=False, max_length=80)][-1].text
        for question in QUESTIONS
    }
    is_over = threading.Event()
    answered: list[float] = []
    wrong: list[tuple[str, str]] = []

    def ask(number: int) -> list[httpx.Response]:
        """Ask until the end; returns the responses that are no answers."""
        refused = []
        with httpx.Client(base_url=url, timeout=100) as client:
            while not is_over.is_set():
                question = QUESTIONS[(number + len(answered)) % len(QUESTIONS)]
                response = client.post("/", json={"prompt": question, "max_length": 80, "temperature": 0})
                if response.status_code != 200:
                    refused.append(response)
                    continue
                answered.append(time.monotonic())
                if (text := response.json()["response"]) != right[question]:
                    wrong.append((question, text))
        return refused

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(ask, number) for number in range(CLIENTS)]
        try:
            eventually(lambda: len(answered) > 20)
            victim, other = replicas()
            hosts = victim.children(recursive=True)
            victim.kill()
            killed = time.monotonic()
            eventually(lambda: len([moment for moment in answered if moment > killed]) > 20, 10)
            eventually(lambda: len([one for one in replicas() if len(one.children(recursive=True)) > 1]) == 2)
            assert {other.pid} < {process.pid for process in replicas()}
            eventually(lambda: all(gone(host.pid) for host in hosts))
            back = len(answered)
            eventually(lambda: len(answered) > back + 50)
        finally:
            is_over.set()
    assert not wrong
    refused = [response for client in clients for response in client.result()]
    assert len(refused) <= CLIENTS
    for response in refused:
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        assert response.json()["error"]["code"] == "model_ended"


def test_a_client_that_goes_away_stops_the_answer_of_its_replica(url: str) -> None:
    hosts = [host for replica in replicas() for host in replica.children(recursive=True)]

    def worked() -> float:
        return sum(host.cpu_times().user for host in hosts)

    # Without the token that ends it, an answer goes on for the rest of the context.
    asked = {"role": "user", "content": "你好"}
    body = {"messages": [asked], "stream": True, "max_tokens": 100_000, "logit_bias": {"2": -100}}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=100) as stream:
        assert next(stream.iter_lines())
    time.sleep(1)
    before = worked()
    time.sleep(1)
    assert worked() - before < 0.2


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--model", "/nowhere/chatglm3"], 1, "there is no such folder"),
        (["--replicas", "3"], 1, "Replicas wanted: 3"),
        (["--device", "cuda:1"], 2, "leave --device cuda:1 out"),
    ],
)
def test_what_a_cluster_cannot_do_is_one_line(
    address: str, arguments: list[str], status: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", "0", "--ray", address, *arguments]) == status
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error
