"""Random changes of a checkpoint folder: it loads and answers, or is refused in one line, soon and in little memory.

Compression says the same. Every folder is tried in a separate process, forked from this one.
"""

import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import traceback
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from recorded import folder
from safetensors.torch import save, save_file
from spoil import FOREIGN, POINTER, saved

import fastglm
from fastglm.errors import FastGLMError
from fastglm.models.chatglm.config import ChatGLM6BConfig

SECONDS, MEMORY = 30, 1 << 30
CONFIG = json.loads((folder("chatglm") / "config.json").read_text())
TOKENIZER = json.loads((folder("chatglm") / "tokenizer_config.json").read_text())
WEIGHTS = torch.load(folder("chatglm") / "pytorch_model.bin", weights_only=True)
FIELDS = sorted({*CONFIG, *vars(ChatGLM6BConfig()), "quantization_config", "num_labels", "id2label", "dtype"})

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2, 3, 7, 63, 64, 65, 255, 256, 767, 768, 769, 10**9, 10**18, 10**400, -(10**9)]),
    st.sampled_from([0.0, -0.0, 1e-5, 1.5, 1e300, float("nan"), float("inf"), float("-inf")]),
    st.sampled_from(["", "0", "chatglm", "int8", "int4-g128", "2:4", "float16", "../../etc/passwd", "a\0b", "\ud800"]),
    st.text(max_size=20),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
BYTES = ["config.json", "tokenizer_config.json", "ice_text.model", "pytorch_model.bin"]


@st.composite
def config_fields(draw):
    changed = draw(st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1, max_size=2))
    return lambda place: (place / "config.json").write_text(json.dumps(CONFIG | changed))


@st.composite
def tokenizer_fields(draw):
    names = st.sampled_from(
        [*TOKENIZER, "added_tokens_decoder", "special_tokens", "extra_special_tokens", "vocab_file"]
    )
    changed = draw(st.dictionaries(names, VALUES, min_size=1, max_size=2))
    return lambda place: (place / "tokenizer_config.json").write_text(json.dumps(TOKENIZER | changed))


@st.composite
def json_of_anything(draw):
    name = draw(
        st.sampled_from(["config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"])
    )
    name = draw(
        st.sampled_from([name, "pytorch_model.bin.index.json", "generation_config.json", "adapter_config.json"])
    )
    value = draw(VALUES)
    if name.endswith("index.json") and draw(st.booleans()):
        value = {"weight_map": dict.fromkeys(draw(st.sets(st.sampled_from(sorted(WEIGHTS)), max_size=4)), value)}
    return lambda place: (place / name).write_text(json.dumps(value))


@st.composite
def bytes_of_a_file(draw):
    name, where, value = draw(st.sampled_from(BYTES)), draw(st.floats(0, 1)), draw(st.binary(max_size=16))
    cut = draw(st.booleans())

    def change(place):
        content = (place / name).read_bytes()
        at = int(where * len(content))
        (place / name).write_bytes(content[:at] + (b"" if cut else value + content[at + len(value) :]))

    return change


def with_state(change):
    """Change the weights, written as either kind of file."""

    def written(place, kind="bin"):
        state = {name: tensor.clone() for name, tensor in WEIGHTS.items()}
        change(state)
        if kind == "safetensors":
            try:
                content = save({name: tensor.contiguous() for name, tensor in state.items()})
            except (ValueError, KeyError, TypeError, AttributeError, RuntimeError):
                kind = "bin"
            else:
                (place / "pytorch_model.bin").unlink()
                (place / "model.safetensors").write_bytes(content)
        if kind == "bin":
            torch.save(state, place / "pytorch_model.bin")

    return written


NAMES = st.sampled_from(sorted(WEIGHTS))
FORMS = {
    "flat": lambda x: x.flatten(),
    "turned": lambda x: x.T.contiguous(),
    "no dimension": lambda x: x.flatten()[0],
    "empty": lambda x: x[:0],
    "longer": lambda x: torch.cat((x, x)),
    "one number for all": lambda x: (
        x.flatten()[:1].expand(x.numel()).view_as(x) if x.ndim == 1 else x[:1, :1].expand_as(x)
    ),
    "backwards": lambda x: x.flip(0),
    "sparse": lambda x: x.to_sparse(),
    "a parameter": lambda x: torch.nn.Parameter(x),
}
FLOATS = [torch.float16, torch.bfloat16, torch.float64, torch.complex64]
TYPES = [*FLOATS, torch.int8, torch.int64, torch.bool, torch.uint8]
NUMBERS = [float("nan"), float("inf"), float("-inf"), 1e30, -1e38, 0.0]


@st.composite
def tensors(draw):
    kind = draw(st.sampled_from(["form", "type", "number", "gone", "named", "other", "twice"]))
    name, other = draw(NAMES), draw(NAMES)
    form, dtype, number = (draw(st.sampled_from(kind)) for kind in (sorted(FORMS), TYPES, NUMBERS))
    word = draw(st.sampled_from(["", "x", "../x", "lm_head.bias", "a.lora_A.weight", "b.qweight", "c.absmax", "\n"]))
    anything = draw(st.one_of(SCALARS, st.just({"a": [1]}), st.just("text")))

    def change(state):
        if kind == "form":
            state[name] = FORMS[form](state[name])
        elif kind == "type":
            state[name] = state[name].to(dtype)
        elif kind == "number":
            state[name].flatten()[-1] = number
        elif kind == "gone":
            del state[name]
        elif kind == "named":
            state[word] = state.pop(name)
        elif kind == "twice":
            state[other] = state[name]
        else:
            state[name] = anything

    written, form_of_file = with_state(change), draw(st.sampled_from(["bin", "safetensors"]))
    return lambda place: written(place, form_of_file)


@st.composite
def foreign_weights(draw):
    others = [b"GGUF" + bytes(100), b"ggml" + bytes(100), POINTER, saved({1: torch.ones(2)})]
    content = draw(st.sampled_from([*FOREIGN, *others, save({"a": torch.ones(2)})]))
    name = draw(st.sampled_from(["pytorch_model.bin", "model.safetensors"]))
    return lambda place: (place / name).write_bytes(content)


@st.composite
def files(draw):
    """Remove files, put folders or pipes in their place, and exchange shards."""
    kind = draw(st.sampled_from(["gone", "folder", "pipe", "link", "shards", "no index", "twice"]))
    name, lost = draw(st.sampled_from([*BYTES, "tokenizer_config.json"])), draw(st.integers(0, 2))
    many = draw(st.sampled_from([3, 50_000]))

    def change(place):
        if kind in ("gone", "folder", "pipe", "link"):
            (place / name).unlink()
            if kind == "folder":
                (place / name).mkdir()
            elif kind == "pipe":
                os.mkfifo(place / name)
            elif kind == "link":
                (place / name).symlink_to("/dev/zero")
            return
        (place / "pytorch_model.bin").unlink()
        names = list(WEIGHTS)
        places = {}
        for number in range(3):
            file = f"model-{number + 1:05d}-of-{many:05d}.safetensors"
            part = {each: WEIGHTS[each].clone() for each in names[number::3]}
            if kind == "twice":
                part |= {names[lost]: WEIGHTS[names[lost]].clone()}
            save_file(part, place / file)
            places |= dict.fromkeys(part, file)
        if kind == "shards":
            places[names[lost]] = f"model-{(lost + 1) % 3 + 1:05d}-of-{many:05d}.safetensors"
            places |= {f"x{number}": f"model-{number:05d}-of-{many:05d}.safetensors" for number in range(1, many, 7)}
        if kind != "no index":
            (place / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))

    return change


MUTATIONS = st.lists(
    st.one_of(
        config_fields(),
        tokenizer_fields(),
        json_of_anything(),
        bytes_of_a_file(),
        tensors(),
        foreign_weights(),
        files(),
    ),
    min_size=1,
    max_size=2,
)


def attempt(work):
    """Load and answer, and compress: for each a line or "answered", and unexpected errors."""
    found = {}
    for what, way in (("load", answers), ("compress", compresses)):
        try:
            found[what] = way(work)
        except FastGLMError as error:
            line = str(error)
            bad = "\n" in line.strip() or not line.strip() or len(line) > 2000 or "unexpectedly" in line
            found[what] = f"BAD LINE {line!r}" if bad else f"said: {line}"
        except BaseException:
            found[what] = "TRACEBACK " + traceback.format_exc(limit=-6)
    return found


def answers(work):
    model, tokenizer = fastglm.load(work / "model", "original")
    pieces = list(fastglm.stream(model, tokenizer, "你好", max_new_tokens=3, do_sample=False, ignore_eos=True))
    assert len(pieces) == 3
    return "answered"


def compresses(work):
    made = fastglm.compress(work / "model", "int8", work / "out")
    model, tokenizer = fastglm.load(made, "original")
    list(fastglm.stream(model, tokenizer, "你好", max_new_tokens=2, do_sample=False, ignore_eos=True))
    return "answered"


def child(work, pipe):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * MEMORY, used + 4 * MEMORY))  # limit of a runaway
    found = attempt(work)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    pipe.send((found, grown))


def try_out(changes):
    """Try a changed folder; fails for a traceback, too long a time or too much memory."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        shutil.copytree(folder("chatglm"), work / "model", ignore=shutil.ignore_patterns("expected*"))
        for change in changes:
            try:
                change(work / "model")
            except (OSError, UnicodeEncodeError):  # removed by the change before
                continue
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(target=child, args=(work, theirs), daemon=True)
        process.start()
        theirs.close()
        try:
            assert ours.poll(2 * SECONDS), f"a hang: {os.listdir(work / 'model')}"
            found, grown = ours.recv()
        except EOFError:
            pytest.fail("the process died")
        finally:
            process.kill()
            process.join()
    assert not any(result.startswith(("TRACEBACK", "BAD")) for result in found.values()), "\n".join(found.values())
    assert grown < MEMORY, f"{grown / 1e6:.0f} MB"
    return found


@pytest.fixture(scope="module", autouse=True)
def warm():
    """Import and make everything of the first use before the forks."""
    fastglm.load(folder("chatglm"))


def check(changes):
    found = try_out(changes)
    event = f"load {found['load'][:8]}, compress {found['compress'][:8]}"
    COUNTS[event] = COUNTS.get(event, 0) + 1
    # Compression refuses what loading refuses.
    if found["load"].startswith("said"):
        assert found["compress"].startswith("said"), found


COUNTS: dict[str, int] = {}
CHECKS = tuple(HealthCheck)


@pytest.mark.timeout(300)
@seed(1)
@settings(max_examples=30, deadline=None, database=None, suppress_health_check=CHECKS, print_blob=False)
@given(MUTATIONS)
def test_a_changed_folder_is_refused_in_a_line_or_answers(changes):
    check(changes)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@seed(2)
@settings(max_examples=300, deadline=None, database=None, suppress_health_check=CHECKS, print_blob=False)
@given(MUTATIONS)
def test_three_hundred_changed_folders(changes):
    check(changes)


def test_the_folder_itself_answers_and_a_broken_one_does_not():
    assert set(try_out([]).values()) == {"answered"}
    broken = with_state(lambda state: state.pop("transformer.final_layernorm.bias"))
    assert all("lacks transformer.final_layernorm.bias" in said for said in try_out([broken]).values())
