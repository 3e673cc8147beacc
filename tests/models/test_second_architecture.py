"""A second architecture that the common code runs as it is: causal, with one kind of position, shared keys, a gate, no
biases, other names, and prompts that begin with a control token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from fastglm.compress import compress
from fastglm.compress.quantize import quantise_folder
from fastglm.compress.recipe import Recipe
from fastglm.compress.scores import score
from fastglm.compress.size import predict_size
from fastglm.compress.steps import PruneVocabulary
from fastglm.engine import GREEDY, BatchEngine
from fastglm.errors import UsageError
from fastglm.evaluate.harness_model import VariantLM
from fastglm.evaluate.layerwise_answers import layerwise_answers
from fastglm.evaluate.likelihood import answer_loss, likelihood
from fastglm.kernels.attention import attend
from fastglm.kernels.layout import Layout, get_layout
from fastglm.kernels.packed import QuantizedLinear
from fastglm.messages import Message
from fastglm.models import architecture
from fastglm.models.architecture import Architecture, Conversation, TensorNames, recognize
from fastglm.models.base import ModelConfig
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.facts import ModelFacts
from fastglm.models.language_model import BaseBlock, LanguageModel, Plan
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.loading import load_checkpoint, weights_memory
from fastglm.models.packing import Example, encode, pack
from fastglm.models.tokenizer_files import read_tokenizer
from fastglm.text_files import Text

PAD, END, START, USER, ASSISTANT = range(256, 261)  # after the bytes
TEXTS = [Text([], "1+2=?" * (n % 3), "3, as 1+2=3."[: 2 + n]) for n in range(1, 10)]


@dataclass(kw_only=True, repr=False)
class ToyFacts(ModelFacts):
    vocab_size: int = 261
    hidden_size: int = 32
    head_dim: int | None = 8
    pad_token_id: int | None = PAD
    eos_token_id: int | list[int] | None = END
    tie_word_embeddings: bool = False
    depth: int = 3
    layers = property(lambda self: self.depth)
    context = property(lambda self: 96)

    def query_heads(self, layer: int) -> int:
        return 4

    def kv_heads(self, layer: int) -> int:
        return 2

    def inner(self, layer: int) -> int:
        return 48

    def matrices(self, layer: int) -> list[tuple[int, int]]:
        return [(32, 32), (16, 32), (16, 32), (32, 32), (48, 32), (48, 32), (32, 48)]

    def others(self, layer: int | None) -> int:
        return 32 if layer is None else 64

    def linear_layout(self) -> Layout | None:
        return get_layout(self.weight_format) if self.weight_format else None

    def embedding_layout(self) -> None: ...

    def check(self) -> None: ...


class ToyConfig(ToyFacts, ModelConfig):
    model_type = "toy"
    position_stride: ClassVar[tuple[int, ...]] = (1,)
    is_causal: ClassVar[bool] = True
    initializer_range: float = 0.3

    def positions(self, length: int, context: int) -> Tensor:
        return torch.arange(length)[None]

    def visible(self, length: int, context: int) -> Tensor:
        return torch.ones(length, length, dtype=torch.bool).tril()

    def agree(self, tokenizer: Any) -> None: ...


def linear(config: ToyConfig, columns: int, rows: int) -> nn.Module:
    format = config.linear_format()
    return QuantizedLinear(format, columns, rows, bias=False) if format else nn.Linear(columns, rows, bias=False)


class ToyBlock(BaseBlock):
    def __init__(self, config: ToyConfig, layer: int) -> None:
        super().__init__()
        self.layer, hidden, inner = layer, config.hidden, config.inner(layer)
        self.before_heads, self.before_gate = nn.RMSNorm(hidden), nn.RMSNorm(hidden)
        self.q, self.k, self.v = (linear(config, hidden, heads * 8) for heads in (4, 2, 2))
        self.o = linear(config, 32, hidden)
        self.gate, self.up = (linear(config, hidden, inner) for _ in range(2))
        self.down = linear(config, inner, hidden)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Any, cache: Any) -> Tensor:
        (cos, sin), normed = rotation, self.before_heads(x)
        q, k, v = (part(normed).unflatten(-1, (-1, 8)).transpose(1, 2) for part in (self.q, self.k, self.v))
        q, k = (part * cos + torch.cat((-part[..., 4:], part[..., :4]), -1) * sin for part in (q, k))
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        x = x + self.o(attend(q, k, v, mask).transpose(1, 2).flatten(2))
        normed = self.before_gate(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


class ToyBody(PreTrainedModel):
    config_class = ToyConfig

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.hidden)
        self.h = nn.ModuleList(ToyBlock(config, layer) for layer in range(config.layers))
        self.last = nn.RMSNorm(config.hidden)
        self.entries: dict[int, torch.device] = {}
        self.post_init()

    def rotary(self, position_ids: Tensor, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        angles = position_ids[..., None] / 100 ** (torch.arange(8, device=position_ids.device) % 4 / 4)
        return angles.cos().to(dtype), angles.sin().to(dtype)

    def forward(self, input_ids: Tensor, position_ids: Tensor, attention_mask: Tensor, **_: Any) -> BaseModelOutput:
        x = self.wte(input_ids)
        rotation = self.rotary(position_ids, 0, x.dtype)
        for block in self.h:
            x = block(x, rotation, attention_mask, None)
        return BaseModelOutput(last_hidden_state=self.last(x))


class ToyModel(LanguageModel):
    config_class = ToyConfig
    base_model_prefix = "body"

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.body, self.out = ToyBody(config), nn.Linear(config.hidden, config.vocab_size, bias=False)
        self.post_init()

    def plan(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Plan:
        real = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask != 0
        length = input_ids.shape[1]
        sees = (self.config.visible(length, 0) & real[:, None]) | torch.eye(length, dtype=torch.bool)
        positions = (real.cumsum(-1) - 1).clamp(min=0)[:, None]
        return Plan(positions, sees[:, None], (~real).sum(-1), self.config.position_stride)


def conversation_ids(_: Any, messages: Sequence[Message]) -> list[int]:
    roles = {"user": USER, "assistant": ASSISTANT}
    return [START, *(id for m in messages for id in (roles[m.role], *m.content.encode())), ASSISTANT]


CONVERSATION = Conversation(("user", "assistant"), conversation_ids, str.strip, frozenset())


class ToyTokenizer:
    pad_token_id, eos_token_id, conversation = PAD, END, CONVERSATION

    @classmethod
    def from_pretrained(cls, folder: Path) -> "ToyTokenizer":
        return cls()

    def encode(self, text: str, **_: Any) -> list[int]:
        return list(text.encode())

    encode_text = encode

    def build_inputs_with_special_tokens(self, ids: list[int]) -> list[int]:
        return [START, *ids]


TOY = Architecture(
    "Toy", "toy", lambda fields: "depth" in fields, f"{__name__}:ToyFacts", f"{__name__}:ToyConfig",
    f"{__name__}:ToyModel", f"{__name__}:ToyBlock", f"{__name__}:ToyConfig", (f"{__name__}:ToyTokenizer",), (),
    TensorNames("body.wte", "out", "body.last", "body.h", "before_heads", ("q", "k", "v"), "o", "before_gate",
                ("gate", "up"), "down"),
    CONVERSATION, {},
)  # fmt: skip


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "ARCHITECTURES", (*architecture.ARCHITECTURES, f"{__name__}:TOY"))


@pytest.fixture
def folder(known: None, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    ToyModel(ToyConfig()).save_pretrained(tmp_path / "toy")
    return tmp_path / "toy"


def examples(folder: Path) -> list[Example]:
    return [encode(read_tokenizer(folder), text.messages, text.answer, 96) for text in TEXTS]


@torch.inference_mode()
def logits(model: LanguageModel, ids: list[int]) -> Tensor:
    """Logits of a text alone, [tokens, vocabulary]."""
    tokens = torch.tensor([ids])
    plan = model.plan(tokens)
    return model.decoder()(tokens, plan.position_ids, plan.attention_mask, None, len(ids))[0]


def test_a_packed_batch_has_its_positions_and_mask(folder: Path) -> None:
    model, found = load_checkpoint(folder, "cpu"), examples(folder)
    assert recognize(model.config.to_dict()) is TOY
    batch = pack(found, 96, model.config)
    assert batch.position_ids.shape == (len(batch.input_ids), 1, 96)
    assert len(batch.input_ids) < len(found)
    with torch.inference_mode():
        losses = answer_loss(model, batch)
    for number, example in enumerate(found):
        alone = F.cross_entropy(logits(model, example.tokens)[example.context : -1], torch.tensor(example.targets))
        torch.testing.assert_close(losses[batch.example == number].mean(), alone)


def test_it_is_scored_loaded_and_layer_by_layer(folder: Path) -> None:
    layerwise = score(folder, TEXTS, "cpu")
    assert layerwise
    assert layerwise["loss"] == pytest.approx(likelihood(load_checkpoint(folder, "cpu"), examples(folder)).loss)


def test_it_is_packed_to_int8(folder: Path) -> None:
    quantise_folder(folder, "int8", folder.parent / "int8")
    packed, model = load_checkpoint(folder.parent / "int8", "cpu"), load_checkpoint(folder, "cpu")
    assert weights_memory(packed) < 0.6 * weights_memory(model)
    for made in (packed, model):
        assert predict_size(made.config).bytes == weights_memory(made)
    exact = logits(model, examples(folder)[-1].tokens)
    assert (logits(packed, examples(folder)[-1].tokens) - exact).norm() < 0.05 * exact.norm()


def test_it_answers_side_by_side_as_alone(folder: Path) -> None:
    model, prompts = load_checkpoint(folder, "cpu"), [example.prompt for example in examples(folder)[::3]]
    wanted = []
    for prompt in prompts:
        ids = list(prompt)
        while len(ids) < len(prompt) + 4:
            ids.append(int(logits(model, ids)[-1].argmax()))
        wanted.append(ids[len(prompt) :])
    found = dict(layerwise_answers(LayerwiseModel(Checkpoint(folder), torch.device("cpu")), prompts, 4, 1 << 20))
    assert [found[number] for number in range(len(prompts))] == wanted
    assert BatchEngine(model).answer(prompts, 4, GREEDY) == wanted


def test_a_task_of_the_harness_is_read_as_one_text(folder: Path) -> None:
    model = load_checkpoint(folder, "cpu")
    tasks = [SimpleNamespace(args=texts) for texts in (("1+2=", " 3"), ("1+2= ", "3"))]
    ids = [START, *b"1+2= 3"]
    wanted = logits(model, ids).log_softmax(-1)[[-3, -2], ids[-2:]].sum()  # of the space, too
    for nats, _ in VariantLM(model, ToyTokenizer()).loglikelihood(tasks):
        assert nats == pytest.approx(float(wanted), abs=1e-4)


def test_a_tokenizer_that_cannot_lose_tokens_is_told_before_the_work(folder: Path) -> None:
    recipe = Recipe("fewer", (PruneVocabulary(),))
    with pytest.raises(UsageError, match="cannot lose tokens: leave out prune-vocabulary"):
        compress(str(folder), recipe, folder.parent / "out", TEXTS, device="cpu")
    assert not (folder.parent / "out").exists()
