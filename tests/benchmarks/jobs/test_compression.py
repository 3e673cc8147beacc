"""The only form of a compression's command: its permitted names, and the refusal of every other form."""

from pathlib import Path

import pytest

from benchmarks.jobs import worker
from benchmarks.jobs.compression import Compression
from fastglm.errors import UsageError


def file(home: Path, name: str) -> str:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a text")
    return str(path)


def test_a_command_says_what_was_asked_for(own_home: Path) -> None:
    asked = Compression("demo", "int4", "demo-int4")
    assert " ".join(asked.arguments()) == (
        "-m fastglm compress --model demo --recipe int4 --out demo-int4 --progress json"
    )
    assert (asked.folder, asked.work.name) == (own_home / "models" / "demo-int4", "demo-int4.work")
    full = Compression("demo", file(own_home, "recipes/a.yaml"), "b", file(own_home, "texts/1/c.txt"))
    for each in (asked, full):
        assert Compression.of(each.arguments()) == each
        assert worker._is_ours(each.arguments())


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "../b", "/tmp/b", "-b", ".b", "b.work", "b.part", "b.", "é", "b" * 61]
)
def test_only_a_plain_name_can_be_made(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a model"):
        Compression("demo", "int4", name)


def test_only_what_is_kept_here_is_read(own_home: Path, tmp_path: Path) -> None:
    elsewhere = file(tmp_path, "a.yaml")
    file(own_home, "recipes/a.yaml")
    for path in (elsewhere, str(own_home / "recipes" / ".." / "a.yaml"), "recipes/a.yaml", ""):
        with pytest.raises(UsageError, match="neither a recipe"):
            Compression("demo", path, "b")
    for path in (elsewhere, str(own_home / "texts" / ".." / "a.txt"), "c.txt", ""):
        with pytest.raises(UsageError, match="are not texts that are kept"):
            Compression("demo", "int4", "b", path)
    with pytest.raises(UsageError, match="may not be opened here"):
        Compression(str(tmp_path), "int4", "b")


def test_a_worker_takes_no_other_command_of_the_library_for_ours(tmp_path: Path) -> None:
    right = Compression("demo", "int4", "b").arguments()
    assert worker._is_ours(right)
    for wrong in (
        [*right, "--out", str(tmp_path)],
        [*right[:3], f"--out={tmp_path}", *right[3:]],
        [*right, "--debug"],
        [*right[:3], *right[5:]],
        right[:3],
        ["-m", "fastglm", "train", "demo", "--out", str(tmp_path)],
        ["-m", "fastglm", "chat"],
    ):
        assert not worker._is_ours(wrong), wrong


def test_a_job_for_a_missing_model_is_still_one_of_ours(own_home: Path) -> None:
    assert worker._is_ours(Compression(str(own_home / "models" / "gone"), "int4", "b").arguments())
