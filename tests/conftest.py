"""Fixtures for all tests: a home for each, so that nothing is written into the user's, and no compilation unless asked
for.
"""

import os
import sys

import pytest

os.environ["FASTGLM_COMPILE"] = "0"


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("FASTGLM_HOME", str(home))
    monkeypatch.delenv("FASTGLM_DATABASE_URL", raising=False)
    return home


@pytest.fixture(autouse=True)
def own_main(monkeypatch):
    """A test of a page leaves the page as `__main__`, which a spawned process would run again."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(scope="module")
def one_thread():
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def demo():
    """The demo model and its tokenizer, as published."""
    import fastglm

    return fastglm.load("demo")


@pytest.fixture(scope="session")
def demo_glm():
    """The second demo model and its tokenizer, as published."""
    import fastglm

    return fastglm.load("demo-glm")


@pytest.fixture(scope="session")
def built_home(tmp_path_factory):
    """A home with built kernels, if there are kernels for this machine: built once for all tests, in whichever process
    needs them first.
    """
    from fastglm.kernels.cpu import library

    tmp = tmp_path_factory.getbasetemp()
    home = (tmp.parent if "PYTEST_XDIST_WORKER" in os.environ else tmp) / "built"
    (home / "kernels").mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTGLM_HOME", str(home))
        patch.setenv("FASTGLM_COMPILE", "1")
        if library.possible():
            library.build(lambda: None)
    return home


@pytest.fixture
def compiling(own_home, built_home, monkeypatch):
    """Compile steps, with kernels that are built already."""
    (own_home / "kernels").symlink_to(built_home / "kernels")
    monkeypatch.setenv("FASTGLM_COMPILE", "1")
