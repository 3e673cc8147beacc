"""Pruning refuses impossible requests in one line, and leaves nothing half-written."""

import shutil
from collections import namedtuple

import pytest
from pruning import SOURCE, TEXTS, changed_copy
from recorded import folder

from fastglm.compress.prune import prune_depth, prune_vocabulary, prune_width, sparsify_24
from fastglm.errors import CheckpointError, DiskShortError, UsageError
from fastglm.models.chatglm.config import ChatGLM6BConfig

PRUNINGS = {
    "depth": lambda source, out, **more: prune_depth(source, out, 1, **{"texts": TEXTS, **more}),
    "width": lambda source, out, **more: prune_width(source, out, channels=0.5, **{"texts": TEXTS, **more}),
    "vocabulary": lambda source, out, **more: prune_vocabulary(source, out, **{"texts": TEXTS, **more}),
    "sparse": lambda source, out, **more: sparsify_24(source, out, **{"texts": TEXTS, **more}),
}
every = pytest.mark.parametrize("prune", PRUNINGS.values(), ids=PRUNINGS)


@every
def test_an_output_that_exists(prune, tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UsageError, match="exists already"):
        prune(SOURCE, tmp_path)
    assert (tmp_path / "mine").read_text() == "x"


@every
def test_a_quantised_checkpoint(prune, tmp_path):
    with pytest.raises(UsageError, match="is quantised already: run it as it is"):
        prune(folder("chatglm-int4"), tmp_path / "out")


@every
def test_no_room_on_the_disk(prune, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("usage", "free")(1000))
    with pytest.raises(DiskShortError, match=r"0\.0 MB are free on its disk: make room there"):
        prune(SOURCE, tmp_path / "deep" / "out")
    assert list(tmp_path.iterdir()) == []


@every
def test_nothing_half_written_stays(prune, tmp_path):
    def stop(progress):
        if progress.stage != "try layers":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune(SOURCE, tmp_path / "out", progress=stop)
    assert list(tmp_path.iterdir()) == []


@every
def test_progress_reaches_its_end(prune, tmp_path):
    seen = []
    prune(SOURCE, tmp_path / "out", progress=seen.append)
    for stage in {progress.stage for progress in seen}:
        done = [progress.done for progress in seen if progress.stage == stage]
        assert done == sorted(set(done))
    assert 0.95 < seen[-1].fraction <= 1


@pytest.mark.parametrize("kind", ["depth", "width", "sparse"])
def test_too_few_texts(kind, tmp_path):
    with pytest.raises(UsageError, match="5 texts are too few to calibrate on: give 32 or more"):
        PRUNINGS[kind](SOURCE, tmp_path / "out", texts=TEXTS[:5])


@pytest.mark.parametrize("layers", [0, 3, 7])
def test_layers_that_cannot_go(layers, tmp_path):
    with pytest.raises(UsageError, match=f"{layers} of 3 layers cannot be removed: name 1 to 2"):
        prune_depth(SOURCE, tmp_path / "out", layers, TEXTS)


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0, 1), "channels is 0"),
        ((1, 1.5), "heads is 1.5"),
        ((1, 1), "nothing is removed"),
        ((0.99, 1), "nothing is removed"),
    ],
)
def test_shares_that_make_no_sense(shares, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        prune_width(SOURCE, tmp_path / "out", TEXTS, *shares)


def test_a_sparse_checkpoint_is_not_made_narrower_or_sparse_again(tmp_path):
    source = changed_copy(tmp_path / "model", lambda state: None, sparsity="2:4")
    with pytest.raises(UsageError, match="is 2:4 sparse, which narrower layers would not be"):
        PRUNINGS["width"](source, tmp_path / "out")
    with pytest.raises(UsageError, match="is 2:4 sparse already"):
        PRUNINGS["sparse"](source, tmp_path / "out")


def test_widths_that_four_does_not_divide(tmp_path):
    def narrow(state):
        for name in ("dense_h_to_4h.weight", "dense_h_to_4h.bias"):
            state[f"transformer.layers.1.mlp.{name}"] = state[f"transformer.layers.1.mlp.{name}"][:254].clone()
        down = "transformer.layers.1.mlp.dense_4h_to_h.weight"
        state[down] = state[down][:, :254].clone()

    source = changed_copy(tmp_path / "model", narrow, inner_hidden_size=[256, 254, 256])
    with pytest.raises(UsageError, match="layers 254 wide: 2:4 sparsity needs widths that 4 divides"):
        sparsify_24(source, tmp_path / "out", TEXTS)


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"sparsity": "1:2"}, "known is 2:4"), ({"layer_numbers": [0, 2], "num_layers": 3}, "layer_numbers lists 2")],
)
def test_configs_that_make_no_sense(fields, said):
    with pytest.raises(CheckpointError, match=said):
        ChatGLM6BConfig(**fields).check()
