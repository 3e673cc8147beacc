"""Word lists and facts of the skills, stored as tab-separated tables."""

from functools import cache
from importlib.resources import files


@cache
def read_table(name: str) -> list[tuple[str, ...]]:
    """The rows of `data/<name>.tsv`, without empty lines and lines that start with `#`."""
    text = (files("fastglm.demo") / "data" / f"{name}.tsv").read_text(encoding="utf-8")
    return [tuple(line.split("\t")) for line in text.splitlines() if line and not line.startswith("#")]
