"""How the tables of the results store came to be, one step a file (Alembic), and the way from any step to the newest.

A new step is a file in `versions` with the next number, which `HEAD` then names; `benchmarks/tables.py` says what the
tables are after it. Steps that a user may have taken are never changed.
"""

import threading
from pathlib import Path

from sqlalchemy import Connection, inspect, text

HEAD = "0004"  # known without loading Alembic, because every page opens the store
VERSION_TABLE = "fastglm_revision"  # not Alembic's own name: a PostgreSQL database may serve other programs too
LOCK = 4607182418  # any number, the same in every program, of the lock on a PostgreSQL database
_one_at_a_time = threading.Lock()  # Alembic keeps the migration at work in a global


def revision(connection: Connection) -> str | None:
    """The step that the tables are at; `0001` for those from before there were steps, None where there are no tables.

    A number above those known here: the tables were written by a newer program.
    """
    tables = inspect(connection)
    if tables.has_table(VERSION_TABLE):
        found = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
        if found is not None:
            return str(found)
    if tables.has_table("fastglm_schema"):
        return f"{connection.scalar(text('SELECT version FROM fastglm_schema')):04}"
    return None


def lock(connection: Connection) -> None:
    """Let no other program change the tables until this transaction ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK})


def upgrade(connection: Connection, at: str | None) -> None:
    """Take the tables from step `at` to the newest, in the transaction that `lock` began."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with _one_at_a_time:
        if at is not None:
            command.stamp(config, at)  # tables from before there were steps carry no mark
        command.upgrade(config, "head")
