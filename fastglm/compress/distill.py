"""Distillation: a smaller model learns a larger model's predictions and the states that lead to them.

The loss is the forward KL from the teacher's next-token distribution, softened by a temperature (Hinton et al. 2015,
arXiv 1503.02531, section 2), the distance of the states between the layers (FitNets: Romero et al. 2015, arXiv
1412.6550, section 2.2; evenly spread layers and a learned map to the teacher's width as in TinyBERT: Jiao et al. 2020,
arXiv 1909.10351, section 3.1), and the cross-entropy of the answers.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..models.architecture import Tokenizer
from ..models.base import ModelConfig
from ..models.checkpoint import Checkpoint
from ..models.language_model import LanguageModel
from ..models.loading import load_checkpoint
from ..models.packing import Batch, Example, fill
from ..models.tokenizer_files import read_tokenizer
from ..progress.progress import OnProgress
from ..train.learner import Learner
from ..train.trainer import History, Settings, fit, is_first, own_device
from .calibration import examples
from .checkpoint_writer import copy_tokenizer, new_folder, write_checkpoint
from .distill_corpus import Corpus

LARGE = 500_000_000  # parameters; activations of a larger student are computed twice instead of kept


@dataclass(frozen=True, slots=True)
class Distillation:
    """Settings of a distillation."""

    steps: int = 4000
    seed: int = 0
    rows: int = 4  # rows of packed texts in a step
    row: int = 256  # tokens in a row
    learning_rate: float = 1e-3
    temperature: float = 1.0
    logits: float = 1.0  # weight of the KL, with T² at a temperature T
    hidden: float = 1.0  # weight of the distance between states
    labels: float = 0.1  # weight of the answers' own cross-entropy
    tie: bool = False  # one matrix for embedding and head, even if the student began with two
    save_every: int = 100  # steps between state files

    @property
    def training(self) -> Settings:
        """Settings of the trainer."""
        return Settings(
            self.steps,
            self.seed,
            self.learning_rate,
            warmup=min(100, self.steps // 10),
            weight_decay=0.0,
            save_every=self.save_every,
        )


@dataclass(frozen=True, slots=True)
class Distilled:
    """Result of a distillation."""

    teacher: int  # parameters
    student: int
    history: History  # its losses are sums of all three parts


def distil(
    teacher: Path,
    start: Path | ModelConfig,
    out: Path,
    corpus: Corpus,
    settings: Distillation,
    state: Path,
    *,
    device: str = "auto",
    progress: OnProgress | None = None,
) -> Distilled:
    """Train a student and write its checkpoint, in the first process of several; `out` appears when it is complete.

    Args:
        teacher: its checkpoint.
        start: a checkpoint to heal, such as a pruned one; or the config of a student, which begins with evenly spread
        layers of the teacher and with the teacher's tensors of equal shape.
        state: the file for resuming a killed distillation.

    Raises:
        UsageError: `out` exists, the start is quantized or has another vocabulary, no text fits a row, or the state
        belongs to other settings.
        CheckpointError, DeviceError, MemoryShortError: a model cannot be read, or run there.
        DivergedError: the loss became infinite or NaN; the last state stays.
        CancelledError: the user stopped it with Ctrl-C; the last state stays.
    """
    if out.exists():
        raise UsageError(f"{out} exists already: name a folder that does not.")
    where = own_device(device)
    tokenizer = read_tokenizer(teacher)
    master = load_floating(teacher, where)
    torch.manual_seed(settings.seed)
    student = _student(start, master, settings.tie, where)
    learner = DistilLearner(student.train(), master.requires_grad_(False).eval(), settings).to(where)
    batch_of = batches(master.config, tokenizer, corpus, settings)
    history = fit(learner, batch_of, settings.training, state, resume=True, progress=progress)
    size = student.num_parameters()
    if is_first():
        with new_folder(out, 2 * size) as folder:
            write_checkpoint(folder, student.config, _weights(student, Checkpoint(teacher).config))
            copy_tokenizer(teacher, folder)
    return Distilled(master.num_parameters(), size, history)


def _student(start: Path | ModelConfig, master: LanguageModel, tie: bool, device: torch.device) -> LanguageModel:
    """The student at the start. Raises UsageError if its vocabulary differs from its teacher's."""
    student = load_floating(start, device) if isinstance(start, Path) else begin(start, master).to(device)
    if student.config.vocab_size != master.config.vocab_size:
        raise UsageError(
            f"The student knows {student.config.vocab_size:,} tokens and its teacher {master.config.vocab_size:,}: "
            "prune the vocabulary after distilling."
        )
    if tie:
        student.config.tie_word_embeddings = True
        student.tie()
    if student.num_parameters() > LARGE:
        student.gradient_checkpointing_enable()
    if student.config.sparsity:
        keep_zeros(student)
    return student


def load_floating(folder: Path, device: torch.device) -> LanguageModel:
    """Load a checkpoint's model in fp32. Raises UsageError if it is quantized."""
    if Checkpoint(folder).config.is_quantized:
        raise UsageError(f"{folder} is quantised, which cannot learn: distil the checkpoint it was made from.")
    return load_checkpoint(folder, str(device), "float32").requires_grad_(True)


def begin(config: ModelConfig, teacher: LanguageModel) -> LanguageModel:
    """Create a student on the CPU with all of its teacher's tensors of equal shape; the rest is random."""
    student = config.architecture.model_class(deepcopy(config))
    layers = spread(config.layers, teacher.config.layers)
    held = teacher.state_dict()
    for name, tensor in student.state_dict().items():
        layer, rest = student.names.split(name)
        source = held.get(name if layer is None else student.names.layer(layers[layer]) + rest)
        if source is not None and source.shape == tensor.shape:
            tensor.copy_(source)
    return student


def spread(few: int, many: int) -> list[int]:
    """Choose `few` of the layers 0 … `many` - 1, evenly spread, including the first and the last."""
    if few > many:
        raise UsageError(f"A student of {few} layers cannot begin from a teacher of {many}: give it {many} or fewer.")
    return [round(layer * (many - 1) / max(few - 1, 1)) for layer in range(few)]


class DistilLearner(Learner):
    """A student beside its teacher."""

    def __init__(
        self,
        student: LanguageModel,
        teacher: LanguageModel,
        settings: Distillation,
    ) -> None:
        super().__init__(student)
        self.teachers = (teacher,)  # in a tuple, so that it is not trained or saved
        self.settings = settings
        self.layers = _matched(student.config, teacher.config)
        narrow, wide = student.config.hidden_size, teacher.config.hidden_size
        self.widen = nn.Identity() if narrow == wide else nn.Linear(narrow, wide, bias=False)

    def forward(self, batch: Batch) -> Tensor:
        """The loss of a batch, a mean over its targets or tokens."""
        (teacher,), s = self.teachers, self.settings
        with torch.no_grad():
            taught, wanted = _run(teacher, batch)
        states, logits = _run(self.model, batch)
        loss = s.logits * soft_loss(logits, wanted, s.temperature)
        loss = loss + s.labels * F.cross_entropy(logits, batch.targets)
        if s.hidden:
            real = batch.input_ids.ne(teacher.config.pad)
            pairs = [(states[at], taught[layer]) for at, layer in enumerate(self.layers, 1)]
            loss = loss + s.hidden * sum(self._distance(x[real], y[real]) for x, y in pairs) / len(pairs)
        return loss

    def _distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance of states after normalization, as the next layer sees them."""
        width = y.shape[-1:]
        return F.mse_loss(F.layer_norm(self.widen(x).float(), width), F.layer_norm(y.float(), width))


def soft_loss(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) of distributions softened by T; both [targets, vocabulary]."""
    student, teacher = (F.log_softmax(x / temperature, -1) for x in (logits, wanted))
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def batches(
    config: ModelConfig, tokenizer: Tokenizer, corpus: Corpus, settings: Distillation
) -> Callable[[int], Batch]:
    """A function that gives the batch of a step. Its call raises UsageError if none of very many texts fits a row."""

    def batch_of(step: int) -> Batch:
        return fill(examples_of(step), settings.rows, settings.row, config)

    def examples_of(step: int) -> Iterator[Example]:
        draws = (examples(tokenizer, [text], settings.row) for text in corpus.draw(settings.seed, step))
        empty = 0
        for found in draws:
            empty = 0 if found else empty + 1
            if empty == 10_000:
                raise UsageError(f"No text fits a row of {settings.row} tokens: set a longer `row`.")
            yield from found

    return batch_of


def keep_zeros(student: LanguageModel) -> None:
    """Keep the zeros of a 2:4 student: only its other weights learn."""
    for module in student.blocks.modules():
        if isinstance(module, nn.Linear):
            module.weight.register_hook(module.weight.ne(0).mul)


def _run(model: LanguageModel, batch: Batch) -> tuple[tuple[Tensor, ...], Tensor]:
    """The states before every layer and after the last norm, [rows, tokens, hidden], and the targets' logits."""
    states = model.hidden_states(batch, each=True)
    return states, model.head(states[-1].flatten(0, 1)[batch.predicting]).float()


def _matched(student: ModelConfig, teacher: ModelConfig) -> list[int]:
    """The teacher's states to match after each of the student's layers, by their number in `_run`.

    The input of a student's layer should equal the input of the teacher's layer that it began from.
    """
    if student.layer_numbers is not None:
        numbers = [teacher.layer_number(layer) for layer in range(teacher.layers)]
        began = [numbers.index(number) for number in student.layer_numbers]
    else:
        began = spread(student.layers, teacher.layers)
    return [*began[1:], teacher.layers]


def _weights(student: LanguageModel, teacher: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a student's checkpoint, in its teacher's dtype, which its config will name."""
    student.config.dtype = teacher.dtype or torch.float16
    for name, tensor in student.state_dict().items():
        if name != student.names.ends[1] or not student.config.tie_word_embeddings:
            yield name, tensor.to("cpu", student.config.dtype)
