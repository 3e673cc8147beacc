"""The home: its place, its readers, and the messages if it cannot be used."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosting import small_disk
from sqlalchemy.engine import make_url

from benchmarks.store.store import Store, local_url
from fastglm.errors import HomeError
from fastglm.hosting.lease import lease
from fastglm.system import home as homes
from fastglm.system.files import put
from fastglm.system.home import folder, home, make_parents, private, protect
from fastglm.system.making import part_of

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has other rights than these modes")
ODD = ["a?b", "100%41", "a#b", "it's", 'say "hi"', "two words", "模型", "a;b&c", "$HOME", "a:b@c", "[x]*", "-o", "a\\b"]


@pytest.fixture(autouse=True)
def looked_at_anew() -> Iterator[None]:
    homes._tighten.cache_clear()
    yield
    homes._tighten.cache_clear()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk that nobody can write to, not even root."""
    with small_disk(tmp_path / "disk", "ro") as place:
        yield place


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("name", ODD)
def test_a_home_of_any_name_keeps_everything_inside(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / name
    monkeypatch.setenv("FASTGLM_HOME", str(place))
    store = Store()
    store.close()
    assert make_url(local_url()).database == str(place / "results" / "results.sqlite")
    assert (place / "results" / "results.sqlite").stat().st_size > 0
    assert make_url(store.url).database == str(place / "results" / "results.sqlite")
    Store(local_url()).close()  # in the form in which it is passed on
    with lease("cpu", "a chat"), part_of(folder("steps") / "x.so") as part:
        (part / "x.so").write_bytes(b"x")
        put(part / "x.so", place / "steps" / "x.so")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {path.name for path in place.iterdir()} == {"results", "leases", "steps"}


@posix
def test_new_files_are_for_their_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "home"
    monkeypatch.setenv("FASTGLM_HOME", str(place))
    store = Store()
    assert store.runs().empty
    with open(folder("texts") / "upload", "w", opener=private) as file:
        file.write("x")
    with part_of(folder("variants/a-b") / "int8") as part:
        made = part / "int8"
        made.mkdir(mode=0o755)
        (made / "weights").write_bytes(b"x")
        (made / "weights").chmod(0o644)
        put(made, place / "variants" / "a-b" / "int8")
    with lease("cpu", "a chat"):
        found = {path.relative_to(place).as_posix(): mode(path) for path in (place, *place.rglob("*"))}
    store.close()
    assert {"variants/a-b/int8/weights", "results/results.sqlite", "texts/upload", "leases/cpu/gate"} <= found.keys()
    assert {name: oct(bits) for name, bits in found.items() if bits & 0o077} == {}


@posix
def test_folders_on_the_way_to_what_is_made_are_private_in_the_home_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path / "home"))
    folder("logs")
    make_parents(tmp_path / "home" / "models" / "mine" / "made")
    make_parents(tmp_path / "other" / "models" / "made")
    assert mode(tmp_path / "home" / "models") == mode(tmp_path / "home" / "models" / "mine") == 0o700
    assert mode(tmp_path / "other" / "models") == mode(tmp_path / "other") == 0o777 & ~umask()
    assert not (tmp_path / "other" / "models" / "made").exists()


def umask() -> int:
    os.umask(found := os.umask(0o022))
    return found


@posix
def test_a_home_of_ones_own_is_tightened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").mkdir(mode=0o755)
    (tmp_path / "results" / "results.sqlite").write_bytes(b"")
    (tmp_path / "models" / "mine").mkdir(parents=True)
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")
    outside.mkdir()
    (tmp_path / "kernels").symlink_to(outside)
    for path in (tmp_path, outside, tmp_path / "models" / "mine"):
        path.chmod(0o755)
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path))
    folder("logs")
    made = (tmp_path, *(tmp_path / name for name in ("results", "results/results.sqlite", "models", "logs")))
    assert not any(mode(path) & 0o077 for path in made)
    assert mode(tmp_path / "models" / "mine") == mode(outside) == 0o755  # made by others, for users of their choice


@posix
@pytest.mark.parametrize("bits", [0o775, 0o770, 0o2775, 0o750])
def test_a_home_that_is_shared_with_a_group_is_left_with_one_warning(
    bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(homes, "_is_own_group", lambda _: False)
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path))
    tmp_path.chmod(bits)
    umask = os.umask(0o002)
    try:
        for name in ("logs", "leases/cpu", "logs"):
            folder(name)
        with open(folder("logs") / "x", "w", opener=private) as file:
            file.write("x")
    finally:
        os.umask(umask)
    protect(tmp_path / "logs" / "x")
    assert mode(tmp_path) == bits
    assert mode(tmp_path / "logs") & 0o777 == 0o775
    assert mode(tmp_path / "logs" / "x") == 0o664
    (warning,) = caplog.messages
    assert str(tmp_path) in warning
    assert "can be read by others" in warning


@posix
def test_a_group_of_one_user_is_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path))
    monkeypatch.setattr(homes, "_is_own_group", lambda _: True)
    tmp_path.chmod(0o775)
    folder("logs")
    assert mode(tmp_path) == 0o700


def unusable(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    return {
        "a file": str(tmp_path / "file"),
        "below a file": str(tmp_path / "file" / "home"),
        "over-long": str(tmp_path / ("x" * 300)),
        "over-long in all": str(tmp_path) + "/x" * 4000,
        "nobody's": "~nobody-of-this-name/home",
        "a link to itself": str(tmp_path / "loop"),
    }


KINDS = ["a file", "below a file", "over-long", "over-long in all", "nobody's", "a link to itself"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_home_that_cannot_be_is_said_in_a_line(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTGLM_HOME", unusable(tmp_path)[kind])
    for use in (lambda: folder("logs"), local_url, Store):
        with pytest.raises(HomeError, match=r"FASTGLM_HOME.*cannot be used.*: name a folder") as caught:
            use()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500


def test_a_disk_that_cannot_be_written_is_said_in_a_line(read_only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (read_only, read_only / "home"):
        monkeypatch.setenv("FASTGLM_HOME", str(place))
        homes._tighten.cache_clear()
        with pytest.raises(HomeError, match="Read-only file system"):
            folder("logs")
        with pytest.raises(HomeError, match="Read-only file system"), lease("cpu", "a chat"):
            pass


@pytest.mark.parametrize("command", [["fastglm", "chat"], ["benchmarks", "list"]])
def test_both_commands_say_it_in_a_line(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    environment = os.environ | {"FASTGLM_HOME": str(file)}
    made = subprocess.run(
        [sys.executable, "-m", *command], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert made.returncode == 1
    assert made.stderr.startswith("error: FASTGLM_HOME")
    assert made.stderr.count("\n") == 1


def test_the_home_is_not_created_by_asking_for_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path / "new"))
    assert home() == tmp_path / "new"
    assert not home().exists()
