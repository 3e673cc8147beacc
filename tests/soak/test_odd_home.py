"""Processes of the app in a home whose name contains every odd letter."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="kernels and steps are compiled on Linux")
def test_kernels_steps_variants_and_models_are_made_in_a_home_of_any_name(tmp_path: Path) -> None:
    home = tmp_path / "a?b%41#c'd\"e $x;中"
    environment = os.environ | {"FASTGLM_HOME": str(home), "FASTGLM_COMPILE": "1"}
    python, made = [sys.executable, "-m"], str(home / "models" / "made")
    for command, said in (
        (["fastglm", "chat", "--variant", "int8"], "你好\nstop\n"),
        (["fastglm", "compress", "--recipe", "int8", "--out", made], ""),
        (["benchmarks", "list"], ""),
    ):
        ended = subprocess.run(
            [*python, *command], env=environment, input=said, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert "could not be compiled" not in ended.stderr
    assert {path.name for path in home.iterdir()} >= {"kernels", "steps", "variants", "models", "results", "logs"}
    assert [path.name for path in tmp_path.iterdir()] == [home.name]
    assert list((home / "steps").glob("*.so"))
    for path in (home, *home.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
