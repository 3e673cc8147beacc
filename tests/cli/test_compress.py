"""`fastglm compress`: its result, and its messages for people and for programs."""

import json
from pathlib import Path

import pytest

from fastglm.cli.commands import main
from fastglm.errors import CancelledError, DiskShortError

GOLDEN = Path(__file__).parents[1] / "golden"


def test_compress(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["compress", "--model", str(GOLDEN / "chatglm"), "--recipe", "int8", "--out", str(tmp_path / "small")]
    assert main(command) == 0
    assert f"fastglm chat --model {tmp_path / 'small'}" in capsys.readouterr().out
    assert (tmp_path / "small" / "config.json").is_file()
    assert main(command) == 2  # it exists already
    assert "exists" in capsys.readouterr().err


def test_compress_tells_programs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["compress", "--model", str(GOLDEN / "chatglm"), "--out", str(tmp_path / "out"), "--progress", "json"]
    assert main([*command, "--recipe", "int8"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[-2]["event"] == "progress"
    assert any(line.get("stage") == "step 1 of 1: quantise to int8" for line in told)
    assert told[-1] == {"event": "done", "status": "done"}
    assert main([*command, "--recipe", "turbo"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["event"] == "error"
    assert shown.err.startswith("error: Recipe turbo, step 1 (prune-depth): it needs texts")


def test_compress_that_is_stopped_or_breaks_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import fastglm

    def end_in(error: Exception) -> int:
        def compress(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(fastglm, "compress", compress)
        return main(["compress", "--out", "x"])

    assert end_in(CancelledError("Stopped. It goes on.")) == 130
    assert capsys.readouterr().err == "Stopped. It goes on.\n"
    full = DiskShortError("No room.")
    full.add_note("It goes on.")
    assert end_in(full) == 1
    assert capsys.readouterr().err == "error: No room.\nIt goes on.\n"
