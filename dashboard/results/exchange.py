"""Files of results: downloads and uploads."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from benchmarks.exchange.exchange import export_runs, import_runs
from benchmarks.report import html
from benchmarks.store import find_run
from benchmarks.store.store import Store
from dashboard.markup import Markdown, plain
from dashboard.texts import say
from fastglm.errors import FastGLMError

FORMATS = {
    "JSON": (".json", "application/json"),
    "CSV": (".csv", "text/csv"),
    "Parquet": (".parquet", "application/vnd.apache.parquet"),
}
UPLOAD = 200  # MB


def offer(store: Store, run_ids: Sequence[str]) -> None:
    """Draw the download buttons of runs."""
    with st.popover(say("export", count=len(run_ids)), icon=":material/download:"):
        st.caption(say("export-help"))
        for name, (suffix, kind) in FORMATS.items():
            st.download_button(
                name,
                partial(exported, store, run_ids, suffix),
                f"{run_ids[0] if len(run_ids) == 1 else 'fastglm-results'}{suffix}",
                kind,
                on_click="ignore",
                width="stretch",
            )


def exported(store: Store, run_ids: Sequence[str], suffix: str) -> bytes:
    """A file of runs."""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"runs{suffix}")
        export_runs(store, path, run_ids)
        return path.read_bytes()


def report(store: Store, run: pd.Series) -> Callable[[], str]:
    """A function that makes the report of a run as a page that needs no network."""
    facts = {str(name): value for name, value in run.items()}

    def make() -> str:
        return html.page(facts, find_run.measurements_of(store, run["id"]), store.samples([run["id"]]))

    return make


def take_in(store: Store) -> None:
    """Let the visitor upload a file of runs; the outcome stays beside the field."""
    file = st.file_uploader(say("import"), "json", key="import", max_upload_size=UPLOAD, help=say("import-help"))
    if file is None:
        return
    name, kind, text = st.session_state.get("imported", ("", "", ""))
    if name != file.file_id:
        with st.spinner(say("importing")):
            st.session_state["imported"] = (file.file_id, *_import(store, file))
        st.rerun()
    told = {"success": st.success, "warning": st.warning, "error": st.error}[kind]
    told(text)


def _import(store: Store, file: UploadedFile) -> tuple[str, Markdown]:
    """Import a file; returns the kind of news and one line about the runs in it."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "runs.json")
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        try:
            done = import_runs(store, path)
        except FastGLMError as error:
            return "error", plain(str(error).replace(str(path), file.name))
    counts = {name: len(ids) for name, ids in vars(done).items()}
    told = say("imported", name=file.name, **counts)
    return ("warning", Markdown(f"{told} {say('import-refused')}")) if done.refused else ("success", told)
