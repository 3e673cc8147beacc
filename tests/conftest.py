"""Every test has a home of its own, so that nothing is written into the user's; nothing is compiled unless it is asked
for."""

import os

import pytest

os.environ["FASTGLM_COMPILE"] = "0"


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("FASTGLM_HOME", str(home))
    return home
