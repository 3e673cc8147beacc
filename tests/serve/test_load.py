"""A real server under a crowd of clients: every answer is right, every failure a JSON error with a status that fits."""

import os

import httpx
import pytest
from load import Load, host_below, known_answers, refused, resident
from malformed import CORPUS
from recorded import folder
from serving import served

import fastglm
import fastglm.serve.connection
import fastglm.serve.guard
from fastglm.hosting.protocol import HostKey

SEED = 17


def test_the_corpus_is_large() -> None:
    assert len({one.data for one in CORPUS}) == len(CORPUS) >= 60


def test_three_hundred_requests_and_a_kill(
    home_of_module: None, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastglm.serve.connection, "_SLOWEST_HEAD", 1.0)
    monkeypatch.setattr(fastglm.serve.guard, "_SLOWEST_BODY", 1.0)
    model = str(folder("chatglm3"))
    known = known_answers(*fastglm.load(model, "fast", "cpu"), words=5)
    with served(HostKey(model, "fast", "cpu")) as client:
        load = Load(str(client.base_url), os.getpid(), known, SEED)
        load.run(range(100), kills=1)
        before = resident(host_below(os.getpid()))
        load.run(range(100, 300))
        load.check_silent(30)
        assert resident(host_below(os.getpid())) - before <= 16
        assert len(load.report.recoveries) == 1


def test_every_malformed_request_is_refused(chatglm3: httpx.Client) -> None:
    for one in CORPUS:
        refused(str(chatglm3.base_url), one)
