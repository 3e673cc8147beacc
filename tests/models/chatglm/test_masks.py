"""Masks, positions and labels in all common forms: equal to each sample alone, or refused in one line."""

import pytest
import torch
from one_by_one import GMASK, PAD, SAMPLES, SOP, inputs_of, logits_of, loss_of, padded
from recorded import folder
from transformers import AutoModel, AutoTokenizer, DataCollatorForSeq2Seq, DataCollatorWithPadding

from fastglm.errors import UsageError
from fastglm.models.packing import Example, pack

EXACT = {"atol": 1e-9, "rtol": 0}  # tolerance of logits, in fp64
CLOSE = {"atol": 1e-6, "rtol": 0}  # tolerance of a loss, which is computed in fp32


@pytest.fixture(scope="module")
def model():
    return AutoModel.from_pretrained(folder("chatglm")).double().eval()


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def assert_rows_are_alone(model, logits, mask, samples=SAMPLES):
    for row, real, ids in zip(logits, mask.bool(), samples, strict=True):
        torch.testing.assert_close(row[real], logits_of(model, ids), **EXACT)


@pytest.mark.parametrize("where", ["left", "right", "both", "within"])
def test_padding_anywhere_changes_nothing(model, where):
    ids, mask = padded(SAMPLES, where)
    assert mask.sum() == sum(map(len, SAMPLES))
    # Labels of the padding are its tokens: a loss that counted them would differ.
    output = model(ids, attention_mask=mask, labels=ids)
    assert_rows_are_alone(model, output.logits, mask)
    torch.testing.assert_close(output.loss, loss_of(model, SAMPLES), **CLOSE)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float32, torch.float16])
def test_a_mask_of_ones_may_be_of_any_type(model, dtype):
    ids, mask = padded(SAMPLES, "right")
    assert_rows_are_alone(model, model(ids, attention_mask=mask.to(dtype)).logits, mask)


def test_labels_that_begin_at_the_answer(model):
    ids, mask = padded(SAMPLES[:2], "right")
    labels = ids.masked_fill(mask == 0, -100)
    for row, sample in zip(labels, SAMPLES[:2], strict=True):
        row[: sample.index(SOP) + 1] = -100
    answers = [logits_of(model, sample)[sample.index(SOP) : -1] for sample in SAMPLES[:2]]
    targets = [torch.tensor(sample[sample.index(SOP) + 1 :]) for sample in SAMPLES[:2]]
    wanted = torch.nn.functional.cross_entropy(torch.cat(answers).float(), torch.cat(targets))
    for ending in (ids, labels):
        given = labels if ending is labels else torch.where(labels == -100, ids.where(mask == 0, -100), labels)
        torch.testing.assert_close(model(ids, attention_mask=mask, labels=given).loss, wanted, **CLOSE)


def test_the_batches_of_data_collators(model):
    tokenizer = AutoTokenizer.from_pretrained(folder("chatglm"), padding_side="right")
    features = [{"input_ids": ids, "labels": list(ids)} for ids in SAMPLES]
    batch = DataCollatorForSeq2Seq(tokenizer)(features)
    assert batch["input_ids"][0, -1] == PAD
    torch.testing.assert_close(model(**batch).loss, loss_of(model, SAMPLES), **CLOSE)
    batch = DataCollatorWithPadding(tokenizer)([{"input_ids": ids} for ids in SAMPLES])
    output = model(**batch, labels=batch["input_ids"])
    torch.testing.assert_close(output.loss, loss_of(model, SAMPLES), **CLOSE)


def test_the_loss_of_accumulated_batches(model):
    ids, mask = padded(SAMPLES, "right")
    items = sum(len(sample) - 1 for sample in SAMPLES)
    parts = [model(ids[row], attention_mask=mask[row], labels=ids[row], num_items_in_batch=items).loss
             for row in (slice(0, 2), slice(2, 3))]  # fmt: skip
    torch.testing.assert_close(sum(parts), loss_of(model, SAMPLES), **CLOSE)


def published(samples):
    """The published mask of a batch padded on the left: True where hidden, and rows of padding see nothing."""
    ids, real = padded(samples, "left")
    mask = torch.ones(len(samples), 1, *ids.shape[1:] * 2, dtype=torch.bool)
    for row, sample in enumerate(samples):
        mask[row, :, -len(sample) :, -len(sample) :] = ~inputs_of(sample)["attention_mask"][0]
    return ids, real, mask


@pytest.mark.parametrize("samples", [SAMPLES, SAMPLES[:1], SAMPLES[1:]], ids=len)
def test_the_published_mask_is_true_where_hidden(model, samples):
    ids, real, mask = published(samples)
    output = model(ids, attention_mask=mask, labels=ids)
    assert_rows_are_alone(model, output.logits, real, samples)
    torch.testing.assert_close(output.loss, loss_of(model, samples), **CLOSE)


def test_the_published_masks_and_positions(model):
    wanted = inputs_of(SAMPLES[1])
    ids = wanted["input_ids"]
    anchor = [SAMPLES[1].index(GMASK)]
    assert torch.equal(model.get_masks(ids, ids.device), ~wanted["attention_mask"])
    assert torch.equal(model.get_position_ids(ids, anchor, ids.device, use_gmasks=[True]), wanted["position_ids"])
    assert torch.equal(model.get_masks(SAMPLES[1], "cpu"), ~wanted["attention_mask"])
    assert model.get_position_ids(ids, [4], ids.device)[0, 0, -1] == 4
    output = model(ids, attention_mask=model.get_masks(ids), position_ids=model.get_position_ids(ids, anchor))
    torch.testing.assert_close(output.logits[0], logits_of(model, SAMPLES[1]), **EXACT)
    with pytest.raises(UsageError, match="no <sop>"):
        model.get_masks([5, 6, 7])


@pytest.mark.parametrize("least", [-10000.0, float("-inf"), torch.finfo(torch.float32).min])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_masks_that_are_added(model, least, dtype):
    ids, real, hidden = published(SAMPLES)
    mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill(hidden, least)
    output = model(ids, attention_mask=mask, labels=ids)
    assert_rows_are_alone(model, output.logits, real)
    torch.testing.assert_close(output.loss, loss_of(model, SAMPLES), **CLOSE)


def test_masks_of_transformers_where_padding_sees_nothing_or_something(model):
    ids, real, hidden = published(SAMPLES)
    for mask in (~hidden, ~hidden | ((real == 0)[:, None, :, None] & (real == 1)[:, None, None, :])):
        assert_rows_are_alone(model, model(ids, attention_mask=mask).logits, real)


def test_one_mask_for_all_rows(model):
    wanted = inputs_of(SAMPLES[1])
    ids = wanted["input_ids"].repeat(2, 1)
    for mask in (wanted["attention_mask"], ~wanted["attention_mask"]):
        logits = model(ids, attention_mask=mask, position_ids=wanted["position_ids"]).logits
        torch.testing.assert_close(logits[1], logits_of(model, SAMPLES[1]), **EXACT)


IDS = torch.tensor([SAMPLES[0], SAMPLES[0]])
COUNT = len(SAMPLES[0])
SEES = inputs_of(SAMPLES[0])["attention_mask"].repeat(2, 1, 1, 1)
UNCLEAR = SEES.clone()
UNCLEAR[0, 0, 2, 2] = False
PLACES = inputs_of(SAMPLES[0])["position_ids"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"attention_mask": torch.ones(2, COUNT - 1)}, r"must be \[2, 9\]"),
        ({"attention_mask": torch.ones(1, COUNT)}, r"must be \[2, 9\]"),
        ({"attention_mask": torch.ones(COUNT)}, "1 dimensions"),
        ({"attention_mask": SEES[:, 0]}, "3 dimensions"),
        ({"attention_mask": torch.full((2, COUNT), 2)}, "1 for each token and 0"),
        ({"attention_mask": torch.zeros(2, COUNT).fill_(float("-inf"))}, "1 for each token and 0"),
        ({"attention_mask": torch.full((2, COUNT), float("nan"))}, "1 for each token and 0"),
        ({"attention_mask": SEES.long()}, "must be bool"),
        ({"attention_mask": SEES.float()}, "added to the scores"),
        ({"attention_mask": SEES[..., :-1]}, "four dimensions"),
        ({"attention_mask": SEES.expand(2, 8, -1, -1)}, "four dimensions"),
        ({"attention_mask": UNCLEAR}, "meaning is not clear"),
        ({"position_ids": torch.arange(COUNT)[None]}, "position and block position"),
        ({"position_ids": torch.arange(COUNT).expand(2, -1)}, "position and block position"),
        ({"position_ids": PLACES[..., 1:]}, "position and block position"),
        ({"position_ids": PLACES.float()}, "whole numbers"),
        ({"position_ids": PLACES - 1}, "whole numbers"),
        ({"labels": IDS[:, 1:]}, "labels have the shape"),
        ({"labels": IDS[:1]}, "labels have the shape"),
        ({"head_mask": torch.ones(8)}, "head_mask"),
        ({"output_attentions": True}, "output_attentions"),
        ({"past_key_values": ((torch.zeros(1), torch.zeros(1)),)}, "not a tuple"),
        ({"inputs_embeds": torch.zeros(2, COUNT, 64)}, "either input_ids or inputs_embeds"),
    ],
)  # fmt: skip
def test_masks_without_a_clear_meaning_are_refused_in_one_line(model, given, said):
    with pytest.raises(UsageError, match=said) as refused:
        model(IDS, **given)
    assert "\n" not in str(refused.value)


def test_given_positions_need_no_mask_and_no_ids(model):
    wanted = logits_of(model, SAMPLES[0])
    embedded = model.transformer.word_embeddings(IDS)
    for given in ({"input_ids": IDS}, {"inputs_embeds": embedded}):
        torch.testing.assert_close(model(**given, position_ids=PLACES).logits[1], wanted, **EXACT)
    torch.testing.assert_close(model(inputs_embeds=embedded).logits[1], wanted, **EXACT)
    with pytest.raises(UsageError, match="no <sop>"):
        model(inputs_embeds=torch.randn(1, 4, 64, dtype=torch.float64))


def test_far_positions_are_rotated_too(model):
    far = PLACES.clone()
    far[:, 0] += 1000
    near = PLACES.clone()
    near[:, 0] += 100
    torch.testing.assert_close(
        model(IDS, position_ids=far).logits, model(IDS, position_ids=near).logits, atol=3e-3, rtol=0
    )


def test_the_first_of_several_ends_of_a_context_counts(model):
    ids = [*SAMPLES[0], GMASK, SOP, *SAMPLES[0]]
    torch.testing.assert_close(model(torch.tensor([ids])).logits[0], logits_of(model, ids), **EXACT)
    batch, mask = padded([ids, SAMPLES[1]], "right")
    assert_rows_are_alone(model, model(batch, attention_mask=mask).logits, mask, [ids, SAMPLES[1]])


def test_a_sop_in_the_padding_is_none(model):
    ids, mask = padded(SAMPLES, "left")
    ids[mask == 0] = SOP
    assert_rows_are_alone(model, model(ids, attention_mask=mask).logits, mask)


def test_packed_rows_are_their_samples(model):
    packed = pack([Example(ids, ids.index(SOP)) for ids in SAMPLES], 64, model.config)
    logits = model(packed.input_ids, position_ids=packed.position_ids, attention_mask=packed.attention_mask).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1)[packed.predicting], packed.targets)
    answers = [logits_of(model, ids)[ids.index(SOP) : -1] for ids in SAMPLES]
    targets = [torch.tensor(ids[ids.index(SOP) + 1 :]) for ids in SAMPLES]
    wanted = torch.nn.functional.cross_entropy(torch.cat(answers), torch.cat(targets))
    torch.testing.assert_close(loss, wanted, **EXACT)


@pytest.mark.parametrize("where", ["right", "both"])
def test_generate_wants_padding_on_the_left(model, where):
    prompts = [sample[: sample.index(SOP) + 1] for sample in SAMPLES]
    settings = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
    ids, mask = padded(prompts, where)
    for given in ({"attention_mask": mask}, {}):
        with pytest.raises(UsageError, match="padding must be on the left"):
            model.generate(ids, **given, **settings)
    with pytest.raises(UsageError, match="padding must be on the left"):
        model.plan(ids, mask)
    ids, mask = padded(prompts, "left")
    alone = [model.generate(torch.tensor([prompt]), **settings)[0, -4:].tolist() for prompt in prompts]
    assert model.generate(ids, attention_mask=mask, **settings)[:, -4:].tolist() == alone
    with pytest.raises(UsageError, match="leave position_ids out"):
        model.generate(ids, position_ids=model.plan(ids, mask).position_ids, **settings)
