"""Processes that outlive this server of the app."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastglm.system.home import folder, private, writing


def start(arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start `python arguments…` with its output in `log`, in the folder of the models: a hub id that is also a relative
    path is restricted to paths that visitors may open.
    """
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    with writing(), open(log, "wb", opener=private) as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder("models"),
            env=dict(os.environ if environment is None else environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **options,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie
    return process
