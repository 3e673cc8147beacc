"""A pace of prompts that does not depend on the speed of the machine."""

import pytest

from fastglm.engine.pace import Pace


@pytest.fixture(autouse=True)
def steady_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let short prompts run whole, several in a round."""
    monkeypatch.setattr(Pace, "budget", 1000)
