"""A user's request to measure, checked before anything is loaded, and run alone on its device."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchmarks.environment.machine import busy_warning, machine
from benchmarks.execution.runner import execute, prepare
from benchmarks.measure.stopping import LEAST, Precision
from benchmarks.run.device import alone
from benchmarks.run.progress import Reporter
from benchmarks.run.questions import Question, held_out, read_texts
from benchmarks.run.record import Result
from benchmarks.run.workload import Tokenizer, Workload
from benchmarks.store.run import Run
from benchmarks.suites import SUITES
from fastglm.errors import UsageError
from fastglm.evaluate.arithmetic import Arithmetic, read_arithmetic
from fastglm.hosting.host import Host
from fastglm.models.base import ModelConfig
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.random_weights import shape_config
from fastglm.models.source import demo_folder, find_source, find_trained
from fastglm.models.tokenizer_files import read_tokenizer
from fastglm.progress.progress import OnProgress
from fastglm.system.devices import resolve_devices
from fastglm.variants.variants import get_variant

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from benchmarks.serving.client import Endpoint
    from benchmarks.store.store import Store


@dataclass(frozen=True, slots=True)
class Subject:
    """Facts about a model that need no loading: tokenizer, context in tokens, and the actual device."""

    tokenizer: Tokenizer
    context: int
    device: str


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A model, variants, suites and a workload that can be measured on a device."""

    model: str
    variants: list[str]
    suites: list[str]
    workload: Workload
    device: str
    texts: Path | None = None  # a user's own questions for the quality suite
    threads: int | None = None  # threads of the hosts; None: PyTorch's choice
    arithmetic: Arithmetic = Arithmetic.exact  # arithmetic of the expected answers' figures in the quality suite
    together: ClassVar[bool] = False  # servers run one after the other

    @classmethod
    def read(
        cls,
        model: str,
        variants: str,
        suites: str,
        prompt_tokens: str,
        answer_tokens: str,
        repeats: str | None,
        device: str,
        questions: str = "24",
        texts: Path | None = None,
        precision: str | None = None,
        budget: str | None = None,
        batches: str = "1,2,4,8,16",
        threads: int | None = None,
        arithmetic: str = Arithmetic.exact,
    ) -> "RunRequest":
        """Read a request from command-line texts; without `repeats` the precision decides. Raises `UsageError`."""
        if repeats is not None and (precision or budget):
            raise UsageError("--repeats is a fixed count: leave it out, or leave --precision and --budget out")
        names = _known(variants)
        chosen = _names(suites, "--suite")
        for suite in chosen:
            if suite not in SUITES:
                raise UsageError(f"there is no suite {suite}: choose from {', '.join(SUITES)}")
        if "serving" in chosen:
            raise UsageError("the suite serving has a command of its own: python -m benchmarks serving --help")
        workload = Workload(
            prompt_tokens=tuple(
                read_number(text, "--prompt-tokens") for text in _names(prompt_tokens, "--prompt-tokens")
            ),
            answer_tokens=read_number(answer_tokens, "--answer-tokens"),
            repeats=LEAST if repeats is None else read_number(repeats, "--repeats"),
            questions=read_number(questions, "--questions"),
            precision=Precision.read(precision, budget) if repeats is None else None,
            batches=tuple(read_number(text, "--batches") for text in _names(batches, "--batches")),
        )
        if texts and "quality" not in chosen:
            raise UsageError("--texts is for the quality suite: add --suite quality")
        return cls(model, names, chosen, workload, device, texts, threads, read_arithmetic(arithmetic))

    @classmethod
    def of_servers(
        cls, model: str, variants: str, workload: Workload, device: str, threads: int | None = None
    ) -> "RunRequest":
        """A request to measure a server of each variant. Raises `UsageError`."""
        return cls(model, _known(variants), ["serving"], workload, device, threads=threads)

    def carry_out(self, store: "Store | None", reporter: Reporter, begun: Run | None = None) -> Result:
        """Measure, or resume a run that was `begun`; chat on the device waits meanwhile.

        Raises `FastGLMError` if nothing can be measured.
        """
        reporter.at(f"reading {self.model}")
        subject = read_subject(self.model, self.device)
        self.workload.check(subject.context)
        prompts = prepare(self.workload, subject.tokenizer)
        questions = self.questions()

        with alone(subject.device, f"benchmark of {self.model}", reporter) as servers:
            facts = machine(subject.device)
            if warning := busy_warning(facts):
                reporter.warning(warning)
            run = begun or Run(self.model, self.variants, self.suites, self.settings(), machine=facts)
            return execute(
                run,
                self.workload,
                prompts,
                questions,
                self.start,
                store,
                reporter,
                resumed=begun is not None,
                server=self.serve,
                beside=servers,
                together=self.together,
            )

    def start(self, variant: str, progress: OnProgress) -> Host:
        """Start a host of a variant and load it. Raises `FastGLMError`."""
        return Host.start(self.model, variant, self.device, progress=progress, threads=self.threads)

    def serve(self, variant: str, progress: OnProgress) -> "AbstractContextManager[Endpoint]":
        """Serve a variant in the block. Raises `FastGLMError`."""
        from benchmarks.serving.server import served  # imported late: needs httpx, only to measure a server

        device = ",".join(map(str, resolve_devices(self.device)))
        return served(self.model, variant, device, progress, self.threads)

    def questions(self) -> list[Question]:
        """The questions of the quality suite; empty without it. Raises `UsageError` if it has nothing to ask."""
        if "quality" not in self.suites:
            return []
        find_trained(self.model, "leave the quality suite out")
        return read_texts(self.texts) if self.texts else held_out(self.workload.questions, self.model)

    def settings(self) -> dict[str, object]:
        """The request as plain data for the run."""
        return {
            "device": self.device,
            "threads": self.threads,
            **self.workload.as_dict(),
            **(self.workload.load.as_dict() if "serving" in self.suites else {}),
            "texts": self.texts and str(self.texts.absolute()),
            "arithmetic": str(self.arithmetic),
        }


def read_subject(model: str, device: str) -> Subject:
    """Open the small files of a model. Raises `FastGLMError`: no such model or device, or a broken checkpoint."""
    devices = ",".join(map(str, resolve_devices(device)))  # all packages that a host may need
    tokenizer, config = read_light(model)
    return Subject(tokenizer, config.context, devices)


def read_light(model: str) -> tuple[Tokenizer, ModelConfig]:
    """Tokenizer and config of a model. Raises `FastGLMError`: no such model, or a broken checkpoint."""
    source = find_source(model)
    folder = demo_folder() if source.kind == "shape" else source.fetch()
    tokenizer = read_tokenizer(folder)
    return tokenizer, shape_config(source, tokenizer) if source.kind == "shape" else Checkpoint(folder).config


def _known(variants: str) -> list[str]:
    """Names of known variants."""
    names = _names(variants, "--variants")
    for name in names:
        get_variant(name)
    return names


def _names(text: str, option: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise UsageError(f"{option} {text!r} is not a list of different names with commas between")
    return names


def read_number(text: str, option: str) -> int:
    """Read a whole number. Raises `UsageError`."""
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{option} wants whole numbers, not {text!r}") from None
