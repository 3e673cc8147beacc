"""A conversation in a terminal: answers on standard output, everything else on standard error."""

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

import typer

from fastglm.errors import FastGLMError
from fastglm.generation.piece import Piece
from fastglm.hosting.answer import Answer
from fastglm.hosting.host import Host
from fastglm.messages import Message
from fastglm.system.files import in_words

# Characters that could move the cursor or ring the bell; a model may write anything.
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
_ERASE = "\x1b[2J\x1b[3J\x1b[H"  # erase the screen and its scrollback, and move to the top


class TerminalChat:
    """Reads messages until `stop` or the end of the input. `clear` forgets the conversation, an empty line does
    nothing.

    Ctrl-C stops an answer; pressed twice at the prompt it leaves.
    """

    def __init__(self, start: Callable[[], Host], settings: dict[str, Any], system: str = "") -> None:
        """Start a chat.

        Args:
            start: loads the model, again if its process has ended.
            settings: those of `fastglm.stream`.
            system: the text of a system message, which begins every conversation; empty for none.
        """
        self._start = start
        self._settings = settings
        self._before = [Message("system", system)] if system else []
        self._history = [*self._before]
        self._left_out = 0  # number of left-out rounds that the user knows of
        self._told_full = False  # the user knows that an answer ended with the context
        self._on_screen = sys.stdin.isatty() and sys.stdout.isatty()
        if self._on_screen:
            with contextlib.suppress(ImportError):  # not on Windows, whose console edits lines itself
                import readline  # noqa: F401  # lines can be edited, and earlier ones fetched back
        for stream in (sys.stdin, sys.stdout):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # an unreadable or undisplayable character is no reason to end

    def run(self) -> None:
        host = self._start()
        try:
            _tell(_headline(host))
            for message in self._messages():
                if not host.alive:
                    host = self._start()
                self._answer(host, message)
        finally:
            host.close()

    def _messages(self) -> Iterator[str]:
        """The user's messages to the model."""
        warned = False
        while True:
            try:
                line = input("> " if self._on_screen else "").strip()
            except EOFError:
                return
            except KeyboardInterrupt:
                if warned:
                    return
                warned = True
                _tell("\nCtrl-C once more leaves; so does stop.")
                continue
            warned = False
            if line == "stop":
                return
            if line == "clear":
                self._clear()
            elif line:
                yield line

    def _clear(self) -> None:
        self._history = [*self._before]
        self._left_out, self._told_full = 0, False
        if self._on_screen:
            print(_ERASE, end="", flush=True)
        _tell("The conversation is cleared.")

    def _answer(self, host: Host, message: str) -> None:
        answer = host.ask(message, self._history, owner="chat", **self._settings)
        try:
            try:
                _tell_waiting(answer, host.info.device)
                _print_growing(answer)
            except KeyboardInterrupt:
                answer.cancel()
                answer.wait()
        except FastGLMError as error:
            _tell(f"error: {error}", fg=typer.colors.RED)
        self._remember(host, message, answer)

    def _remember(self, host: Host, message: str, answer: Answer) -> None:
        """Keep an answer, also a stopped one, and print its figures."""
        piece = answer.piece
        if piece is None:
            if answer.state == "cancelled":
                _tell("Stopped.")
            return
        call = piece.call
        if answer.state != "failed":
            said = Message("assistant", call.content, call.name) if call else Message("assistant", piece.text)
            self._history += [Message("user", message), said]
        if call and call.fault:
            _tell(f"error: {call.fault}".translate(_CONTROLS), fg=typer.colors.RED)
        elif call:
            _tell(f"A call of the tool {call.name}, which nothing runs here: {call.arguments}".translate(_CONTROLS))
        _tell(_figures(answer, piece), dim=True)
        if piece.rounds_left_out > self._left_out:
            _tell(f"The context is full: the {piece.rounds_left_out} oldest rounds were left out.", dim=True)
        self._left_out = piece.rounds_left_out
        if piece.context_full and not self._told_full:
            self._told_full = True
            context = host.info.context_length
            _tell(
                f"The answer ends here, as prompt and answer fill the context of {context} tokens: the model's "
                "positions were made for no more, and texts beyond them lose their sense.",
                dim=True,
            )


def _tell(text: str, **style: Any) -> None:
    typer.secho(text, err=True, **style)


def _headline(host: Host) -> str:
    info = host.info
    name = f"{info.model} as {info.variant}" + (f" with {info.adapter}" if info.adapter else "")
    lines = [
        f"{name} on {info.device}, {info.dtype}, {in_words(info.weights_memory)} of weights.",
        *info.notes,
        "clear forgets the conversation, stop leaves, Ctrl-C stops an answer.",
    ]
    return "\n".join(lines)


def _tell_waiting(answer: Answer, device: str) -> None:
    """Wait until the answer runs or ends; print once who uses the device meanwhile."""
    told = False
    while answer.state in ("queued", "waiting") and not answer.wait(0.05):
        if answer.state == "waiting" and not told:
            _tell(f"Waiting for {device}, which is in use: {answer.waiting_for}.", dim=True)
            told = True


def _print_growing(answer: Answer) -> None:
    """Print the growing text, except for its last character, which the clean-up may still change."""
    text = shown = ""
    try:
        for piece in answer:
            text = piece.text.translate(_CONTROLS)
            if text[:-1].startswith(shown):
                print(text[len(shown) : -1], end="", flush=True)
                shown = text[:-1]
    finally:
        # If the clean-up changed more, the whole answer follows on its own line.
        print(text[len(shown) :] if text.startswith(shown) else f"\n{text}", flush=True)


def _figures(answer: Answer, piece: Piece) -> str:
    """The figures of an answer, in one line."""
    parts = ["stopped"] if answer.state == "cancelled" else []
    parts += [f"{piece.tokens} tokens", f"first after {piece.ttft:.2f} s"]
    if piece.decode_rate:
        parts.append(f"{piece.decode_rate:.1f} tokens/s")
    if piece.acceptance is not None:
        parts.append(f"{piece.acceptance:.0%} of the draft kept")
    if answer.memory:
        parts.append(f"memory {in_words(answer.memory.current)}, at most {in_words(answer.memory.peak)}")
    return " · ".join(parts)
