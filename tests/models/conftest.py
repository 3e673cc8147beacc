"""Fixtures of the recorded prefixes."""

import pytest
from learned import PREFIXES, recorded


@pytest.fixture(scope="module", params=PREFIXES)
def record(request):
    return recorded(request.param)


@pytest.fixture(scope="module")
def plain():
    """The prefix without projection."""
    return recorded(PREFIXES[0])
