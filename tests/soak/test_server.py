"""Ten thousand requests by eight clients to one server, whose host is killed ten times."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from hosting import eventually
from load import Load, host_below, known_answers, resident
from recorded import folder

import fastglm

SEED = int(os.environ.get("SOAK_SEED", "17"))
REQUESTS, WARM, KILLS = 10_000, 500, 10
GROWTH = 16.0  # MiB
SILENCE = 60.0  # seconds after which the server has given up every silent client


@pytest.mark.soak
def test_ten_thousand_requests(tmp_path: Path, one_thread: None) -> None:
    model = str(folder("chatglm3"))
    known = known_answers(*fastglm.load(model, "fast", "cpu"))
    log = tmp_path / "log"
    command = [sys.executable, "-m", "fastglm", "serve", "--model", model, "--variant", "fast", "--device", "cpu"]
    began = time.monotonic()
    with log.open("wb") as output:
        server = subprocess.Popen([*command, "--port", "0"], stdout=output, stderr=output)
    try:
        eventually(lambda: "is ready" in log.read_text())
        loading = time.monotonic() - began
        url = log.read_text().split("listens at ")[1].split()[0]
        load = Load(url, server.pid, known, SEED)
        load.run(range(WARM))
        before = memory(server.pid)
        load.run(range(WARM, REQUESTS), KILLS)
        load.check_silent(SILENCE)
        eventually(lambda: "fastglm_open_answers 0.0" in httpx.get(f"{url}/metrics").text)
        after = memory(server.pid)
        seconds = time.monotonic() - began
        print(f"seed {SEED}: {seconds:.0f} s; {load.report}; loading {loading:.2f} s; memory {before} -> {after} MiB")
        assert max(load.report.recoveries) <= loading
        assert len(load.report.recoveries) == KILLS
        for process, size in before.items():
            assert after[process] - size <= GROWTH, process
        told = [line for line in log.read_text().splitlines() if "signal 9" not in line]
        assert len(told) == 2, told[2:]  # that it loads, and that it is ready
    finally:
        server.terminate()
        server.wait(90)


def memory(pid: int) -> dict[str, float]:
    return {"server": round(resident(pid), 1), "host": round(resident(host_below(pid)), 1)}
