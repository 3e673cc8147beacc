"""Files that several processes need at once: one makes them, the others wait; a kill leaves nothing half made."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosting import TESTS_ON_PATH, eventually

from fastglm.errors import UsageError
from fastglm.progress.progress import OnProgress, Progress
from fastglm.system import making
from fastglm.system.files import put
from fastglm.system.making import alone, made_once, part_of, sweep_parts

# Makes a folder of two files, which takes a second; prints its observations, one per line.
MAKER = """
import sys, time
from pathlib import Path
from fastglm.system.files import put
from fastglm.system.making import made_once, part_of
from fastglm.progress.progress import Progress

place = Path(sys.argv[1])

def is_whole():
    return (place / "a").is_file() and (place / "b").is_file()

def make(tell):
    print("makes", flush=True)
    with part_of(place) as part:
        made = part / place.name
        made.mkdir()
        (made / "a").write_text("a")
        for step in range(5):
            tell(Progress("make", step, 5))
            time.sleep(0.2)
        (made / "b").write_text("b")
        put(made, place)

seen = []
def progress(now):
    if now not in seen:
        seen.append(now)
        print("sees", now.stage, now.done, flush=True)

made_once(place, is_whole, make, progress)
print("has it", is_whole(), flush=True)
"""


class Maker:
    """A process that makes or awaits the folder."""

    def __init__(self, place: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAKER, str(place)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | TESTS_ON_PATH,
        )

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def rest(self) -> list[str]:
        return self.process.communicate(timeout=60)[0].split("\n")[:-1]


@pytest.fixture
def makers() -> Iterator[list[Maker]]:
    started: list[Maker] = []
    yield started
    for maker in started:
        maker.process.kill()
        maker.process.wait()


def left(place: Path) -> list[str]:
    """All files beside the result, and in the folder of locks."""
    locks = Path(os.environ["FASTGLM_HOME"]) / "leases"
    return sorted(path.name for folder in (place.parent, locks) for path in folder.iterdir() if path != place)


def test_one_makes_and_the_others_see_how_it_goes(tmp_path: Path, makers: list[Maker]) -> None:
    place = tmp_path / "made"
    makers += [Maker(place) for _ in range(4)]
    told = [maker.rest() for maker in makers]
    assert sum("makes" in lines for lines in told) == 1
    assert all(lines[-1] == "has it True" for lines in told)
    assert all(any(line.startswith("sees make") for line in lines) for lines in told)
    assert left(place) == []


def test_another_makes_if_the_maker_is_killed(tmp_path: Path, makers: list[Maker]) -> None:
    place = tmp_path / "made"
    makers += [Maker(place)]
    assert makers[0].line() == "makes"
    makers += [Maker(place), Maker(place)]
    assert makers[1].line().startswith("sees make")
    makers[0].process.kill()
    told = [maker.rest() for maker in makers[1:]]
    assert sum("makes" in lines for lines in told) == 1
    assert all(lines[-1] == "has it True" for lines in told)
    assert left(place) == []


def test_one_who_waited_for_a_maker_that_was_killed_at_its_end_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "made"
    lock = making._lock_of(place)
    file = making._try(lock)
    assert file
    making._telling(lock, None)(Progress("make", 4, 5))

    def killed(_: Progress) -> None:  # after its move, before it removed its lock
        place.mkdir(exist_ok=True)
        file.close()

    made_once(place, place.is_dir, lambda _: pytest.fail("it is there"), killed)
    assert left(place) == []


def test_a_broken_result_is_made_anew(tmp_path: Path, makers: list[Maker]) -> None:
    place = tmp_path / "made"
    place.mkdir()  # empty: a folder may be put in its place
    makers += [Maker(place), Maker(place)]
    told = [maker.rest() for maker in makers]
    assert sum("makes" in lines for lines in told) == 1
    assert all(lines[-1] == "has it True" for lines in told)


def test_a_maker_that_fails_lets_the_next_one_try(tmp_path: Path) -> None:
    place, tries = tmp_path / "made", []

    def make(_: OnProgress) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ZeroDivisionError
        place.write_text("made")

    with pytest.raises(ZeroDivisionError):
        made_once(place, place.is_file, make)
    made_once(place, place.is_file, make)
    made_once(place, place.is_file, make)
    assert len(tries) == 2
    assert left(place) == []


def test_a_wait_can_be_given_up(tmp_path: Path, makers: list[Maker]) -> None:
    place = tmp_path / "made"
    makers += [Maker(place)]
    assert makers[0].line() == "makes"

    def give_up(_: Progress) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        made_once(place, place.is_dir, lambda _: pytest.fail("another makes it"), give_up)
    assert makers[0].rest()[-1] == "has it True"


@pytest.mark.parametrize("news", ["", "{", "[1]", json.dumps({"stage": "x"}), json.dumps({"unknown": 1})])
def test_news_that_are_half_written_are_passed_over(tmp_path: Path, news: str) -> None:
    file = tmp_path / "x.news"
    file.write_text(news)
    assert making._read_news(file.with_suffix(".making")) is None


def test_parts_of_killed_processes_are_swept_and_no_other(tmp_path: Path) -> None:
    place = tmp_path / "made"
    process = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(place)], stdout=subprocess.DEVNULL, env=os.environ | TESTS_ON_PATH
    )
    eventually(lambda: any((part / "made" / "a").is_file() for part in tmp_path.glob("*.part")))
    process.send_signal(signal.SIGSTOP)
    sweep_parts(tmp_path)
    assert len(list(tmp_path.glob("*.part"))) == 1  # it is still making
    process.kill()
    process.wait()
    foreign = [tmp_path / "a film.part", tmp_path / "mine.x.part"]  # files of other programs, or of the user
    for folder in foreign:
        folder.mkdir()
        (folder / "file").write_text("mine")
        os.utime(folder, (0, 0))
    with part_of(place) as part:
        assert sorted(tmp_path.glob("*.part")) == sorted([*foreign, part])
    assert sorted(tmp_path.glob("*.part")) == sorted(foreign)


def test_the_folder_of_a_version_without_locks_is_swept_once_it_is_old(tmp_path: Path) -> None:
    old = tmp_path / "int8.part"
    old.mkdir()
    (old / "model-00001.safetensors").write_bytes(b"half")
    for age, there in ((0.0, True), (2 * 3600.0, False)):
        os.utime(old, (time.time() - age, time.time() - age))
        with part_of(tmp_path / "int8"):
            pass
        assert old.exists() == there


def test_nothing_takes_the_place_of_a_folder_that_is_there(tmp_path: Path) -> None:
    place = tmp_path / "made"
    place.mkdir()
    (place / "theirs").write_text("theirs")
    with part_of(place) as part:
        (part / "made").mkdir()
        with pytest.raises(OSError, match="made"):
            put(part / "made", place)

    assert (place / "theirs").read_text() == "theirs"


def test_a_folder_is_made_by_one_process_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    maker = "import sys; from pathlib import Path; from fastglm.system.making import alone\n"
    maker += f"with alone(Path({str(out)!r})):\n    print('has it', flush=True)\n    sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", maker], **pipes, text=True, env=os.environ | TESTS_ON_PATH) as other:
        assert other.stdout
        assert other.stdout.readline() == "has it\n"
        with pytest.raises(UsageError, match="out is being made by another process now") as caught, alone(out):
            pass
        assert "\n" not in str(caught.value)
        with alone(tmp_path / "other"):
            pass
        other.kill()
    with alone(out):
        pass
