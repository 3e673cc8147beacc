"""A server under load, measured over HTTP: numbers of clients, and rates of arrivals, each in turn."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from hashlib import blake2s
from typing import TYPE_CHECKING

from benchmarks.measure.measurement import Param, params_text
from benchmarks.measure.statistics import Estimate
from benchmarks.run.session import Session
from benchmarks.run.workload import TEXT, Workload
from benchmarks.serving.asked import Asked
from benchmarks.serving.figures import LATE, Figures, figures, lateness, most_clients
from benchmarks.serving.load import Level
from benchmarks.serving.loops import Played, play
from benchmarks.serving.mix import text
from benchmarks.serving.window import SECONDS, Window
from fastglm.errors import FastGLMError

if TYPE_CHECKING:
    from benchmarks.serving.client import Client, Endpoint
    from benchmarks.serving.probe import Known

SHOWN_ERRORS = 3  # kinds of errors in a warning


def steps(workload: Workload) -> int:
    """A server, its warm-up, and every level of load in every repeat."""
    return 2 + len(workload.load.levels) * workload.repeats


def measure(bench: Session) -> None:
    """Measure a server of each variant: `throughput`, `request_rate`, `goodput`, `error_share`, and the quantiles of
    `ttft`, `time_per_token` and `answer_time` at every level; `served_clients` of all of them.

    The servers run one after the other, or together if the request wants them so: then they take turns, and rest
    meanwhile.
    """
    bench.found("arrangement", "interleaved" if bench.together else "blocks")
    for group in [bench.standing] if bench.together else [[variant] for variant in bench.standing]:
        lacking = [each for each in group if not all(_has(bench, each, *turn) for turn in _turns(bench.workload))]
        bench.skip(steps(bench.workload) * (len(group) - len(lacking)))
        _measure(bench, lacking)
        for variant in group:
            if bench.workload.load.clients and variant in bench.standing:
                bench.record.grade(
                    variant, [], [("served_clients", _params(bench, limits=True), _served(bench, variant))]
                )
        bench.record.save(everything=True)


def _measure(bench: Session, variants: Sequence[str]) -> None:
    """Start the servers, and measure them in turn."""
    with ExitStack() as running:
        endpoints = {}
        for variant in variants:
            try:
                endpoints[variant] = endpoint = running.enter_context(bench.serve(variant))
            except FastGLMError as error:
                bench.give_up(variant, error)
                continue
            bench.record.devices[variant] = endpoint.device
            bench.reporter.step()
        asyncio.run(_in_turn(bench, endpoints))


async def _in_turn(bench: Session, endpoints: "Mapping[str, Endpoint]") -> None:
    """Warm each server up, and measure every level of load at one after the other, there and back again."""
    from benchmarks.serving.client import Client  # imported late: needs httpx, only to measure a server
    from benchmarks.serving.probe import probe

    async with AsyncExitStack() as clients:
        servers = []
        for variant, endpoint in endpoints.items():
            client = await clients.enter_async_context(Client(endpoint))
            bench.reporter.at(f"{variant}: looking at the server")
            try:
                known = await probe(client, TEXT.read_text(encoding="utf-8"), _mark(bench, "probe"))
            except FastGLMError as error:
                bench.give_up(variant, error)
                continue
            servers.append(_Server(bench, variant, client, known, set()))
            await servers[-1].warm_up()
        for level, repeat in _turns(bench.workload):
            for server in servers[:: 1 if repeat % 2 == 0 else -1]:
                await server.measure(level, repeat)


def _turns(workload: Workload) -> list[tuple[Level, int]]:
    """The levels of repeat after repeat, there and back again, so that a drift of the machine favours none."""
    levels = workload.load.levels
    return [(level, repeat) for repeat in range(workload.repeats) for level in levels[:: 1 if repeat % 2 == 0 else -1]]


def _params(bench: Session, level: Level | None = None, limits: bool = False) -> dict[str, Param]:
    """The params of a level's figures, or of those of all levels; `limits` are params of goodput."""
    load = bench.workload.load
    found: dict[str, Param] = {**(level.params if level else {}), "prompts": str(load.mix)}
    found["answer_tokens"] = bench.workload.answer_tokens
    return found | ({"slo": str(load.limits)} if limits else {})


def _has(bench: Session, variant: str, level: Level, repeat: int) -> bool:
    return bench.record.has(variant, "throughput", _params(bench, level), repeat)


def _served(bench: Session, variant: str) -> Estimate:
    """The largest number of clients within the limits; a level that failed in any repeat keeps none."""
    by_params = {
        params_text(_params(bench, Level("clients", number))): number for number in bench.workload.load.clients
    }
    levels: dict[int, dict[int, Figures]] = {number: {} for number in by_params.values()}
    for sample in bench.record.samples():
        _, metric, params = sample.key
        if sample.variant == variant and params in by_params:
            of_repeat = levels[by_params[params]].setdefault(sample.repeat, {"ttft": [], "error_share": []})
            of_repeat[metric] = list(sample.values)
    for failure in bench.record.failures:
        if failure.variant == variant and failure.params.get("suite") == bench.suite and "clients" in failure.params:
            levels[int(failure.params["clients"])] = {}
    failed: list[Figures] = [{"ttft": [], "error_share": [1.0]}]
    kept = {number: list(repeats.values()) or failed for number, repeats in levels.items()}
    return Estimate(float(most_clients(kept, bench.workload.load.limits)), bench.workload.repeats)


def _mark(bench: Session, what: str) -> str:
    """The beginning of a prompt that no server has read before, the same for every variant of a run."""
    return blake2s(f"{bench.record.run.id} {what}".encode(), digest_size=4).hexdigest() + " "


@dataclass
class _Server:
    """A server at work."""

    bench: Session
    variant: str
    client: "Client"
    known: "Known"
    failed: set[Level]

    async def warm_up(self) -> None:
        """Tell the facts about the server, and load it once as much as it will be."""
        bench, variant = self.bench, self.variant
        bench.settle("served", variant, self.known.as_dict())
        if not self.known.gives_usage:
            bench.reporter.warning(f"{variant} tells no usage: each chunk of an answer counts as one token")
        bench.reporter.at(f"{variant}: warming up")
        await self._play(Level("clients", max(bench.workload.load.clients, default=1)), -1, 0.0)
        bench.reporter.step()

    async def measure(self, level: Level, repeat: int) -> None:
        """Measure a level, unless it has failed or is known."""
        bench, variant = self.bench, self.variant
        if level not in self.failed and not _has(bench, variant, level, repeat):
            bench.reporter.at(f"{variant}: {level}")
            self._keep(level, repeat, await self._play(level, repeat, SECONDS))
            bench.record.save()
            if self.client.endpoint.is_here:  # there the server itself might be the other load
                bench.watch.look(self.client.endpoint.device)
        bench.reporter.step()

    async def _play(self, level: Level, repeat: int, seconds: float) -> Played:
        """Put a level of load on the server; the same prompts and arrivals for every variant."""
        workload, seed = self.bench.workload, f"{level} {repeat}"
        lengths = workload.load.mix.drawn(seed)
        source = TEXT.read_text(encoding="utf-8")

        async def send(number: int, share: float, due: float | None) -> Asked:
            characters = self.known.measure.characters(next(lengths))
            prompt = text(source, characters, _mark(self.bench, f"{seed} {number}"), f"{seed} {number}")
            tokens = max(round(share * workload.answer_tokens), 2)
            return await self.client.ask(prompt, tokens, self.known.options, due)

        return await play(level, send, Window.of(level, seconds), seed)

    def _keep(self, level: Level, repeat: int, played: Played) -> None:
        """Record the figures of a level, its errors, and a client that was late itself."""
        bench, limits = self.bench, self.bench.workload.load.limits
        found = figures(played.asked, played.start, played.end, limits)
        self._tell_errors(level, played)
        if not found["ttft"]:
            self.failed.add(level)
            bench.give_up(
                self.variant, FastGLMError(f"no request was answered ({self._errors(played)})"), **level.params
            )
            return
        for metric, values in found.items():
            if values:
                params = _params(bench, level, limits=metric == "goodput")
                bench.record.add(self.variant, metric, params, repeat, *values)
        late = lateness(played.lags, found["ttft"])
        known = bench.record.run.settings.get("noise", {}).get("client_lag", {}).get("share", 0.0)
        if late is not None and late > known:
            bench.settle("noise", "client_lag", {"share": round(late, 3), "limit": LATE})

    def _tell_errors(self, level: Level, played: Played) -> None:
        failures = sum(each.error is not None for each in played.asked)
        if failures:
            self.bench.reporter.warning(
                f"{self.variant}, {level}: {failures} of {len(played.asked)} requests failed ({self._errors(played)})"
            )

    def _errors(self, played: Played) -> str:
        """The commonest errors, with their numbers."""
        counts = Counter(each.error for each in played.asked if each.error)
        return "; ".join(f"{number} × {error}" for error, number in counts.most_common(SHOWN_ERRORS))
