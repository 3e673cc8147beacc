"""A recipe: the steps of a compression in order, as data that is read from and written to YAML.

name: mine
seed: 0
steps:
  - prune-depth: {share: 0.2}
  - distil: {steps: 4000}
  - quantise: {format: int4-g128}
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from ..errors import UsageError
from ..system.files import read_regular
from .configs import Facts
from .steps import STEPS, Step

LARGEST = 64 << 10  # bytes of a recipe
_MOST, _DEEPEST, _LONGEST = 1000, 12, 1000  # values, levels of lists and tables, and characters of a text in it
_KEYS = ("name", "seed", "steps")
_KINDS = {int: "a whole number", float: "a number", str: "a word", dict: "a table of fields"}


class _Loader(yaml.SafeLoader):
    """Refuses aliases: with them a few lines can mean a billion values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose everything else as yaml does."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(problem="a recipe has no aliases (*name)", problem_mark=mark)
        return super().compose_node(parent, index)


@dataclass(frozen=True)
class Recipe:
    """A recipe. Creating one raises UsageError if its steps cannot run in this order on any model."""

    name: str
    steps: tuple[Step, ...]
    seed: int = 0  # seed of random choices; equal recipe and seed give equal weights on the same machine

    def __post_init__(self) -> None:
        if not self.steps:
            raise UsageError(f"Recipe {self.name} has no steps: name some of {', '.join(STEPS)}.")
        for number, step in enumerate(self.steps):
            before = [earlier.name for earlier in self.steps[:number]]
            with self._at(number):
                if "quantise" in before:
                    raise UsageError("nothing can follow quantise: put it last")
                for name in before:
                    if name in step.cannot_follow:
                        raise UsageError(f"it cannot follow {name}: {step.cannot_follow[name]}")

    @classmethod
    def from_yaml(cls, text: str, name: str) -> "Recipe":
        """Read a recipe from YAML text.

        Args:
            name: the recipe's name in errors, and if the text has none.

        Raises:
            UsageError: not YAML, or not a recipe; one line gives place and fault.
        """
        if len(text) > LARGEST:
            raise UsageError(f"{name} is not a recipe: it is larger than {LARGEST >> 10} kB.")
        try:
            data = yaml.load(text, _Loader)
        except (ValueError, OverflowError) as error:  # thousands of digits, the 99th of a month
            raise UsageError(f"{name} is not a recipe: a number is too large, or a date is invalid.") from error
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
            raise UsageError(f"{name}{f', line {mark.line + 1}' if mark else ''} is not YAML: {problem}.") from error
        return cls.from_dict(data, name)

    @classmethod
    def from_dict(cls, data: Any, name: str) -> "Recipe":
        """Read a recipe from the data of YAML or JSON. Raises UsageError as `from_yaml` does."""
        _check_bounds(data, name)
        if not isinstance(data, dict) or not isinstance(data.get("steps"), list):
            raise UsageError(f'{name} is not a recipe: it needs a list of "steps", and may have "name" and "seed".')
        for key in data:
            if key not in _KEYS:
                raise UsageError(f"{name} has no {key!r}{_meant(str(key), _KEYS)}; a recipe has {', '.join(_KEYS)}.")
        title, seed = data.get("name", name), data.get("seed", 0)
        if not isinstance(title, str) or not title.strip() or not title.isprintable():
            raise UsageError(f"{name}: the name must be a word (got {title!r}).")
        if type(seed) is not int or not 0 <= seed < 1 << 63:
            raise UsageError(f"{name}: seed must be a whole number, 0 or more (got {seed!r}).")
        return cls(title, tuple(_step(name, number, item) for number, item in enumerate(data["steps"], 1)), seed)

    def as_dict(self) -> dict[str, Any]:
        """The recipe as plain data, which `from_dict` reads."""
        steps = [{s.name: {k: v for k, v in asdict(s).items() if v is not None}} for s in self.steps]
        return {"name": self.name, "seed": self.seed, "steps": steps}

    def to_yaml(self) -> str:
        """The recipe as YAML, which `from_yaml` reads."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True)

    @property
    def needs_texts(self) -> bool:
        """Tell whether a step needs texts."""
        return any(step.needs_texts for step in self.steps)

    def configs(self, config: Facts) -> list[Facts]:
        """The config of a model after each step. Raises UsageError for a step that it cannot go through."""
        found = [config]
        for number, step in enumerate(self.steps):
            with self._at(number):
                found.append(step.config(found[-1]))
        return found[1:]

    def check_texts(self, given: bool) -> None:
        """Raise UsageError if a step needs texts and none are given."""
        for number, step in enumerate(self.steps):
            with self._at(number):
                if step.needs_texts and not given:
                    raise UsageError("it needs texts: name a file with --texts, or demo for the demo model's world")

    @contextmanager
    def _at(self, number: int) -> Iterator[None]:
        with _at(f"Recipe {self.name}", number + 1, self.steps[number].name):
            yield


def named_recipes() -> dict[str, Path]:
    """The recipes that come with the package, and their files."""
    folder = Path(str(files("fastglm.compress"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(recipe: str | Path) -> Recipe:
    """Find the recipe of a name or a file.

    Raises:
        UsageError: there is none, or it is wrong.
    """
    named = named_recipes()
    if str(recipe) in named:
        return Recipe.from_yaml(named[str(recipe)].read_text(encoding="utf-8"), str(recipe))
    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml") and not os.path.isfile(path):
        known = f"known are {', '.join(named)}, and files in YAML"
        raise UsageError(f"Unknown recipe {str(recipe)!r}{_meant(str(recipe), list(named))}; {known}.")
    try:
        text = read_regular(path, LARGEST).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read as UTF-8 ({error.reason}): save the file as UTF-8.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be read ({reason}): name a recipe's file in YAML.") from error
    return Recipe.from_yaml(text, path.stem)


def _check_bounds(data: Any, name: str) -> None:
    """Raise UsageError for more values, levels, digits or characters than any recipe has, because errors repeat
    them.
    """
    waiting, count = [(data, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        parts = [part for pair in value.items() for part in pair] if isinstance(value, dict) else value
        if isinstance(value, dict | list | tuple | set):
            waiting += [(part, depth + 1) for part in parts]
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise UsageError(f"{name} is not a recipe: a number in it has more than 19 digits.")
        elif isinstance(value, str | bytes) and len(value) > _LONGEST:
            raise UsageError(f"{name} is not a recipe: a text in it is longer than {_LONGEST} characters.")
        if depth > _DEEPEST or count + len(waiting) > _MOST:
            raise UsageError(
                f"{name} is not a recipe: it has more than {_MOST} values, or more than {_DEEPEST} levels."
            )


def _step(recipe: str, number: int, item: Any) -> Step:
    """A step in its YAML form: its name, alone or with fields."""
    if isinstance(item, str):
        item = {item: None}
    if not isinstance(item, dict) or len(item) != 1:
        raise UsageError(f"{recipe}, step {number}: write a step's name with its fields, - quantise: {{…}}.")
    ((name, told),) = item.items()
    if name not in STEPS:
        known = f"known are {', '.join(STEPS)}"
        raise UsageError(f"{recipe}, step {number}: there is no {name!r}{_meant(str(name), STEPS)}; {known}.")
    with _at(recipe, number, name):
        return STEPS[name](**_fields(STEPS[name], told or {}))


def _fields(kind: type[Step], told: Any) -> dict[str, Any]:
    """The fields of a step, checked against their types."""
    names = [field.name for field in fields(kind)]
    if not isinstance(told, dict):
        raise UsageError(f"write its fields by name: {', '.join(names)}" if names else "it has no fields")
    hints = get_type_hints(kind)
    found = {}
    for name, value in told.items():
        if name not in names:
            has = f"it has {', '.join(names)}" if names else "it has none"
            raise UsageError(f"there is no field {name!r}{_meant(str(name), names)}; {has}")
        found[name] = _typed(name, value, hints[name])
    return found


def _typed(name: str, value: Any, hint: Any) -> Any:
    """Convert a value to its field's type: 1 may stand for 1.0, and 1e-3, which YAML reads as a word, for a number."""
    kinds = [get_origin(kind) or kind for kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,))]
    if type(value) in kinds:
        return value
    if float in kinds and type(value) in (int, str):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    wanted = " or ".join(_KINDS[kind] for kind in kinds if kind in _KINDS)
    raise UsageError(f"{name} must be {wanted} (got {value!r})")


@contextmanager
def _at(recipe: str, number: int, name: str) -> Iterator[None]:
    """A block whose errors name the step."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{recipe}, step {number} ({name}): {str(error).rstrip('.')}.") from error


def _meant(word: str, known: Mapping[str, Any] | list[str] | tuple[str, ...]) -> str:
    close = get_close_matches(word, list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""
