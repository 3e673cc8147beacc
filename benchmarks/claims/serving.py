"""Servers under load: more clients, others' servers, and tokens beside another's prompt."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from benchmarks.environment.machine import physical_cores
from benchmarks.execution.request import RunRequest
from benchmarks.measure import statistics
from benchmarks.measure.bounds import ClaimedFigure, times
from benchmarks.peers.comparison import compare
from benchmarks.peers.ratios import ratios
from benchmarks.peers.registry import all_servers
from benchmarks.run.device import alone
from benchmarks.run.progress import Reporter
from benchmarks.run.record import Result
from benchmarks.run.workload import TEXT, Workload
from benchmarks.serving.asked import Asked
from benchmarks.serving.client import Client
from benchmarks.serving.load import Load
from benchmarks.serving.mix import Mix, text
from benchmarks.serving.probe import probe
from benchmarks.serving.server import served
from fastglm.errors import FastGLMError
from fastglm.progress.progress import Progress

MODEL = "shape:chatglm3-6b@5"
FEWER_LAYERS = "shape:chatglm3-6b@2"  # in fp32, so that it takes minutes
PROMPT, ANSWER = 128, 64  # tokens
LEAST = {4: 2.2, 8: 3.0}  # of several clients over one
LLAMA, OVER_LLAMA = "llama-server-q4_0", 1.3
TRANSFORMERS, OVER_TRANSFORMERS = "transformers-serve", 1.2
LONG, PROMPTS, PAUSE = 512, 20, 0.5  # tokens of the other's prompts, their number, and seconds between them
STREAM = 256  # tokens of an answer beside them
SLOWEST = 3.0
OF = f"{MODEL}, prompts {PROMPT}, answers {ANSWER}"
PROMISED = f"serving, int4, {OF}: four clients 2.2 × the tokens/s of one, eight 3 ×"
PROMISED_LLAMA = f"serving, int4, {OF}: four and eight clients 1.3 × the tokens/s of llama.cpp's server, Q4_0"
PROMISED_TRANSFORMERS = (
    f"serving, fast, fp32, {FEWER_LAYERS}, prompts {PROMPT}, answers {ANSWER}: four clients 1.2 × the tokens/s of "
    "transformers serve"
)
PROMISED_BESIDE = (
    f"serving, int4, {MODEL}: p99 of the time per token while another's prompt of {LONG} is read at most 3 × the "
    "median without"
)


def clients(reporter: Reporter) -> list[ClaimedFigure]:
    """Tokens a second of several clients over those of one."""
    result = RunRequest.of_servers(MODEL, "int4", _workload((1, *LEAST), 5), "cpu").carry_out(None, reporter)
    _check(result, "int4")
    rates: dict[int, dict[int, float]] = {}
    for sample in result.samples:
        if sample.metric == "throughput":
            rates.setdefault(int(sample.params["clients"]), {})[sample.repeat] = sample.value
    figures = []
    for many, least in LEAST.items():
        found = statistics.ratio(*([rates[number][repeat] for repeat in sorted(rates[1])] for number in (many, 1)))
        figures.append(times(found, f"{many} clients", least))
    return figures


def over_llama(reporter: Reporter) -> list[ClaimedFigure]:
    """Tokens a second of `int4` over those of llama.cpp's server."""
    return _over(reporter, MODEL, "int4", LLAMA, _workload(tuple(LEAST), 3), OVER_LLAMA)


def over_transformers(reporter: Reporter) -> list[ClaimedFigure]:
    """Tokens a second of `fast` over those of `transformers serve`; none if it refuses CPUs."""
    return _over(reporter, FEWER_LAYERS, "fast", TRANSFORMERS, _workload((4,), 3), OVER_TRANSFORMERS)


def beside_prompt(reporter: Reporter) -> list[ClaimedFigure]:
    """Times between the tokens of an answer while another client's prompts are read, and without."""

    def progress(news: Progress) -> None:
        reporter.at(news.stage, news.fraction)

    with alone("cpu", "benchmark", reporter), served(MODEL, "int4", "cpu", progress) as endpoint:
        reporter.at("an answer beside other prompts")
        answers, others = asyncio.run(_beside(Client(endpoint)))
    beside, plain = gaps(answers, [(other.due, other.pieces[0]) for other in others[1:]])  # the first is the warm-up
    slow, usual = np.quantile(beside, 0.99), np.median(plain)
    return [
        ClaimedFigure(float(slow / usual), "×", "p99", len(beside), most=SLOWEST),
        ClaimedFigure(float(np.median(beside) / usual), "×", "median", len(beside)),
        ClaimedFigure(float(usual), "s", "without", len(plain)),
    ]


def gaps(answers: Sequence[Asked], readings: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Times between the pieces of answers: those that end while a prompt is read, and those apart from all readings."""
    beside, plain = [], []
    for answer in answers:
        for before, after in pairwise(answer.pieces):
            if any(start < after <= end for start, end in readings):
                beside.append(after - before)
            elif not any(start < after and before < end for start, end in readings):
                plain.append(after - before)
    return beside, plain


async def _beside(client: Client) -> tuple[list[Asked], list[Asked]]:
    """Answers one after the other, and a few prompts of somebody else meanwhile. Raises `FastGLMError`."""
    source, others = TEXT.read_text(encoding="utf-8"), list[Asked]()
    async with client:
        known = await probe(client, source, "beside ")

        async def ask(tokens: int, answer: int, name: str) -> Asked:
            prompt = text(source, known.measure.characters(tokens), f"{name} ", name)
            asked = await client.ask(prompt, answer, known.options)
            if asked.error or len(asked.pieces) < asked.tokens:
                said = asked.error or f"{asked.tokens} tokens came in {len(asked.pieces)} pieces"
                raise FastGLMError(f"the times between tokens cannot be seen: {said}")
            return asked

        async def other() -> None:
            for number in range(PROMPTS + 1):
                await asyncio.sleep(PAUSE)
                others.append(await ask(LONG, 2, f"other {number}"))

        answers, task = list[Asked](), asyncio.create_task(other())
        while not task.done():
            answers.append(await ask(PROMPT, STREAM, f"answer {len(answers)}"))
        await task
    return answers, others


def _workload(clients: tuple[int, ...], repeats: int) -> Workload:
    return Workload((PROMPT,), ANSWER, repeats, load=Load(clients, mix=Mix(((PROMPT, 1),))))


def _over(
    reporter: Reporter, model: str, ours: str, peer: str, workload: Workload, least: float
) -> list[ClaimedFigure]:
    """The ratios of throughput, by clients; none if the peer cannot be measured here, which the reporter is told."""
    order = RunRequest.of_servers(model, ours, workload, "cpu", physical_cores())
    result = compare(order, {peer: all_servers()[peer]}, None, reporter)
    _check(result, ours)
    found = ratios(result.samples, [ours], [peer])
    return [times(ratio.estimate, f"{ratio.params['clients']} clients", least) for ratio in found]


def _check(result: Result, variant: str) -> None:
    """Raise `FastGLMError` if our server could not be measured, and `KeyboardInterrupt` if the run was ended."""
    if result.status == "cancelled":
        raise KeyboardInterrupt
    failed = [row for row in result.measurements if row.metric == "failure" and row.variant == variant]
    if failed:
        raise FastGLMError("; ".join(str(row.params["error"]) for row in failed))
