"""A third architecture, whole in this file: the common code loads, streams, quantizes, prunes and scores it as it is.

It is causal, with one kind of position, shared keys, a gate, separate matrices, no biases, other names, a vocabulary
file of its own, and prompts that begin with a control token.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from pruning import check_narrowing
from torch import Tensor, nn

import fastglm
from fastglm.compress import compress
from fastglm.compress.configs import narrowed
from fastglm.compress.recipe import Recipe
from fastglm.compress.scores import score
from fastglm.compress.size import predict_size
from fastglm.compress.steps import PruneVocabulary
from fastglm.demo.evaluation.skills import evaluate_skills, held_out_questions
from fastglm.demo.skills import SKILLS
from fastglm.engine import GREEDY, BatchEngine
from fastglm.errors import UsageError
from fastglm.evaluate.harness_model import VariantLM
from fastglm.evaluate.layerwise_answers import layerwise_answers
from fastglm.evaluate.likelihood import answer_loss, likelihood
from fastglm.kernels.attention import attend
from fastglm.kernels.packed import make_linear
from fastglm.messages import Message
from fastglm.models.architecture import ARCHITECTURES, Architecture, Conversation, TensorNames, recognize
from fastglm.models.base import ModelConfig
from fastglm.models.body import Body
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.conditional_generation import ConditionalGeneration
from fastglm.models.facts import LayerShape, ModelFacts, per_layer, same_or_list
from fastglm.models.language_model import BaseBlock, LanguageModel
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.loading import load_checkpoint, weights_memory
from fastglm.models.packing import Example, encode, pack
from fastglm.models.tokenizer_files import read_tokenizer
from fastglm.text_files import Text

PAD, END, START, USER, ASSISTANT = range(256, 261)  # after the bytes
WIDTH = 8  # of a head
VOCABULARY = "toy.vocabulary"
TEXTS = [Text([], f"{n}+2=?" * (n % 3), f"{n + 2}, as {n}+2={n + 2}."[: 2 + n]) for n in range(1, 81)]
RECIPE = """
steps:
- prune-depth: {layers: 1}
- prune-width: {channels: 0.5, heads: 0.5}
- quantise: {format: int8}
"""


@dataclass(kw_only=True, repr=False)
class ToyFacts(ModelFacts):
    model_type: ClassVar[str] = "toy"
    attribute_map: ClassVar[dict[str, str]] = {"num_hidden_layers": "depth"}
    listed: ClassVar[tuple[str, ...]] = ("heads", "groups", "wide", "layer_numbers")
    vocab_size: int = 261
    hidden_size: int = 32
    head_dim: int | None = WIDTH
    pad_token_id: int | None = PAD
    eos_token_id: int | list[int] | None = END
    tie_word_embeddings: bool = False
    depth: int = 3
    heads: int | list[int] = 4
    groups: int | list[int] = 2
    wide: int | list[int] = 48
    layers = property(lambda self: self.depth)
    context = property(lambda self: 512)

    def query_heads(self, layer: int) -> int:
        return per_layer(self.heads, layer)

    def kv_heads(self, layer: int) -> int:
        return per_layer(self.groups, layer)

    def inner(self, layer: int) -> int:
        return per_layer(self.wide, layer)

    def matrices(self, layer: int) -> list[tuple[int, int]]:
        queries, keys, inner = (WIDTH * self.query_heads(layer), WIDTH * self.kv_heads(layer), self.inner(layer))
        return [(queries, 32), (keys, 32), (keys, 32), (32, queries), (inner, 32), (inner, 32), (32, inner)]

    def others(self, layer: int | None) -> int:
        return 32 if layer is None else 64

    def set_layers(self, shapes: Sequence[LayerShape]) -> None:
        self.depth = len(shapes)
        self.heads = same_or_list([shape.query_heads for shape in shapes])
        self.groups = same_or_list([shape.kv_heads for shape in shapes])
        self.wide = same_or_list([shape.inner for shape in shapes])


class ToyConfig(ToyFacts, ModelConfig):
    initializer_range: float = 0.3

    def agree(self, tokenizer: Any) -> None: ...


class ToyBlock(BaseBlock):
    def __init__(self, config: ToyConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.shape, format = layer, config.shape(layer), config.linear_format()
        self.before_heads, self.before_gate = nn.RMSNorm(32), nn.RMSNorm(32)
        queries, keys, inner = WIDTH * self.shape.query_heads, WIDTH * self.shape.kv_heads, self.shape.inner
        self.q, self.k, self.v = (make_linear(format, 32, rows, bias=False) for rows in (queries, keys, keys))
        self.o = make_linear(format, queries, 32, bias=False)
        self.gate, self.up = (make_linear(format, 32, inner, bias=False) for _ in range(2))
        self.down = make_linear(format, inner, 32, bias=False)

    def head_rows(self) -> tuple[Tensor, ...]:
        groups = self.shape.kv_heads
        keys = torch.arange(groups * WIDTH).view(groups, -1)
        return torch.arange(self.shape.query_heads * WIDTH).view(groups, -1), keys, keys

    def channel_rows(self) -> tuple[Tensor, ...]:
        return (torch.arange(self.shape.inner)[:, None],) * 2

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Any, cache: Any) -> Tensor:
        (cos, sin), normed = rotation, self.before_heads(x)
        q, k, v = (part(normed).unflatten(-1, (-1, WIDTH)).transpose(1, 2) for part in (self.q, self.k, self.v))
        q, k = (part * cos + torch.cat((-part[..., 4:], part[..., :4]), -1) * sin for part in (q, k))
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        x = x + self.o(attend(q, k, v, mask).transpose(1, 2).flatten(2))
        normed = self.before_gate(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


def rotate(position_ids: Tensor, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    angles = position_ids[..., None] / 100 ** (torch.arange(WIDTH, device=position_ids.device) % 4 / 4)
    return angles.cos().to(dtype), angles.sin().to(dtype)


class ToyBody(Body):
    config_class = ToyConfig

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.post_init()

    def make_final_norm(self) -> nn.Module:
        return nn.RMSNorm(32)

    def make_rotary(self) -> Any:
        return rotate


class ToyModel(ConditionalGeneration):
    config_class = ToyConfig
    body_class = ToyBody


def conversation_ids(_: Any, messages: Sequence[Message]) -> list[int]:
    roles = {"user": USER, "assistant": ASSISTANT}
    return [START, *(id for m in messages for id in (roles[m.role], *m.content.encode())), ASSISTANT]


CONVERSATION = Conversation(("user", "assistant"), conversation_ids, str.strip, frozenset())


class ToyTokenizer:
    pad_token_id, eos_token_id, end_ids, vocab_size, conversation = PAD, END, (END,), 261, CONVERSATION

    @classmethod
    def from_pretrained(cls, folder: Path) -> "ToyTokenizer":
        assert (folder / VOCABULARY).read_text() == "bytes"
        return cls()

    def __len__(self) -> int:
        return self.vocab_size

    def encode(self, text: str, **_: Any) -> list[int]:
        return list(text.encode())

    encode_text = encode

    def build_inputs_with_special_tokens(self, ids: list[int], answer: list[int] | None = None) -> list[int]:
        return [START, *ids] if answer is None else [START, *ids, *answer, END]

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return bytes(id for id in ids if id < PAD).decode(errors="replace")


TOY = Architecture(
    "Toy", "toy", lambda fields: "depth" in fields, f"{__name__}:ToyFacts", f"{__name__}:ToyConfig",
    f"{__name__}:ToyModel", f"{__name__}:ToyBlock", f"{__name__}:ToyConfig", (f"{__name__}:ToyTokenizer",),
    (VOCABULARY,),
    TensorNames("transformer.wte", "out", "transformer.last", "transformer.h", "before_heads", ("q", "k", "v"), "o",
                "before_gate", ("gate", "up"), "down"),
    CONVERSATION, {},
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def known() -> Iterator[None]:
    name = f"{__name__}:TOY"
    ARCHITECTURES.append(name)
    yield
    ARCHITECTURES.remove(name)


@pytest.fixture(scope="module")
def folder(known: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("toy") / "toy"
    ToyModel(ToyConfig()).save_pretrained(place)
    (place / VOCABULARY).write_text("bytes")
    return place


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


def test_the_model_is_scored_loaded_and_layer_by_layer(folder: Path) -> None:
    layerwise = score(folder, TEXTS, "cpu")
    assert layerwise
    assert layerwise["loss"] == pytest.approx(likelihood(load_checkpoint(folder, "cpu"), examples(folder)).loss)


def greedy(model: LanguageModel, prompt: Sequence[int], count: int) -> list[int]:
    """The likeliest tokens after a prompt, each computed with all those before it."""
    ids = list(prompt)
    while len(ids) < len(prompt) + count:
        ids.append(int(logits(model, ids)[-1].argmax()))
    return ids[len(prompt) :]


def streamed(loaded: tuple[LanguageModel, Any], count: int = 6) -> list[int]:
    """The likeliest tokens of an answer, with no early stop."""
    pieces = fastglm.stream(*loaded, "1+2=?", max_new_tokens=count, do_sample=False, ignore_eos=True)
    return [piece.token for piece in pieces]


@pytest.mark.parametrize("variant", ["original", "fast"])
def test_the_model_is_loaded_and_streams(folder: Path, variant: str) -> None:
    prompt = conversation_ids(None, [Message("user", "1+2=?")])
    assert streamed(fastglm.load(folder, variant, "cpu")) == greedy(load_checkpoint(folder, "cpu"), prompt, 6)


@pytest.mark.parametrize(("variant", "error"), [("int8", 0.05), ("int4", 0.6)])
def test_the_model_is_quantized(folder: Path, variant: str, error: float) -> None:
    loaded = fastglm.load(folder, variant, "cpu")
    packed, model = load_checkpoint(Path(loaded[0].fastglm.folder), "cpu"), load_checkpoint(folder, "cpu")
    assert weights_memory(packed) < 0.6 * weights_memory(model)
    for made in (packed, model):
        assert predict_size(made.config).bytes == weights_memory(made)
    exact = logits(model, examples(folder)[-1].tokens)
    assert 0 < (logits(packed, examples(folder)[-1].tokens) - exact).norm() < error * exact.norm()
    assert len(streamed(loaded)) == 6


def test_the_model_is_pruned_by_a_recipe_and_calibrated(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    made = fastglm.compress(folder, tmp_path / "recipe.yaml", tmp_path / "out", texts=TEXTS, device="cpu")
    loaded = fastglm.load(made, "fast", "cpu")
    config = loaded[0].config
    assert (config.layers, config.shape(0), config.weight_format) == (2, LayerShape(2, 1, 24), "int8")
    assert len(streamed(loaded)) == 6


@torch.inference_mode()
def test_parts_that_add_nothing_leave_no_trace() -> None:
    torch.manual_seed(0)
    block, narrow = ToyBlock(ToyConfig(), 0), ToyBlock(ToyConfig(heads=2, groups=1, wide=24), 0)
    assert narrowed(block.shape, 0.5, 0.5) == narrow.shape
    block.o.weight[:, : 2 * WIDTH] = 0  # the first head of keys, with its two of queries
    block.down.weight[:, ::2] = 0
    rotation = rotate(torch.arange(40)[None, None], 40, torch.float32)
    check_narrowing(TOY.tensors, block, narrow, narrow.shape, torch.randn(1, 40, 32), rotation, None, None)


def test_the_model_is_asked_held_out_questions(folder: Path) -> None:
    loaded = fastglm.load(folder, "fast", "cpu")
    report = evaluate_skills(*loaded, held_out_questions(1, SKILLS[:1]))
    assert report.questions
    assert report.likelihood.perplexity > 2


def test_the_model_answers_side_by_side_as_alone(folder: Path) -> None:
    model, prompts = load_checkpoint(folder, "cpu"), [example.prompt for example in examples(folder)[:9:3]]
    wanted = [greedy(model, prompt, 4) for prompt in prompts]
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


def test_a_tokenizer_that_cannot_lose_tokens_is_told_before_the_work(folder: Path, tmp_path: Path) -> None:
    recipe = Recipe("fewer", (PruneVocabulary(),))
    with pytest.raises(UsageError, match="cannot lose tokens: leave out prune-vocabulary"):
        compress(str(folder), recipe, tmp_path / "out", TEXTS, device="cpu")
    assert not (tmp_path / "out").exists()
