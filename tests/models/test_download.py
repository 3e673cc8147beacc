"""Downloads from a hub that is a server in this process: the requests, their order, and forbidden ones."""

import hashlib
import json
import shutil
import threading
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from recorded import folder

from fastglm.convert.conversion import convert
from fastglm.convert.kinds import Layout
from fastglm.errors import CheckpointError, DiskShortError, FastGLMError, UsageError
from fastglm.models import download as downloads
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.download import download
from fastglm.models.source import find_source

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "zai-org/chatglm-6b"
GB = 10**9


class Hub:
    """Files of repositories, their declared sizes, and the requests received."""

    def __init__(self):
        self.files, self.sizes, self.asked = {}, {}, []

    def add(self, repo, **changes):
        """The tiny checkpoint as a repository, with files of other content, or None for none."""
        found = {path.name: path.read_bytes() for path in folder("chatglm").iterdir() if "expected" not in path.name}
        found |= {"modeling_chatglm.py": b"print('run')", "README.md": b"# x", "sub/pytorch_model.bin": b"x"}
        for name, content in changes.items():
            name = name.replace("__", ".")
            found.pop(name, None)
            if content is not None:
                found[name] = content
        self.files[repo] = found

    def loaded(self):
        """The files whose content was fetched."""
        return [name for method, name in self.asked if method == "GET" and not name.startswith("api/")]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    fake = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def answer(self, status, content=b"", **headers):
            self.send_response(status)
            headers = {"X_Repo_Commit": COMMIT, "Content_Length": str(len(content)), **headers}
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = self.path.partition("?")[0].strip("/")
            if path.startswith("api/models/"):
                fake.asked.append((self.command, path))
                repo = "/".join(path.split("/")[2:4])
                files = fake.files.get(repo)
                if files is None:
                    return self.answer(404, X_Error_Code="RepoNotFound")
                if "/tree/" in path:
                    rows = [{"type": "file", "path": n, "size": len(c), "oid": "0" * 40} for n, c in files.items()]
                    return self.answer(200, json.dumps(rows).encode(), Content_Type="application/json")
                told = [{"rfilename": n, "size": fake.sizes.get(n, len(c))} for n, c in files.items()]
                content = {"_id": "0" * 24, "id": repo, "modelId": repo, "sha": COMMIT, "siblings": told}
                return self.answer(200, json.dumps(content).encode(), Content_Type="application/json")
            if path.count("/") < 4:  # not from a repository
                return self.answer(404)
            owner, name, _, _, file = path.split("/", 4)
            fake.asked.append((self.command, file))
            content = fake.files.get(f"{owner}/{name}", {}).get(file)
            if content is None:
                return self.answer(404, X_Error_Code="EntryNotFound")
            return self.answer(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"')

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    for place, value in (
        ("ENDPOINT", address),
        ("HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"),
        ("HF_HUB_CACHE", str(tmp_path / "cache")),
    ):
        monkeypatch.setattr(f"huggingface_hub.constants.{place}", value)
    yield fake
    server.shutdown()
    server.server_close()


def test_the_config_comes_first_and_only_what_is_needed(hub):
    hub.add(REPO)
    made = download(REPO)
    assert Checkpoint(made).places
    loaded = hub.loaded()
    assert loaded[0] == "config.json"
    assert sorted(loaded) == ["config.json", "ice_text.model", "pytorch_model.bin", "tokenizer_config.json"]
    before = len(hub.asked)
    assert download(REPO) == made  # the file exists, so nothing is requested
    assert len(hub.asked) == before


def test_one_form_of_the_weights_is_enough(hub):
    hub.add(REPO, model__safetensors=b"not read here")
    download(REPO)
    assert "model.safetensors" in hub.loaded()
    assert "pytorch_model.bin" not in hub.loaded()


def config(**fields):
    return json.dumps(json.loads((folder("chatglm") / "config.json").read_text()) | fields).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (config(model_type="llama"), "'llama', not chatglm"),
        (
            b'{"model_type": "chatglm", "multi_query_attention": true, "multi_query_group_num": 3}',
            "share the keys of 3 groups",
        ),
        (config(num_layers=10**9), "num_layers"),
        (config(quantization_config={"quant_method": "gptq"}), "gptq"),
        (b"{", "JSON"),
        (b"[" * 100_000, "JSON"),
        (None, r"no config\.json"),
        (b"", r"no config\.json"),
    ],
)
def test_weights_of_what_is_no_checkpoint_are_not_loaded(hub, content, said):
    hub.add(REPO, config__json=content)
    with pytest.raises(CheckpointError, match=said) as raised:
        download(REPO)
    assert "\n" not in str(raised.value)
    assert set(hub.loaded()) <= {"config.json"}


def test_a_conversion_that_has_nothing_to_do_loads_no_weights(hub, tmp_path):
    hub.add(REPO, config__json=config(model_type="glm", num_attention_heads=4))
    with pytest.raises(UsageError, match="nothing to convert"):
        convert(REPO, Layout.glm, tmp_path / "out")
    assert set(hub.loaded()) <= {"config.json"}


def test_a_repository_without_weights_is_refused(hub):
    hub.add(REPO, pytorch_model__bin=None)
    with pytest.raises(CheckpointError, match="no weights"):
        download(REPO)


def test_a_huge_config_is_not_loaded(hub):
    hub.add(REPO)
    hub.sizes["config.json"] = 50 * 10**6
    with pytest.raises(CheckpointError, match=r"no config\.json that could be read"):
        download(REPO)
    assert not hub.loaded()


def test_a_disk_that_is_too_small_is_reported_before_the_download(hub, monkeypatch):
    hub.add(REPO)
    hub.sizes["pytorch_model.bin"] = 13 * GB
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage(20 * GB, 8 * GB, 12 * GB))
    with pytest.raises(DiskShortError, match=r"needs 13\.3 GB, 12\.0 GB are free"):
        download(REPO)
    assert hub.loaded() == ["config.json"]


@pytest.mark.parametrize(("size", "restricted", "told"), [(21, True, None), (5, False, "4"), (5, True, "4.5")])
def test_there_is_a_limit_for_visitors(hub, monkeypatch, size, restricted, told):
    hub.add(REPO)
    hub.sizes["pytorch_model.bin"] = size * GB
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage(0, 0, 10**15))
    if told:
        monkeypatch.setenv("FASTGLM_MAX_DOWNLOAD", told)
    with pytest.raises(UsageError, match=r"are downloaded here"):
        find_source(REPO, restricted).fetch()
    assert hub.loaded() == ["config.json"]


def test_the_owner_has_no_limit_and_a_visitor_a_wide_one(hub):
    hub.add(REPO)
    assert find_source(REPO, restricted=True).fetch().is_dir()
    assert downloads._most(restricted=False) == float("inf")


def test_a_limit_that_is_no_number_is_named(hub, monkeypatch):
    monkeypatch.setenv("FASTGLM_MAX_DOWNLOAD", "much")
    with pytest.raises(UsageError, match="FASTGLM_MAX_DOWNLOAD must be a number of GB"):
        download(REPO)


def test_a_download_that_was_stopped_goes_on(hub, monkeypatch):
    hub.add(REPO)
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: (_ for _ in ()).throw(OSError("cut")))
        with pytest.raises(CheckpointError):
            download(REPO)  # only the config exists
    assert hub.loaded() == ["config.json"]
    assert Checkpoint(download(REPO)).places


def test_lost_files_are_downloaded_again(hub):
    hub.add(REPO)
    made = download(REPO)
    (made / "pytorch_model.bin").resolve().unlink()
    assert Checkpoint(download(REPO)).places


@pytest.mark.parametrize(("known", "asked"), [(REPO, "THUDM/chatglm-6b"), ("THUDM/chatglm-6b", REPO)])
def test_the_other_name_of_the_organisation_is_tried(hub, known, asked):
    hub.add(known)
    assert Checkpoint(find_source(asked).fetch()).places


def test_an_unknown_id_and_a_hub_that_is_away_say_what_to_do(hub, monkeypatch):
    with pytest.raises(CheckpointError, match="check the id"):
        download("someone/nothing")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match="HF_ENDPOINT") as raised:
        download(REPO)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("model", ["a\0b", "x" * 5000, "~nobody-of-this-name/x", "/" + "y/" * 5000])
def test_a_name_that_no_disk_can_have_is_named(model):
    for restricted in (False, True):
        with pytest.raises(FastGLMError):
            find_source(model, restricted)


def test_a_model_may_be_a_path(tmp_path):
    shutil.copytree(folder("chatglm"), tmp_path / "a" / "b")
    assert find_source(tmp_path / "a" / "b").kind == "folder"
    with pytest.raises(CheckpointError, match="no such folder"):
        find_source((tmp_path / "THUDM" / "nothing").relative_to("/"))
