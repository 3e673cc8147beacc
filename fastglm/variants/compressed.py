"""The checkpoints of variants that are not made on first use, because making them takes texts and training."""

import shlex
from functools import lru_cache
from pathlib import Path

from ..compress.manifest import FILE, read_manifest
from ..errors import CheckpointError
from ..models.folder import CheckpointFolder
from ..models.source import Source, allowed_folders
from ..system.home import home


def find_made(source: Source, recipe: str) -> Path | None:
    """The result of a recipe for a model, None if there is none: an embedded one, or otherwise the newest in the
    allowed folders that was made after the model's files.
    """
    if (embedded := find_embedded(source, recipe)) is not None:
        return embedded
    records = [record for root in allowed_folders() for record in (*root.glob(FILE), *root.glob(f"*/{FILE}"))]
    records = [record for record in records if _is_of(record.parent, source, recipe)]
    return max(records, key=lambda record: record.stat().st_mtime).parent if records else None


def find_embedded(source: Source, recipe: str) -> Path | None:
    """The result of a recipe that comes with an embedded model, None if there is none."""
    if source.kind != "embedded" or source.folder is None:
        return None
    made = source.folder.with_name("variants") / recipe
    return made if (made / FILE).is_file() else None


def how_to_make(source: Source, recipe: str) -> str:
    """The command that makes a variant, worded as the reason why the variant cannot run now."""
    out = home() / "models" / f"{Path(source.name).name}-{recipe}"
    model, place = shlex.quote(source.name), shlex.quote(str(out))
    texts = source.name if source.kind == "embedded" else "FILE"
    return f"is not made yet: fastglm compress --model {model} --recipe {recipe} --texts {texts} --out {place}"


def _is_of(made: Path, source: Source, recipe: str) -> bool:
    try:
        changed = (made / FILE).stat().st_mtime
        if _origin(made, changed) != (recipe, source.name):
            return False
        shards = CheckpointFolder(source.folder).shards if source.folder else []
        return all(shard.stat().st_mtime <= changed for shard in shards)
    except (CheckpointError, KeyError, IndexError, TypeError, OSError):
        return False


@lru_cache(256)
def _origin(made: Path, _changed: float) -> tuple[str, str]:
    """The recipe and the model of a checkpoint, cached until its record changes, because pages ask whenever they are
    drawn.
    """
    record = read_manifest(made) or {}
    return record["recipe"]["name"], record["parents"][0]["model"]
