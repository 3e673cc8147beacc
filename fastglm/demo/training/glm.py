"""The training of the second embedded model: ChatGLM3's layout, taught by the first embedded model.

The plan, for three hours of two cores:

- The teacher's embedding and head begin the student, piece by piece: with them it need not find out first which
  pieces are alike. Layers cannot be taken over: the teacher has other norms, another MLP, and sees prompts in both
  directions.
- The teacher is asked about texts alone, such as stories: there it knows which words are as good as those of a sample.
  Every other answer has one right wording, of which the teacher is as sure as the sample is, and its forward pass would
  add some 45 % to a step.
- The teacher runs beside the student. A file of its predictions would have to be computed in the same way, once for
  every sample, as no sample comes twice; it would only save time in a second training.
- The teacher's row of an answer is shorter than the student's: it needs no roles.
- A step has some 1,200 tokens. On two cores with AVX-512 and its products of bfloat16 a step took 0.28 s, and
  0.42 s in fp32 without the teacher: 15,000 steps take some 70 minutes of a machine that does nothing else.
- Eight heads share two groups of keys, and the gated MLP is 704 wide (a multiple of 32, as converted files need). With
  an embedding and a head of their own, these layers have 17 MB in bf16.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from ...models.chatglm.tokenizer import ChatGLM6BTokenizer
from ...models.glm.config import GLMConfig
from ...models.glm.model import GLMForConditionalGeneration
from ...models.glm.sp_tokenizer import GLMSentencePieceTokenizer
from ...models.language_model import LanguageModel
from ...models.loading import load_checkpoint
from ...models.packing import Batch, fill_with_examples
from ...models.source import demo_folder
from ..examples import encoded
from ..glm_vocabulary import VOCABULARY_FILE, ids_in_first, write_vocabulary
from ..skills import GLM_SKILLS, Sample
from ..tokenizer import VOCABULARY_FILE as FIRST_VOCABULARY
from .design import Design, scale_branches
from .plan import Plan
from .taught import TaughtBatch, TaughtExample, TaughtLearner, beside_teacher


@dataclass(frozen=True, slots=True)
class GLMPlan(Plan):
    """Sizes of the student and of its training."""

    layers: int = 9
    inner: int = 704
    groups: int = 2  # of heads that share keys
    teaching: float = 0.5  # weight of the teacher's predictions


class GLMDemo(Design):
    """`fastglm train demo-glm`."""

    command = "demo-glm"
    card = "card_glm.md"
    dtype = torch.bfloat16
    skills = GLM_SKILLS
    plan = GLMPlan()

    @cached_property
    def teacher(self) -> LanguageModel:
        """The first embedded model."""
        return load_checkpoint(demo_folder(), "cpu", "float32")

    @cached_property
    def teachers_tokenizer(self) -> ChatGLM6BTokenizer:
        """Tokenizer of the first embedded model."""
        return ChatGLM6BTokenizer(str(demo_folder() / FIRST_VOCABULARY), num_image_tokens=0)

    def write_tokenizer(self, out: Path, seed: int, plan: Plan) -> None:
        write_vocabulary(demo_folder() / FIRST_VOCABULARY, out)

    def read_tokenizer(self, out: Path) -> GLMSentencePieceTokenizer:
        return GLMSentencePieceTokenizer(str(out / VOCABULARY_FILE), generation="chatglm3")

    def model(self, plan: Plan, tokenizer: GLMSentencePieceTokenizer) -> LanguageModel:
        assert isinstance(plan, GLMPlan)
        config = GLMConfig(
            vocab_size=-(-len(tokenizer) // 64) * 64,
            hidden_size=plan.hidden,
            head_dim=plan.hidden // plan.heads,
            num_layers=plan.layers,
            num_attention_heads=plan.heads,
            multi_query_attention=True,
            multi_query_group_num=plan.groups,
            ffn_hidden_size=plan.inner,
            seq_length=1024,
            add_qkv_bias=True,
            generation="chatglm3",
        )
        config.agree(tokenizer)
        config.architectures = ["ChatGLMForConditionalGeneration"]
        model = GLMForConditionalGeneration(config)
        scale_branches(model, (2 * plan.layers) ** -0.5)
        if plan.hidden == self.teacher.config.hidden_size:
            self._begin(model, tokenizer)
        return model

    @torch.no_grad()
    def _begin(self, model: LanguageModel, tokenizer: GLMSentencePieceTokenizer) -> None:
        """Take over the teacher's rows of embedding and head, and the gains of its final norm."""
        ids = ids_in_first(tokenizer, self.teachers_tokenizer)
        known = ids >= 0
        for mine, theirs in ((model.embedding, self.teacher.embedding), (model.head, self.teacher.head)):
            mine.get_parameter("weight")[: len(ids)][known] = theirs.get_parameter("weight")[ids[known]]
        model.final_norm.get_parameter("weight").copy_(self.teacher.final_norm.get_parameter("weight"))

    def learner(self, model: LanguageModel, tokenizer: GLMSentencePieceTokenizer, plan: Plan) -> TaughtLearner:
        assert isinstance(plan, GLMPlan)
        ids = ids_in_first(tokenizer, self.teachers_tokenizer)
        return TaughtLearner(model, self.teacher.to(model.device), ids, plan.teaching)

    def batch(
        self, tokenizer: GLMSentencePieceTokenizer, samples: Iterator[Sample], plan: Plan, model: LanguageModel
    ) -> TaughtBatch | Batch:
        examples = (self._example(tokenizer, sample, plan.row) for sample in samples)
        batch, taken = fill_with_examples(examples, plan.rows, plan.row, model.config)
        if not any(example.taught for example in taken):
            return batch
        return beside_teacher(batch, taken, plan.row, self.teacher.config)

    def _example(self, tokenizer: GLMSentencePieceTokenizer, sample: Sample, row: int) -> TaughtExample:
        example = encoded(tokenizer, sample, row)
        taught = encoded(self.teachers_tokenizer, sample, row) if sample.is_open else None
        return TaughtExample(example.tokens, example.context, taught)


class FurtherGLMDemo(GLMDemo):
    """`fastglm train demo-glm --further`: more training of the weights that come with the package.

    Short parts with lower rates end it, because the mean of the weights at the ends of parts is better than each.
    """

    options = " --further"
    plan = GLMPlan(learning_rate=1e-3, practice=((1 / 12, 5e-4),) * 4)

    def model(self, plan: Plan, tokenizer: GLMSentencePieceTokenizer) -> LanguageModel:
        model = super().model(plan, tokenizer)
        model.load_state_dict(load_checkpoint(demo_folder(self.command), "cpu", "float32").state_dict())
        return model
