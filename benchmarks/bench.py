"""What a suite works with: the workload, hosts, the record, and what to do when a variant fails."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.lineup import Arrangement, Lineup
from benchmarks.progress import Reporter
from benchmarks.questions import Question
from benchmarks.record import Record
from benchmarks.workload import Workload
from fastglm.errors import FastGLMError, HostError, MemoryShortError
from fastglm.host import Host
from fastglm.piece import Piece
from fastglm.progress import OnProgress, Progress

Work = Callable[[str, Host, bool], None]
Instead = Callable[[], None]


class Loader(Protocol):
    """Starts the host of a variant; `Host.start` with model and device already chosen."""

    def __call__(self, variant: str, progress: OnProgress) -> Host: ...


@dataclass
class Bench:
    """One run at work."""

    workload: Workload
    prompts: dict[int, list[list[int]]]  # of each length one a repeat, and one more for the warm-up
    questions: Sequence[Question]
    load: Loader
    record: Record
    reporter: Reporter
    note: Callable[[dict[str, Any]], None]  # keeps what the run finds out about itself
    suite: str = ""
    disk_cache: str | None = None  # the state it is in for the next load, where a suite sees to that
    failed: set[str] = field(default_factory=set)  # variants given up in this suite
    loads: Counter[tuple[str, str]] = field(default_factory=Counter)  # of each variant, by the state of the disk cache

    @property
    def standing(self) -> list[str]:
        """The variants that have not failed, in the order asked for."""
        return [variant for variant in self.record.run.variants if variant not in self.failed]

    def skip(self, steps: int) -> None:
        """Steps of a resumed run that were taken before it was stopped."""
        for _ in range(steps):
            self.reporter.step()

    def lineup(self, arrangement: Arrangement) -> Lineup:
        """Hosts that are loaded as their turns come."""
        return Lineup(self._start, arrangement)

    def attempt(self, lineup: Lineup, variant: str, work: Work, instead: Instead | None = None) -> None:
        """One turn of `variant`: `work` gets its name, its host, and whether that was loaded just now.

        Where memory is too short beside other hosts, all turns from here on are taken one host at a time; where it is
        too short for the variant alone, `instead` is called if there is one. Any other failure, and a second one, is
        recorded, and the variant is left out of this suite.
        """
        try:
            work(variant, *lineup.turn(variant))
        except MemoryShortError as error:
            if lineup.one_at_a_time(variant):
                self.arranged(lineup)
                self.attempt(lineup, variant, work, instead)
            elif instead:
                self._without_room(lineup, variant, instead)
            else:
                self._fail(lineup, variant, error)
        except FastGLMError as error:
            self._fail(lineup, variant, error)

    def arranged(self, lineup: Lineup) -> None:
        """Record how the hosts of this suite are arranged."""
        settings = self.record.run.settings
        settings["arrangement"] = {**settings.get("arrangement", {}), self.suite: lineup.arrangement}
        self.note(settings)

    def ask(self, host: Host, prompt: Sequence[int], tokens: int) -> list[Piece]:
        """The pieces of one greedy answer of exactly `tokens` tokens; raises `HostError` where fewer come."""
        settings: dict[str, Any] = {"max_new_tokens": tokens, "do_sample": False, "ignore_eos": True}
        answer = host.ask(list(prompt), lease=False, **settings)
        while not answer.wait(0.5):  # not piece by piece: reading them would take time from the host
            pass
        pieces = list(answer)
        if len(pieces) != tokens:
            raise HostError(f"an answer ended after {len(pieces)} of {tokens} tokens: the model cannot be measured so")
        return pieces

    def params(self, prompt_tokens: int) -> dict[str, int]:
        """What an answer's figures depend on."""
        return {"prompt_tokens": prompt_tokens, "answer_tokens": self.workload.answer_tokens}

    def _start(self, variant: str) -> Host:
        def progress(news: Progress) -> None:
            self.reporter.at(f"{variant}: {news.stage}", news.fraction)

        self.reporter.at(f"{variant}: loading")
        host = self.load(variant, progress)
        self.record.devices[variant] = host.info.device
        cache = self.disk_cache or ("warm" if any(name == variant for name, _ in self.loads) else "as found")
        self.record.add(variant, "load_time", {"disk_cache": cache}, self.loads[variant, cache], host.info.load_time)
        self.loads[variant, cache] += 1
        return host

    def _without_room(self, lineup: Lineup, variant: str, instead: Instead) -> None:
        lineup.drop(variant)
        try:
            instead()
        except FastGLMError as error:
            self._fail(lineup, variant, error)

    def _fail(self, lineup: Lineup, variant: str, error: FastGLMError) -> None:
        lineup.drop(variant)
        self.failed.add(variant)
        reason = {"suite": self.suite, "kind": type(error).__name__, "error": str(error)[:300]}
        self.record.fail(variant, reason)
        self.record.save(everything=True)
        self.reporter.warning(f"{variant} could not be measured: {error}")
