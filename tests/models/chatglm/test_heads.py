"""Head and embedding: two matrices if the weights have two; one if they have one and the config allows it; for every
way to load or compress.
"""

import shutil
from pathlib import Path

import pytest
import torch
from recorded import CASE_IDS, folder
from safetensors.torch import save_file
from spoil import change_json, read_weights
from transformers import AutoModel

import fastglm
from fastglm.compress.quantize import quantise_folder
from fastglm.errors import CheckpointError
from fastglm.models.chatglm.architecture import CHATGLM_6B
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.layerwise import LayerwiseModel

EMBEDDING, HEAD = CHATGLM_6B.tensors.ends

KINDS = ("as published", "false", "true")


@pytest.fixture
def make(tmp_path):
    """Make the tiny checkpoint with a config's setting of tying, and with other matrices."""

    def made(tied: str, kind: str = "bin", layout: str = "chatglm", **changes: torch.Tensor | None) -> Path:
        place = tmp_path / "model"
        shutil.copytree(folder(layout), place)
        if tied != "as published":
            change_json(place / "config.json", tie_word_embeddings=tied == "true")
        state = read_weights(place)
        for name, value in changes.items():
            full = {"head": HEAD, "embedding": EMBEDDING}[name]
            state.pop(full, None)
            if value is not None:
                state[full] = value.clone()
        if kind == "safetensors":
            (place / "pytorch_model.bin").unlink()
            save_file(state, place / "model.safetensors")
        else:
            torch.save(state, place / "pytorch_model.bin")
        return place

    return made


def stored(name: str, layout: str = "chatglm") -> torch.Tensor:
    return read_weights(folder(layout))[name]


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([CASE_IDS])).logits[0, -1].float()


def by_loader(place: Path) -> torch.Tensor:
    return logits(fastglm.load(place)[0])


def by_auto_model(place: Path) -> torch.Tensor:
    return logits(AutoModel.from_pretrained(place).float().eval())


def by_streaming(place: Path) -> torch.Tensor:
    model = LayerwiseModel(Checkpoint(place), torch.device("cpu"), torch.float32)
    hidden = fastglm.load(place)[0].transformer(torch.tensor([CASE_IDS])).last_hidden_state[0, -1:]
    return model.head.logits(hidden)[0]


def by_compressing(place: Path) -> torch.Tensor:
    out = place.with_name("int8")
    quantise_folder(place, "int8", out)
    return by_loader(out)


WAYS = [by_loader, by_auto_model, by_streaming, by_compressing]


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert torch.cosine_similarity(found, wanted, 0) > 0.99


@pytest.mark.parametrize("tied", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_two_matrices_that_differ_are_both_kept(make, way, tied):
    close(way(make(tied, head=-stored(HEAD))), -by_loader(folder("chatglm")))


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
@pytest.mark.parametrize("tied", ["as published", "true"])
@pytest.mark.parametrize("missing", ["head", "embedding"])
@pytest.mark.parametrize("way", WAYS)
def test_a_single_matrix_serves_for_both(make, way, missing, tied, kind):
    one = stored(EMBEDDING)
    place = make(tied, kind, **{"head": one, "embedding": one, missing: None})
    found = way(place)
    shutil.rmtree(place)
    close(found, by_loader(make("false", head=one, embedding=one)))


@pytest.mark.parametrize("missing", ["head", "embedding"])
@pytest.mark.parametrize("way", WAYS)
def test_a_matrix_that_is_missing_is_named_where_the_config_wants_two(make, way, missing):
    with pytest.raises(CheckpointError, match=f"lacks {HEAD if missing == 'head' else EMBEDDING}") as raised:
        way(make("false", **{missing: None}))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("way", [by_loader, by_auto_model, by_compressing])
def test_a_checkpoint_without_head_and_embedding_is_refused(make, way):
    with pytest.raises(CheckpointError, match="lacks "):
        way(make("as published", head=None, embedding=None))


@pytest.mark.parametrize("layout", ["chatglm-int8", "chatglm-int4"])
@pytest.mark.parametrize("way", [by_loader, by_auto_model])
def test_published_quantised_layouts_keep_both_too(make, way, layout):
    head = -stored(HEAD, layout)
    found = way(make("as published", layout=layout, head=head))
    close(found, -by_loader(folder(layout)))


@pytest.mark.parametrize("way", [by_loader, by_auto_model])
def test_a_published_quantised_layout_without_its_head(make, way):
    with pytest.raises(CheckpointError, match="lacks lm_head"):
        way(make("false", layout="chatglm-int4", head=None))


def test_equal_matrices_are_held_once(make):
    one = stored(EMBEDDING)
    model, _ = fastglm.load(make("as published", head=one))
    assert model.lm_head.weight is model.transformer.word_embeddings.weight
