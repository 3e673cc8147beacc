"""The tools of a suite: workload, hosts, record, and the handling of failing variants."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.measure.energy import Meter, find_meter
from benchmarks.measure.noise import TIMED, Watch, judge
from benchmarks.measure.warmup import WarmUp
from benchmarks.run.host_rotation import Arrangement, Lineup
from benchmarks.run.progress import Reporter
from benchmarks.run.questions import Question
from benchmarks.run.record import Record
from benchmarks.run.workload import Workload
from fastglm.errors import FastGLMError, HostError, MemoryShortError
from fastglm.generation.piece import Piece
from fastglm.hosting.host import Host
from fastglm.progress.progress import OnProgress, Progress

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from benchmarks.serving.client import Endpoint  # imported late: needs httpx, only to measure a server

Work = Callable[[str, Host, bool], None]
GiveUp = Callable[[Lineup, str, FastGLMError], None]


class Serve(Protocol):
    """Serves a variant in the block, and names its endpoint."""

    def __call__(self, variant: str, progress: OnProgress) -> "AbstractContextManager[Endpoint]": ...


class Loader(Protocol):
    """Starts the host of a variant; `Host.start` with model and device already chosen."""

    def __call__(self, variant: str, progress: OnProgress) -> Host: ...


@dataclass
class Session:
    """One running benchmark."""

    workload: Workload
    prompts: dict[int, list[list[int]]]  # for each length one prompt per repeat, and one for the warm-up
    questions: Sequence[Question]
    load: Loader
    record: Record
    reporter: Reporter
    note: Callable[[dict[str, Any]], None]  # stores facts that the run finds out about itself
    suite: str = ""
    disk_cache: str | None = None  # the disk cache's state for the next load, if the suite controls it
    failed: set[str] = field(default_factory=set)  # variants given up in this suite
    # Seconds of each variant's loads, by the state of the disk cache.
    loads: Counter[tuple[str, str]] = field(default_factory=Counter)
    steps: int = 0  # total of the progress
    watch: Watch = field(default_factory=Watch)
    meters: dict[str, Meter | None] = field(default_factory=dict)  # meters of energy, by device
    server: Serve | None = None  # of the serving suite
    together: bool = False  # its servers run at the same time, and take turns

    @property
    def standing(self) -> list[str]:
        """The variants that have not failed, in the requested order."""
        return [variant for variant in self.record.run.variants if variant not in self.failed]

    def turns(self) -> Iterator[list[str]]:
        """The variants of round after round, there and back again, so that a drift of the machine favours none."""
        for back in cycle((1, -1)):
            yield self.standing[::back]

    def plan(self, steps: int) -> None:
        """Add steps to the plan, or remove some."""
        self.steps += steps
        self.reporter.plan(self.steps)

    def skip(self, steps: int) -> None:
        """Count steps as done, also those from before a run was resumed."""
        for _ in range(steps):
            self.reporter.step()

    def lineup(self, arrangement: Arrangement) -> Lineup:
        """Hosts that are loaded when their turns come."""
        return Lineup(self._start, arrangement)

    def attempt(self, lineup: Lineup, variant: str, work: Work, give_up: GiveUp | None = None) -> None:
        """Take one turn of `variant`: `work` gets its name, its host, and whether the host was just loaded.

        If memory is too short beside other hosts, all turns from here on use one host at a time. Any other failure, and
        a second shortage, goes to `give_up`, by default `fail`.
        """
        give_up = give_up or self.fail
        try:
            work(variant, *lineup.turn(variant))
        except MemoryShortError as error:
            if lineup.one_at_a_time(variant):
                self.arranged(lineup)
                self.attempt(lineup, variant, work, give_up)
            else:
                give_up(lineup, variant, error)
        except FastGLMError as error:
            give_up(lineup, variant, error)
        if self.suite in TIMED:
            self.watch.look(self.record.devices.get(variant, "cpu"))

    def arranged(self, lineup: Lineup) -> None:
        """Record the arrangement of this suite's hosts."""
        self.found("arrangement", lineup.arrangement)

    def found(self, name: str, fact: Any) -> None:
        """Record a fact about this suite in the settings of the run under `name`."""
        self.settle(name, self.suite, fact)

    def warmed_up(self, variant: str, result: WarmUp) -> None:
        """Record the warm-up of a variant; with several loads the latest."""
        of_suite = self.record.run.settings.get("warm_up", {}).get(self.suite, {})
        self.found("warm_up", {**of_suite, variant: result.as_dict()})

    def judge(self) -> None:
        """Record the machine's other work meanwhile, and whether the run is noisy."""
        settings = self.record.run.settings
        if TIMED.isdisjoint(self.record.run.suites):
            return
        settings["conditions"] = self.watch.conditions()
        warm_ups = [of_suite.items() for of_suite in settings.get("warm_up", {}).values()]
        unstable = {variant for found in warm_ups for variant, result in found if not result["stable"]}
        noise = judge(settings["conditions"], self.record.samples(), sorted(unstable))
        settings["noise"] = {**settings.get("noise", {}), **noise}  # a resumed run stays noisy
        self.note(settings)

    def meter(self, device: str) -> Meter | None:
        """The energy meter of a device, if there is one."""
        if device not in self.meters:
            self.meters[device] = find_meter(device)
        return self.meters[device]

    def ask(self, host: Host, prompt: Sequence[int], tokens: int) -> list[Piece]:
        """The pieces of one greedy answer of exactly `tokens` tokens, to a prompt that is read from its beginning.

        Raises `HostError` if fewer arrive, or if the host has read a part of the prompt before.
        """
        settings: dict[str, Any] = {"max_new_tokens": tokens, "do_sample": False, "ignore_eos": True}
        answer = host.ask(list(prompt), lease=False, **settings)
        while not answer.wait(0.5):  # not piece by piece: reading them would take time from the host
            pass
        pieces = list(answer)
        if len(pieces) != tokens:
            raise HostError(f"an answer ended after {len(pieces)} of {tokens} tokens: the model cannot be measured so")
        if reused := pieces[0].reused_tokens:
            raise HostError(f"{reused} of {len(prompt)} tokens of a prompt were not read: its time is no cold one")
        return pieces

    def params(self, prompt_tokens: int) -> dict[str, int]:
        """The params that an answer's figures depend on."""
        return {"prompt_tokens": prompt_tokens, "answer_tokens": self.workload.answer_tokens}

    def fail(self, lineup: Lineup, variant: str, error: FastGLMError, **of: float) -> None:
        """Record a failure and end the host. The variant is left out of this suite, or only the part `of`."""
        lineup.drop(variant)
        self.give_up(variant, error, **of)

    def give_up(self, variant: str, error: FastGLMError, **of: float) -> None:
        """Record a failure; see `fail`."""
        if not of:
            self.failed.add(variant)
        reason = {"suite": self.suite, "kind": type(error).__name__, "error": str(error)[:300]}
        self.record.fail(variant, {**reason, **of})
        self.record.save(everything=True)
        part = "".join(f", {name} {number}" for name, number in of.items()).replace("_", " ")
        self.reporter.warning(f"{variant}{part} could not be measured: {error}")

    def serve(self, variant: str) -> "AbstractContextManager[Endpoint]":
        """Serve a variant in the block. Raises `FastGLMError`."""
        assert self.server
        self.reporter.at(f"{variant}: loading")
        return self.server(variant, self._progress(variant))

    def _progress(self, variant: str) -> OnProgress:
        def progress(news: Progress) -> None:
            self.reporter.at(f"{variant}: {news.stage}", news.fraction)

        return progress

    def _start(self, variant: str) -> Host:
        self.reporter.at(f"{variant}: loading")
        host = self.load(variant, self._progress(variant))
        self.record.devices[variant] = host.info.device
        self.settle("weights", variant, host.info.weights_memory)
        if host.info.notes:
            self.settle("notes", variant, host.info.notes)
        cache = self.disk_cache or ("warm" if any(name == variant for name, _ in self.loads) else "as found")
        self.record.add(variant, "load_time", {"disk_cache": cache}, self.loads[variant, cache], host.info.load_time)
        self.loads[variant, cache] += 1
        return host

    def settle(self, name: str, of: str, value: Any) -> None:
        """Store a fact about a suite or a variant with the run's settings."""
        settings = self.record.run.settings
        known = settings.get(name, {})
        if known.get(of) != value:
            settings[name] = {**known, of: value}
            self.note(settings)
