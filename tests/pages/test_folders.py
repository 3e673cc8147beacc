"""Folders and addresses that are not models break no page: they are listed, or refused in one line."""

import os
from pathlib import Path

import pytest
from page_run import Open, shown

PAGES = ["chat", "compare", "compress", "overview", "latency", "memory", "quality"]
ODD = {
    "a pipe": lambda file: os.mkfifo(file),
    "a device": lambda file: file.symlink_to("/dev/zero"),
    "too large": lambda file: file.write_bytes(b" " * 50_000_000),
    "too deep": lambda file: file.write_text('{"model_type": ' + "[" * 100_000),
    "no object": lambda file: file.write_text("[]"),
    "no text": lambda file: file.write_bytes(b"\xff\xfe\x00"),
    "![i](http:x)": lambda file: file.write_text("{}"),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", PAGES)
def test_one_bad_folder_takes_no_page_away_and_is_listed(page: str, own_home: Path, open_page: Open) -> None:
    for name, spoil in ODD.items():
        (folder := own_home / "models" / name).mkdir(parents=True)
        spoil(folder / "config.json")
    os.mkfifo(own_home / "models" / "pipe")
    app = open_page(f"pages/{page}.py")
    assert app.selectbox[0].options[0] == "demo (built in)"
    label = f"{len(ODD)} folders that cannot be opened"
    listed = next(block for block in app.expander if block.label == label)
    assert [shown(line.value).partition("**: ")[0] for line in listed.caption] == [f"**{name}" for name in sorted(ODD)]
    assert r"**!\[i\](http\:x)**" in [line.value.partition(": ")[0] for line in listed.caption]


NAMES = ["\0", "~nobody/x", "a" * 5000, "/dev/zero", f"shape:chatglm-6b@{'9' * 5000}", "x/y--z", "x/y.git", " "]


@pytest.mark.parametrize("page", PAGES)
def test_an_address_with_an_odd_model_is_refused_in_a_line(page: str, open_page: Open) -> None:
    name = "model-a" if page == "compare" else "model"
    for model in NAMES:
        app = open_page(f"pages/{page}.py", **{name: model})
        lines = [*app.error, *app.warning]
        assert lines, model[:20]
        assert all("\n" not in line.value for line in lines)
