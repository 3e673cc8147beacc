"""Every test has a home of its own, so that nothing is written into the user's."""

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("FASTGLM_HOME", str(home))
    return home
