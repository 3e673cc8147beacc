"""The figures of the suite `serving` beside those of GuideLLM, an independent load generator, on the same server.

`FASTGLM_GUIDELLM` names its program, which has an environment of its own: `pip install guidellm` there.
"""

import asyncio
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from benchmarks.cli.commands import main
from benchmarks.run.workload import TEXT
from benchmarks.serving.client import Client, Endpoint
from benchmarks.serving.mix import text
from benchmarks.serving.probe import Known, probe
from benchmarks.serving.server import served

GUIDELLM = shutil.which(os.environ.get("FASTGLM_GUIDELLM") or "guidellm")
MODEL, VARIANT = os.environ.get("FASTGLM_MEASURED", "shape:chatglm3-6b@2 int4").split()
CLIENTS, PROMPT, ANSWER, REPEATS = 4, 128, 64, 5
SECONDS = 15  # of a run of GuideLLM


@dataclass
class Figures:
    """Tokens a second, and the median time to the first token in seconds."""

    throughput: float
    ttft: float


@pytest.mark.soak
@pytest.mark.usefixtures("compiling")
@pytest.mark.timeout(900)
@pytest.mark.skipif(not GUIDELLM, reason="guidellm is no program here: install it, and name it by FASTGLM_GUIDELLM")
def test_figures_are_those_of_another_load_generator(tmp_path: Path) -> None:
    """Medians of runs in turn: within 5 % for the throughput, within 10 % for the time to the first token."""
    ours, theirs = list[Figures](), list[Figures]()
    with served(MODEL, VARIANT, "cpu", lambda _: None) as endpoint:
        known = asyncio.run(_look(endpoint))
        for number in range(REPEATS):
            figures, answer_time = _our_run(endpoint, tmp_path / f"ours-{number}.json")
            ours.append(figures)
            theirs.append(_other_run(known, answer_time, tmp_path / f"theirs-{number}"))
    for name in ("throughput", "ttft"):
        print(name, *([round(getattr(each, name), 4) for each in side] for side in (ours, theirs)))
    throughput, ttft = (
        median(getattr(each, name) for each in ours) / median(getattr(each, name) for each in theirs)
        for name in ("throughput", "ttft")
    )
    assert throughput == pytest.approx(1, abs=0.05)
    assert ttft == pytest.approx(1, abs=0.1)


async def _look(endpoint: Endpoint) -> Known:
    async with Client(endpoint) as client:
        return await probe(client, TEXT.read_text(encoding="utf-8"), "look ")


def _our_run(endpoint: Endpoint, out: Path) -> tuple[Figures, float]:
    """The figures of a run, and the median time of an answer."""
    load = ["--clients", str(CLIENTS), "--prompts", str(PROMPT), "--answer-tokens", str(ANSWER), "--repeats", "1"]
    assert main(["serving", "--endpoint", endpoint.url, *load, "--json", str(out)]) == 0
    samples = {row["metric"]: row["values"] for row in json.loads(out.read_text())["samples"]}
    return Figures(samples["throughput"][0], median(samples["ttft"])), median(samples["answer_time"])


def _other_run(known: Known, answer_time: float, folder: Path) -> Figures:
    """GuideLLM's own figures with as many clients, who begin one after another within an answer's time, as ours do."""
    folder.mkdir()
    prompts, source = folder / "prompts.jsonl", TEXT.read_text(encoding="utf-8")
    characters = known.measure.characters(PROMPT)
    rows = [
        {"prompt": text(source, characters, f"{folder.name} {n} ", f"{folder} {n}"), "output_tokens_count": ANSWER}
        for n in range(1000)
    ]
    prompts.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    target = known.endpoint.url.removesuffix("/v1")
    extras = {"body": {"temperature": 0}}
    options = {
        "backend": {"kind": "openai_http", "target": target, "model": known.endpoint.model, "extras": extras},
        "data": {"kind": "json_file", "path": str(prompts)},
        "profile": {
            "kind": "concurrent",
            "streams": [CLIENTS],
            "rampup_duration": answer_time,
            "warmup": {"percent": 0.2},
        },
        "constraint": {"kind": "max_duration", "seconds": SECONDS},
        "output": {"kind": "json", "path": str(folder / "out.json")},
    }
    told = [part for name, value in options.items() for part in (f"--{name}", json.dumps(value))]
    command = [str(GUIDELLM), "run", *told, "--disable-console"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    metrics: Any = json.loads((folder / "out.json").read_text())["benchmarks"][0]["metrics"]
    rate, ttft = metrics["output_tokens_per_second"], metrics["time_to_first_token_ms"]
    # Tokens of answers that the end broke off count, as they do here.
    return Figures(rate["total"]["mean"], ttft["successful"]["median"] / 1000)
