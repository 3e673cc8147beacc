"""Both languages have the same messages, and every requested message exists."""

import ast
from pathlib import Path

import pytest
from fluent.syntax import FluentParser
from fluent.syntax import ast as fluent

from dashboard import texts

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / "streamlit_app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "dashboard").glob("**/*.py")]


def messages(language: str, folder: str = "dashboard/texts") -> dict[str, fluent.Message]:
    text = (ROOT / folder / f"{language}.ftl").read_text(encoding="utf-8")
    entries = FluentParser().parse(text).body
    assert not [entry for entry in entries if isinstance(entry, fluent.Junk)], f"{language}.ftl does not parse"
    return {entry.id.name: entry for entry in entries if isinstance(entry, fluent.Message)}


def variables(node: object) -> set[str]:
    """The names of the values in a message."""
    if isinstance(node, fluent.VariableReference):
        return {node.id.name}
    parts = vars(node).values() if isinstance(node, fluent.BaseNode) else node if isinstance(node, list) else ()
    return set().union(*(variables(part) for part in parts)) if parts else set()


def asked() -> dict[str, set[str]]:
    """The message keys that the app requests, with the values it gives; every key is spelled out, so that a search
    finds it.
    """
    found: dict[str, set[str]] = {}
    for source in SOURCES:
        for call in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "say":
                key = call.args[0]
                assert isinstance(key, ast.Constant), (
                    f"{source.name}:{call.lineno} asks for a key that is not spelled out"
                )
                if all(keyword.arg for keyword in call.keywords):
                    found[key.value] = {str(keyword.arg) for keyword in call.keywords}
                else:
                    found.setdefault(key.value, set())
    return found


@pytest.mark.parametrize("folder", ["dashboard/texts", "benchmarks/captions"])
def test_both_languages_have_the_same_keys(folder: str) -> None:
    english, chinese = messages("en", folder), messages("zh", folder)
    assert english.keys() == chinese.keys()
    for key in english:
        assert variables(chinese[key]) <= variables(english[key]) | {"count"}, key


def test_every_text_that_is_asked_for_exists_and_every_text_is_asked_for() -> None:
    english = messages("en")
    used = asked()
    assert used.keys() == english.keys()
    for key, given in used.items():
        assert not given or variables(english[key]) <= given, key


def test_plurals_and_missing_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "language", lambda: "en")
    assert texts.say("queued", count=1) == "1 answer before yours"
    assert texts.say("queued", count=2) == "2 answers before yours"
    with pytest.raises(LookupError, match="count"):
        texts.say("queued")
    with pytest.raises(LookupError, match="nonsense"):
        texts.say("nonsense")
    monkeypatch.setattr(texts, "language", lambda: "zh")
    assert texts.say("queued", count=2) == "前面还有 2 个回答"
