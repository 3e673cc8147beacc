"""Helpers for tests of pages."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[2]
TAB = "a-tab-that-nobody-can-guess"
# The variants that pages offer to measure by themselves.
DEMO_VARIANTS = ["original", "fast", "int8", "int4", "pruned", "distilled", "turbo", "speculative"]
PAGES = ["chat", "compare", "compress", "serve", "overview", "latency", "memory", "quality", "history", "limits"]
Open = Callable[..., AppTest]


def healthy(app: AppTest) -> AppTest:
    """The page; fails if it raised an error."""
    assert not app.exception, [failure.value for failure in app.exception]
    return app


def run_until(app: AppTest, true: Callable[[AppTest], object]) -> AppTest:
    """Run the page again, as its fragments do, until a condition is true."""
    for _ in range(100):
        if true(healthy(app.run())):
            return app
        time.sleep(0.05)
    pytest.fail("it did not come")


def words(app: AppTest) -> str:
    """All text of a page as displayed, with Markdown's special characters escaped."""
    names = ("title", "subheader", "markdown", "caption", "info", "success", "warning", "error", "html")
    found = [element for name in names for element in getattr(app, name)]
    return "\n".join(shown(str(element.value if hasattr(element, "value") else element.body)) for element in found)


def shown(text: str) -> str:
    """Remove the escapes of `dashboard.markup`."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text).replace("\u200b", "")


def box(app: AppTest, label: str) -> Any:
    return next(found for found in app.selectbox if found.label == label)


def button(app: AppTest, key: str) -> Any:
    """The button with a key, or None."""
    return next((found for found in app.button if found.key == key), None)


def press(app: AppTest, label: str) -> AppTest:
    """The page after a click on the button with a label."""
    return healthy(next(found for found in app.button if found.label == label).click().run())


def place(block: Any, element: Any) -> list[int]:
    """The position of an element in a block: the number of its container, of the container in that one, and so on."""
    for number, child in getattr(block, "children", {}).items():
        if child is element:
            return [number]
        if found := place(child, element):
            return [number, *found]
    return []
