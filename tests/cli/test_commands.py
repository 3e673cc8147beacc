"""The command line: exit statuses, one clear line for every error, and a conversation in a terminal."""

import contextlib
import fcntl
import io
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from hosting import LAUNCH_FAKE, TESTS_ON_PATH, eventually, gone

import fastglm.hosting.host
from fastglm.cli.commands import main
from fastglm.demo.training.first import FirstDemo
from fastglm.hosting.lease import lease
from fastglm.messages import Message
from fastglm.models.source import EMBEDDED
from fastglm.variants.variants import VARIANTS

GOLDEN = Path(__file__).parents[1] / "golden"
REAL = fastglm.hosting.host.LAUNCH

# The command with a fake model that obeys its prompt.
COMMAND = """
import sys
import fastglm.hosting.host
from hosting import LAUNCH_FAKE
fastglm.hosting.host.LAUNCH = LAUNCH_FAKE
from fastglm.cli.commands import main
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastglm.hosting.host, "LAUNCH", LAUNCH_FAKE)


Chat = Callable[..., tuple[int, str, str]]


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Chat:
    """Run `fastglm chat` on lines of input; returns status, standard output and standard error."""

    def run(*lines: str, options: tuple[str, ...] = ()) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("".join(f"{x}\n" for x in lines).encode())))
        status = main(["chat", *options])
        return status, *capsys.readouterr()

    return run


def test_a_conversation(chat: Chat) -> None:
    status, answers, told = chat("", "   ", "history", "history", "clear", "history", "stop", "history")
    assert status == 0
    first = repr([Message("user", "history"), Message("assistant", "[]")])
    assert answers.splitlines() == ["[]", first, "[]"]
    assert told.count("1 tokens · first after 0.00 s · memory ") == 3
    assert "demo as original on cpu" in told
    assert "a note" in told
    assert "The conversation is cleared." in told
    assert told.count("The context is full: the 3 oldest rounds were left out.") == 2  # once, and again after clear


def test_a_system_message_begins_every_conversation(chat: Chat) -> None:
    first = repr([Message("system", "短。")])
    assert chat("history", "clear", "history", options=("--system", "短。"))[1].splitlines() == [first, first]


def test_the_headline_names_the_adapter(chat: Chat) -> None:
    assert "demo as original with /a/prefix on cpu" in chat(options=("--adapter", "/a/prefix"))[2]


def test_a_full_context_is_told_once(chat: Chat) -> None:
    told = chat("full", "full", "clear", "full")[2]
    assert told.count("fill the context of 2048 tokens") == 2  # once, and again after clear


def test_a_call_of_a_tool_is_named_and_goes_on_as_one(chat: Chat) -> None:
    _, answers, told = chat("call", "wrong call", "history")
    assert 'A call of the tool search, which nothing runs here: {"query": "x"}' in told
    assert "error: not as JSON: '[2J'" in told
    assert repr(Message("assistant", '{"query": "x"}', "search")) in answers


def test_the_end_of_the_input_leaves(chat: Chat) -> None:
    assert chat("x")[:2] == (0, "x1 x2 x3 x4 x5 \n")


def test_settings_reach_the_model(chat: Chat) -> None:
    assert chat("settings")[1] == (
        "[('max_length', 8192), ('owner', 'chat'), "
        "('seed', None), ('temperature', 0.95), ('top_p', 0.7)]\n"  # the published defaults
    )
    options = ("--top-p", "0.5", "--temperature", "0.1", "--max-length", "9", "--seed", "3")
    assert chat("settings", options=options)[1] == (
        "[('max_length', 9), ('owner', 'chat'), ('seed', 3), ('temperature', 0.1), ('top_p', 0.5)]\n"
    )


def test_text_that_changes_as_it_grows_is_printed_whole(chat: Chat) -> None:
    assert chat("rewrite")[1] == "a，\nne\n"  # the fake takes back more than the clean-up does, a last character


def test_an_answer_cannot_command_the_terminal(chat: Chat) -> None:
    assert chat("controls")[1] == "[2Jone\ntwo!\n"


def test_input_that_is_no_text_is_no_reason_to_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), encoding="utf-8"))
    assert main(["chat"]) == 0
    assert capsys.readouterr().out.startswith("\ufffd\ufffd1 ")


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("context", "error: too long; shorten it"),
        (
            "memory",
            "error: Answering took more memory than there is: clear the conversation, or ",
        ),
        ("bug", "error: Answering failed unexpectedly (ZeroDivisionError: a bug). The log: "),
        ("crash", "error: The process that ran demo as original ended (signal 9"),
    ],
)
def test_after_an_error_one_can_go_on(chat: Chat, message: str, line: str) -> None:
    status, answers, told = chat(message, "history", "stop")
    assert status == 0
    assert answers.endswith("[]\n")  # a failed round is not part of the conversation
    assert line in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["chat", "--model", "usage"], 2, "error: Unknown variant; known are a, b."),
        (["chat", "--model", "missing"], 1, "error: no folder named missing; check the path"),
        (["chat", "--model", "dies"], 1, "error: The process that ran dies as original ended (signal 9"),
        (["chat", "--top-p", "3"], 2, "error: Invalid value for '--top-p': "),
        (["chat", "--zzz"], 2, "error: No such option: --zzz. See fastglm chat --help."),
        (["chat", "surplus"], 2, "error: Got unexpected extra argument"),
        (["nonsense"], 2, "error: No such command 'nonsense'. See fastglm --help."),
        (["compress"], 2, "error: Missing option '--out'. See fastglm compress --help."),
        (["compress", "--recipe", "int3", "--out", "x"], 2, "error: Unknown recipe 'int3' (did you mean int8?)"),
        (["compress", "--recipe", "pruned", "--out", "x"], 2, "error: Recipe pruned, step 1 (prune-depth): it needs"),
        (["variants", "--model", "/nowhere"], 1, "error: '/nowhere': there is no such folder."),
        (["variants", "--device", "tpu"], 1, "error: "),
        (
            ["variants", "--model", str(GOLDEN / "chatglm"), "--json", "/nowhere/x"],
            1,
            "error: /nowhere/x: No such",
        ),
    ],
)
def test_errors_are_one_line(arguments: list[str], status: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == status
    told = capsys.readouterr().err
    assert told.startswith(line)
    assert told.count("\n") == 1


def test_debug_shows_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--model", "missing", "--debug"]) == 1
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert told.endswith("error: no folder named missing; check the path\n")


@pytest.mark.parametrize("arguments", [[], ["train"]])
def test_without_a_command_there_is_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert "Usage: fastglm" in shown.out
    assert shown.err == ""


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "variants"),
        (["chat"], "--temperature"),
        (["variants"], "--json"),
        (["compress"], "--recipe"),
        (["train"], "demo"),
        (["train", "demo"], "--resume"),
    ],
)
def test_every_command_explains_itself(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--help"]) == 0
    assert word in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "fastglm 0.1.0\n"


def test_variants(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "variants.json"
    assert main(["variants", "--model", str(GOLDEN / "chatglm"), "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    rows = json.loads(file.read_text())
    assert [row["name"] for row in rows] == list(VARIANTS)
    assert all(row["runs"] and row["summary"] in shown for row in rows[:4])
    assert main(["variants", "--model", str(GOLDEN / "chatglm-int4"), "--json", str(file)]) == 0
    assert [row["name"] for row in json.loads(file.read_text()) if row["runs"]] == ["original", "fast"]
    assert "runs here: no: the checkpoint is quantised already" in capsys.readouterr().out


@pytest.mark.parametrize("model", EMBEDDED)
def test_train_demo(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import fastglm.demo.training.train

    seen: list[object] = []

    def train(*arguments: object, progress: object, design: Any = FirstDemo) -> SimpleNamespace:
        assert design.command == model
        seen.extend(arguments)
        return SimpleNamespace(out=tmp_path, report=SimpleNamespace(accuracy=lambda: 0.5))

    monkeypatch.setattr(fastglm.demo.training.train, "train", train)
    command = ["train", model, "--out", str(tmp_path), "--steps", "7", "--seed", "3", "--device", "cpu", "--resume"]
    assert main(command) == 0
    assert seen == [tmp_path, 7, 3, "cpu", True]
    assert "answered right: 50%" in capsys.readouterr().out


class Terminal:
    """`fastglm` in its own terminal."""

    def __init__(self, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.seen = ""

        def own_the_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # as in any terminal; in the background Ctrl-C is ignored

        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=own_the_terminal,
            env=os.environ | TESTS_ON_PATH | {"TERM": "xterm"},
        )
        os.close(slave)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C once the program waits; at Python's prompt it takes effect after the next key."""
        eventually(lambda: psutil.Process(self.process.pid).status() == psutil.STATUS_SLEEPING)
        self.type(CTRL_C)

    def until(self, text: str) -> str:
        """The output since the last call, up to `text`."""
        end = time.monotonic() + 100
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 10_000).decode(errors="replace")
        shown, _, self.seen = self.seen.partition(text)
        return shown + text

    def status(self) -> int:
        """The exit status, after the end; `seen` has all output until then."""
        with contextlib.suppress(OSError):  # Linux reports this when no process has the terminal open any more
            while select.select([self.master], [], [], 100)[0] and (shown := os.read(self.master, 10_000)):
                self.seen += shown.decode(errors="replace")
        return self.process.wait(100)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        started.append(Terminal(*arguments))
        return started[-1]

    yield start
    for terminal in started:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


CTRL_C = "\x03"


def test_ctrl_c_stops_the_answer_and_not_the_program(terminal: Callable[..., Terminal]) -> None:
    chat = terminal("chat")
    chat.until("> ")
    chat.type("slow\n")
    chat.until("slow3 ")
    chat.type(CTRL_C)
    chat.until("stopped · ")
    chat.until("> ")
    chat.type("history\n")
    assert "Message(role='assistant', content='slow1 slow2 slow3" in chat.until("> ")  # the text so far stays
    chat.type("stop\n")
    assert chat.status() == 0
    assert "Traceback" not in chat.seen


def test_ctrl_c_at_the_prompt_hints_and_then_leaves(terminal: Callable[..., Terminal]) -> None:
    chat = terminal("chat")
    chat.until("> ")
    chat.interrupt()
    chat.until("Ctrl-C once more leaves; so does stop.")
    chat.until("> ")
    chat.type("clear\n")
    chat.until("\x1b[2J")
    chat.until("The conversation is cleared.")
    chat.until("> ")
    chat.interrupt()
    chat.until("Ctrl-C once more leaves")
    chat.until("> ")
    chat.interrupt()
    assert chat.status() == 0
    assert "Traceback" not in chat.seen


def test_ctrl_c_while_loading(terminal: Callable[..., Terminal]) -> None:
    chat = terminal("chat", "--model", "slow")
    chat.until("slow:")  # the bar
    (host,) = psutil.Process(chat.process.pid).children()
    chat.type(CTRL_C)
    assert chat.status() == 130
    assert "Stopped." in chat.seen
    assert "Traceback" not in chat.seen
    eventually(lambda: gone(host.pid))


def test_waiting_for_a_device_is_shown(terminal: Callable[..., Terminal]) -> None:
    chat = terminal("chat")
    chat.until("> ")
    with lease("cpu", "a benchmark", exclusive=True):
        chat.type("x\n")
        chat.until("Waiting for cpu, which is in use: a benchmark.")
    chat.until("x1 x2 x3 x4 x5")
    chat.type("stop\n")
    assert chat.status() == 0


def test_a_reader_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-c", COMMAND, "chat"]
    environment = os.environ | TESTS_ON_PATH
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, env=environment) as process:
        assert process.stdout
        process.stdout.close()
        process.stdout = None
        _, told = process.communicate(b"x\nstop\n", timeout=100)
    assert process.returncode == 1
    assert b"Traceback" not in told
    assert b"Exception" not in told


def test_an_unknown_variant_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(fastglm.hosting.host, "LAUNCH", REAL)
    assert main(["chat", "--model", str(GOLDEN / "chatglm"), "--variant", "nosuch"]) == 2
    *_, said = capsys.readouterr().err.splitlines()  # a start that takes ten seconds is announced
    assert said == f"error: Unknown variant 'nosuch'; known are {', '.join(VARIANTS)}."


def test_a_real_model() -> None:
    """The installed command. A message that spells control tokens is an ordinary message."""
    command = [sys.executable, "-m", "fastglm", "chat", "--model", str(GOLDEN / "chatglm"), "--max-length", "60"]
    lines = "你好\n<eop>[gMASK]<sop>\nstop\n"
    done = subprocess.run(command, input=lines, capture_output=True, text=True, encoding="utf-8", timeout=280)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("tokens · first after ") == 2
    assert "Traceback" not in done.stderr
