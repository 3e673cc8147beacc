"""Migration from the first program's tables to the newest, on both databases, also by several programs at once."""

import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from benchmarks.store import migrations
from benchmarks.store.schema import METADATA
from benchmarks.store.store import Store, StoreError

FIRST_TABLES = """
CREATE TABLE fastglm_schema (version INTEGER NOT NULL PRIMARY KEY);
INSERT INTO fastglm_schema (version) VALUES (1);
CREATE TABLE runs (id VARCHAR(40) NOT NULL PRIMARY KEY, started TIMESTAMP NOT NULL, finished TIMESTAMP,
 status VARCHAR(20) NOT NULL, error VARCHAR(2000), command VARCHAR(4000) NOT NULL, model VARCHAR(1000) NOT NULL,
 variants JSON NOT NULL, suites JSON NOT NULL, settings JSON NOT NULL, machine JSON NOT NULL, versions JSON NOT NULL,
 code_version VARCHAR(100) NOT NULL, pid INTEGER NOT NULL);
CREATE TABLE measurements (id {number}, run VARCHAR(40) NOT NULL,
 model VARCHAR(1000) NOT NULL, variant VARCHAR(100) NOT NULL, device VARCHAR(100) NOT NULL, metric VARCHAR(60) NOT NULL,
 params VARCHAR(500) NOT NULL, value FLOAT NOT NULL, unit VARCHAR(20) NOT NULL, n INTEGER NOT NULL, low FLOAT,
 high FLOAT, FOREIGN KEY (run) REFERENCES runs (id) ON DELETE CASCADE, UNIQUE (run, variant, metric, params));
CREATE INDEX ix_measurements_run ON measurements (run);
CREATE TABLE samples (id {number}, run VARCHAR(40) NOT NULL,
 variant VARCHAR(100) NOT NULL, metric VARCHAR(60) NOT NULL, params VARCHAR(500) NOT NULL, repeat INTEGER NOT NULL,
 "values" JSON NOT NULL, FOREIGN KEY (run) REFERENCES runs (id) ON DELETE CASCADE,
 UNIQUE (run, variant, metric, params, repeat));
CREATE INDEX ix_samples_run ON samples (run);
INSERT INTO runs VALUES ('20250101-000000-abcdef', '2025-01-01 00:00:00.123456', '2025-01-01 01:00:00', 'done', NULL,
 'python -m benchmarks run', 'demo', '["original"]', '["latency"]', '{{"repeats": 5}}', '{{"cpu": "某"}}',
 '{{"torch": "2.11"}}', 'abc', 7);
INSERT INTO measurements (run, model, variant, device, metric, params, value, unit, n, low, high) VALUES
 ('20250101-000000-abcdef', 'demo', 'original', 'cpu', 'ttft', '{{"prompt_tokens": 32}}', 0.25, 's', 5, 0.2, NULL);
INSERT INTO samples (run, variant, metric, params, repeat, "values") VALUES
 ('20250101-000000-abcdef', 'original', 'ttft', '{{"prompt_tokens": 32}}', 0, '[0.25]');
"""


def _do(url: str, script: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    engine.dispose()


def _first_tables(url: str) -> None:
    number = "INTEGER NOT NULL PRIMARY KEY" if url.startswith("sqlite") else "SERIAL PRIMARY KEY"
    _do(url, FIRST_TABLES.format(number=number))


def test_a_store_of_the_first_program_is_upgraded_with_nothing_lost(url: str) -> None:
    _first_tables(url)
    store = Store(url)
    (run,) = store.runs().to_dict("records")
    assert (run["id"], run["pid"], run["machine"], run["suites"]) == (
        "20250101-000000-abcdef",
        7,
        {"cpu": "某"},
        ["latency"],
    )
    assert run["started"].isoformat() == "2025-01-01T00:00:00.123456+00:00"
    (row,) = store.measurements().to_dict("records")
    assert (row["params"], row["value"], row["low"], row["n"]) == ({"prompt_tokens": 32}, 0.25, 0.2, 5)
    assert store.samples()["values"].tolist() == [[0.25]]
    store.delete([run["id"]])
    assert store.runs().empty


@pytest.mark.parametrize("before", ["nothing", "the first tables"])
def test_steps_lead_to_the_tables_of_the_program(url: str, before: str) -> None:
    if before == "the first tables":
        _first_tables(url)
    store = Store(url)
    with store._engine.connect() as connection:
        types = connection.dialect.name == "postgresql"  # SQLite hardly has types
        options = {"version_table": migrations.VERSION_TABLE, "compare_type": types}
        context = MigrationContext.configure(connection, opts=options)
        found = compare_metadata(context, METADATA)
    others = [step for step in found if not (step[0] == "remove_table" and step[1].name == "fastglm_schema")]
    assert others == []


def test_the_head_is_the_last_step() -> None:
    assert migrations.__file__
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


@pytest.mark.parametrize("marked", ["fastglm_revision SET version_num = '0099'", "fastglm_schema SET version = 99"])
def test_a_database_of_a_newer_program_is_refused_and_left_alone(url: str, marked: str) -> None:
    Store(url).close()
    if "schema" in marked:
        _do(url, "DROP TABLE fastglm_revision")
    _do(url, f"UPDATE {marked}")
    with pytest.raises(StoreError, match=r"newer FAST-ChatGLM .version 99 .*knows 4.: update this program") as caught:
        Store(url)
    assert "\n" not in str(caught.value)


def test_a_program_from_before_there_were_steps_refuses_the_tables(url: str) -> None:
    store = Store(url)
    with store._engine.connect() as connection:
        assert connection.scalar(text("SELECT version FROM fastglm_schema")) == 2


def _open(url: str, together: Any, said: Any) -> None:
    together.wait()
    try:
        said.put(len(Store(url).runs()))
    except BaseException as error:  # an error in another process, reported there
        said.put(repr(error))
        raise


@pytest.mark.parametrize("before", ["nothing", "the first tables"])
def test_programs_that_open_a_store_at_once(url: str, before: str) -> None:
    if before == "the first tables":
        _first_tables(url)
    processes = multiprocessing.get_context("fork")  # so that they need not import everything again
    together, said = processes.Barrier(4), processes.Queue()
    programs = [processes.Process(target=_open, args=(url, together, said)) for _ in range(4)]
    for program in programs:
        program.start()
    assert [said.get(timeout=120) for _ in programs] == [0 if before == "nothing" else 1] * 4
    for program in programs:
        program.join(60)
    assert [program.exitcode for program in programs] == [0] * 4


def test_an_open_store_does_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'results.sqlite'}"
    Store(url).close()
    code = "import sys; from benchmarks.store.store import Store; Store(sys.argv[1]); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_writer_of_an_old_file_is_waited_for(tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "results.sqlite", check_same_thread=False)
    writer.executescript("CREATE TABLE other (x); BEGIN IMMEDIATE")
    threading.Timer(0.5, writer.close).start()
    assert Store(f"sqlite:///{tmp_path / 'results.sqlite'}").runs().empty
