"""The steps of a recipe: the fields of each, its effect on a config, and its work.

The fields of a step are its fields in a recipe's file. A share is a part of the whole, so a recipe suits models of any
size.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import UsageError
from ..kernels.layout import get_layout
from ..models.facts import ModelFacts
from ..models.folder import CheckpointFolder
from ..progress.progress import OnProgress
from .configs import Facts, check_count, packed_config, with_sparsity, with_widths, without_layers
from .size import predict_size
from .student import check_student, smaller

if TYPE_CHECKING:  # pages predict the effect of steps without torch, which running them needs
    from .prune import Pruned
    from .text_split import Split

# Bytes of a distillation's state for each parameter: weights, moments, means in fp32, and the next state.
STATE_BYTES = 32


@dataclass(frozen=True, slots=True)
class StepContext:
    """Inputs of a step."""

    source: Path  # the checkpoint of the steps before
    teacher: Path  # the teacher of a pruned model: the whole model, or its latest student
    out: Path  # the folder to write, which appears when it is complete
    texts: "Split | None"
    seed: int
    device: str
    progress: OnProgress

    @property
    def state(self) -> Path:
        """The file from which a killed step resumes."""
        return self.out.with_name(f"{self.out.name}.state")

    @property
    def split(self) -> "Split":
        """The texts of a step that needs them."""
        assert self.texts is not None  # checked before the first step
        return self.texts


@dataclass(frozen=True)
class Step(ABC):
    """A step of a recipe. Creating one raises UsageError if a value is out of its range."""

    name: ClassVar[str]
    needs_texts: ClassVar[bool] = True
    calibrates: ClassVar[bool] = True  # calibrates on texts, if there are any
    cannot_follow: ClassVar[Mapping[str, str]] = {}  # steps that may not come before, each with the reason

    @abstractmethod
    def config(self, before: Facts) -> Facts:
        """The config after the step, as far as it is predictable. Raises UsageError if the step is impossible."""

    @abstractmethod
    def run(self, given: StepContext) -> dict[str, Any]:
        """Run the step; returns its report, ready for JSON. Raises FastGLMError."""

    def scratch(self, after: ModelFacts) -> int:
        """Bytes on the disk beside the result's folder, whose config is `after`."""
        return 0


@dataclass(frozen=True)
class PruneDepth(Step):
    """Removes the least important layers: a number of them, or a share."""

    name = "prune-depth"
    layers: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        _want((self.layers is None) != (self.share is None), "name either layers or share: how many go")
        _want(self.layers is None or self.layers > 0, f"layers is {self.layers}: 1 or more go")
        _want(self.share is None or 0 < self.share < 1, f"share is {self.share}: it is what goes, between 0 and 1")

    def count(self, config: ModelFacts) -> int:
        """The number of layers to remove; at least one for a share."""
        return self.layers or max(1, round(config.layers * (self.share or 0)))

    def config(self, before: Facts) -> Facts:
        check_count(before, self.count(before))
        return without_layers(before, range(self.count(before)))

    def run(self, given: StepContext) -> dict[str, Any]:
        from .prune import prune_depth

        count = self.count(CheckpointFolder(given.source).facts)
        texts = given.split.calibrate
        return _pruned(prune_depth(given.source, given.out, count, texts, given.progress, given.device))


@dataclass(frozen=True)
class PruneWidth(Step):
    """Removes FFN channels and heads from every layer; the fields are the shares that stay."""

    name = "prune-width"
    cannot_follow: ClassVar[Mapping[str, str]] = {"sparse24": "narrower layers would not be 2:4 sparse"}
    channels: float = 1.0
    heads: float = 1.0

    def __post_init__(self) -> None:
        for name, share in (("channels", self.channels), ("heads", self.heads)):
            _want(0 < share <= 1, f"{name} is {share}: the share that stays is above 0 and up to 1")
        _want(self.channels * self.heads < 1, "all channels and heads stay: give channels or heads a share below 1")

    def config(self, before: Facts) -> Facts:
        return with_widths(before, self.channels, self.heads)

    def run(self, given: StepContext) -> dict[str, Any]:
        from .prune import prune_width

        shares = self.channels, self.heads
        texts = given.split.calibrate
        return _pruned(prune_width(given.source, given.out, texts, *shares, given.progress, given.device))


@dataclass(frozen=True)
class PruneVocabulary(Step):
    """Removes the tokens that the texts to learn from never use."""

    name = "prune-vocabulary"
    calibrates = False

    def config(self, before: Facts) -> Facts:
        _want(before.vocabulary_can_shrink, "this model's tokenizer cannot lose tokens: leave out prune-vocabulary")
        return before  # the tokens of the texts are not known yet

    def run(self, given: StepContext) -> dict[str, Any]:
        from .prune import prune_vocabulary

        return _pruned(prune_vocabulary(given.source, given.out, given.split.vocabulary, given.progress))


@dataclass(frozen=True)
class Sparse24(Step):
    """Zeroes half of the layers' weights, 2 of each 4."""

    name = "sparse24"
    cannot_follow: ClassVar[Mapping[str, str]] = {"sparse24": "the model is 2:4 sparse already"}

    def config(self, before: Facts) -> Facts:
        return with_sparsity(before)

    def run(self, given: StepContext) -> dict[str, Any]:
        from .prune import sparsify_24

        texts = given.split.calibrate
        return _pruned(sparsify_24(given.source, given.out, texts, given.progress, given.device))


@dataclass(frozen=True)
class Distil(Step):
    """Trains the pruned model to imitate the whole one; or a smaller student to imitate the result of the steps before.

    Missing fields have the defaults of `distill.Distillation`; the module `student` describes the field `student`.
    """

    name = "distil"
    calibrates = False
    cannot_follow: ClassVar[Mapping[str, str]] = {
        "prune-vocabulary": "teacher and student have to know the same tokens: prune the vocabulary after it"
    }
    steps: int | None = None
    rows: int | None = None
    row: int | None = None
    learning_rate: float | None = None
    temperature: float | None = None
    logits: float | None = None
    hidden: float | None = None
    labels: float | None = None
    tie: bool | None = None
    student: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("rows", 1), ("row", 16)):
            value = getattr(self, name)
            _want(value is None or value >= least, f"{name} is {value}: {least} or more")
        for name in ("learning_rate", "temperature"):
            value = getattr(self, name)
            _want(value is None or 0 < value < float("inf"), f"{name} is {value}: above 0")
        weights = {name: getattr(self, name) for name in ("logits", "hidden", "labels")}
        for name, value in weights.items():
            _want(value is None or 0 <= value < float("inf"), f"{name} is {value}: a weight is 0 or more")
        _want(self.tie in (None, True, False), f"tie is {self.tie!r}: true or false")
        _want(set(weights.values()) != {0}, "logits, hidden and labels are all 0: nothing is left to learn from")
        if self.student is not None:
            check_student(self.student)

    def config(self, before: Facts) -> Facts:
        after = deepcopy(before) if self.student is None else smaller(before, self.student)
        after.tie_word_embeddings |= bool(self.tie)
        return after

    def run(self, given: StepContext) -> dict[str, Any]:
        from ..models.checkpoint import Checkpoint
        from .distill import Distillation, distil
        from .distill_corpus import DemoCorpus, TextCorpus

        named = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "student"}
        settings = Distillation(seed=given.seed, **{name: value for name, value in named.items() if value is not None})
        learn = given.split.learn
        start = given.source if self.student is None else smaller(Checkpoint(given.source).config, self.student)
        distilled = distil(
            teacher=given.teacher if self.student is None else given.source,
            start=start,
            out=given.out,
            corpus=DemoCorpus(learn) if isinstance(learn, str) else TextCorpus(learn),
            settings=settings,
            state=given.state,
            device=given.device,
            progress=given.progress,
        )
        return {"settings": asdict(settings), **asdict(distilled)}

    def scratch(self, after: ModelFacts) -> int:
        return STATE_BYTES * predict_size(after).parameters


@dataclass(frozen=True)
class Quantise(Step):
    """Packs every matrix in a format, by GPTQ if there are texts, otherwise to nearest."""

    name = "quantise"
    needs_texts = False
    format: str = "int4-g128"
    embedding: str | None = None  # format of embedding and head; None: the layers' format

    def __post_init__(self) -> None:
        for format in filter(None, (self.format, self.embedding)):
            get_layout(format)

    def config(self, before: Facts) -> Facts:
        if before.sparsity:
            raise UsageError("The model is 2:4 sparse, which packed weights are not: quantise the one it was made from")
        return packed_config(before, self.format, self.embedding)

    def run(self, given: StepContext) -> dict[str, Any]:
        from .quantize import quantise_folder

        quantise_folder(
            given.source,
            self.format,
            given.out,
            given.progress,
            texts=given.texts.fit if given.texts else None,
            embedding_format=self.embedding,
            device=given.device,
        )
        return CheckpointFolder(given.out).facts.calibration or {"method": "nearest"}


STEPS: dict[str, type[Step]] = {
    step.name: step for step in (PruneDepth, PruneWidth, PruneVocabulary, Sparse24, Distil, Quantise)
}


def _pruned(report: "Pruned") -> dict[str, Any]:
    return asdict(report) | {"speedup": report.speedup}


def _want(right: bool, line: str) -> None:
    if not right:
        raise UsageError(line)
