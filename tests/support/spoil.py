"""Changes of a checkpoint's folder: fields of its configs, its files, its weights and their shards."""

import collections
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

Change = Callable[[Path], object]
BIN = "pytorch_model.bin"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
LORA = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "a/b"})


class Evil:
    """An object whose reading from a pickle makes a file named `touched`."""

    def __reduce__(self):
        return (open, ("touched", "w"))


def change_json(file: Path, remove: Iterable[str] = (), **fields: object) -> None:
    """Set and remove fields of a JSON file."""
    content = json.loads(file.read_text()) | fields
    file.write_text(json.dumps({name: value for name, value in content.items() if name not in remove}))


def read_weights(place: Path) -> dict[str, Any]:
    return torch.load(place / BIN, weights_only=True)


def config(*without: str, **fields: object) -> Change:
    """A change of config.json."""
    return lambda place: change_json(place / "config.json", without, **fields)


def weights(edit: Callable[[dict[str, Any]], object]) -> Change:
    """A change of the weights by a function that changes their table, or returns another one."""

    def change(place: Path) -> None:
        state = read_weights(place)
        edited = edit(state)
        torch.save(edited if isinstance(edited, dict) else state, place / BIN)

    return change


def file(name: str, content: bytes | str | None) -> Change:
    """A file of other content, or no such file."""

    def change(place: Path) -> None:
        if content is None:
            (place / name).unlink()
        else:
            (place / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def cut(name: str) -> Change:
    """A file that was cut off in its middle."""
    return lambda place: (place / name).write_bytes((place / name).read_bytes()[: (place / name).stat().st_size // 2])


def several(*changes: Change) -> Change:
    return lambda place: [change(place) for change in changes]


def write_shards(place: Path, kind: str = "safetensors", count: int = 3, width: int = 5) -> dict[str, str]:
    """Put the weights into shards with an index, as published; the shard of each weight."""
    state, shards = read_weights(place), {}
    (place / BIN).unlink()
    stem = "model" if kind == "safetensors" else "pytorch_model"
    for number in range(count):
        name = f"{stem}-{number + 1:0{width}}-of-{count:0{width}}.{kind}"
        part = {each: state[each].clone() for each in list(state)[number::count]}
        save_file(part, place / name) if kind == "safetensors" else torch.save(part, place / name)
        shards |= dict.fromkeys(part, name)
    (place / f"{stem}.{kind}.index.json").write_text(json.dumps({"weight_map": shards}))
    return shards


def add_images(place: Path, images: int) -> None:
    """Put image tokens before the vocabulary, as the first published checkpoints have them."""
    known = json.loads((place / "config.json").read_text())
    ids = [f"{name}_token_id" for name in ("bos", "eos", "mask", "gmask", "pad")]
    change_json(place / "config.json", **{name: known[name] + images for name in ("vocab_size", *ids)})
    change_json(place / "tokenizer_config.json", num_image_tokens=images)
    matrices = ("lm_head.weight", "transformer.word_embeddings.weight")
    weights(lambda state: state | {name: torch.cat((torch.zeros(images, 64), state[name])) for name in matrices})(place)


def saved(value: object) -> bytes:
    """An object as `torch.save` writes it."""
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def archive(**files: str | bytes) -> bytes:
    """A ZIP file of these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name.replace("__", "/"), content)
    return file.getvalue()


# Files that hold no weights of a model.
FOREIGN = [
    b"",
    b"\0" * 1000,
    pickle.dumps({"a": 1}),
    pickle.dumps(collections.OrderedDict(a=print)),
    archive(a="b"),
    archive(archive__data__pkl=b"\0" * 10_000_000),
    b"PK\x05\x06" + bytes(18),
    saved([torch.ones(1)]),
    saved("text"),
    saved(torch.nn.Linear(2, 2)),
    saved({"state_dict": {"a": torch.ones(1)}}),
    b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
    (10**6).to_bytes(8, "little") + b"{" * 10**6,
    b"<!DOCTYPE html><html>Not found</html>",
]
