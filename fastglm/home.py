"""Where compressed variants, results and logs are kept: `FASTGLM_HOME`, or the platform's user data folder."""

import os
from pathlib import Path


def home() -> Path:
    """The folder that holds everything this package writes; it is not created here."""
    if chosen := os.environ.get("FASTGLM_HOME"):
        return Path(chosen).expanduser().resolve()
    from platformdirs import user_data_path  # not needed, and often not installed, where FASTGLM_HOME is set

    return user_data_path("fastglm", appauthor=False)


def folder(name: str) -> Path:
    """`home()/name`, created if need be."""
    path = home() / name
    path.mkdir(parents=True, exist_ok=True)
    return path
