"""Records of compressions: the model that a folder was made from, and records that no compression has written."""

import json
from pathlib import Path
from typing import Any

import pytest

from fastglm.compress.manifest import FILE, origin, parents, read_manifest
from fastglm.errors import CheckpointError
from fastglm.models.source import Source


def _made(folder: Path, record: dict[str, Any]) -> Source:
    (folder / FILE).write_text(json.dumps(record), encoding="utf-8")
    return Source(str(folder), "folder", folder)


def test_the_origin_is_the_farthest_parent(tmp_path: Path) -> None:
    assert origin(Source("a folder", "folder", tmp_path)) == "a folder"
    assert origin(_made(tmp_path, {"parents": [{"model": "near"}, {"model": "demo-glm"}]})) == "demo-glm"
    assert origin(_made(tmp_path, {"parents": []})) == str(tmp_path)


@pytest.mark.parametrize("listed", [[{}], ["demo"], [{"model": 3}], {"model": "demo"}, "demo", None])
def test_a_record_with_broken_parents_is_refused_in_one_line(tmp_path: Path, listed: Any) -> None:
    source = _made(tmp_path, {"parents": listed})
    for read in (lambda: origin(source), lambda: read_manifest(tmp_path), lambda: parents("m", tmp_path, {})):
        with pytest.raises(CheckpointError, match="not as a compression writes it: make the model again"):
            read()
