"""Settings for this folder: the models are so small that a second thread only costs time."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def quick(one_thread: None) -> None: ...
