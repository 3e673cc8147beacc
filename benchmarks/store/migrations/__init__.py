"""The history of the store's tables, one step per file (Alembic), and the way from any step to the newest.

A new step is a file in `versions` with the next number, and `HEAD` names it; `benchmarks/store/schema.py` holds the
tables after it. Steps that a user may have taken are never changed.
"""

import threading
from pathlib import Path

from sqlalchemy import Connection, inspect, text

HEAD = "0004"  # kept here, because every page opens the store and Alembic takes long to load
VERSION_TABLE = "fastglm_revision"  # not Alembic's own name: a PostgreSQL database may serve other programs too
LOCK = 4607182418  # key of the lock on a PostgreSQL database: any number, equal in every program
_one_at_a_time = threading.Lock()  # Alembic keeps the running migration in a global


def revision(connection: Connection) -> str | None:
    """The step of the tables: `0001` for tables from before steps existed, None without tables.

    A higher number than the known ones means that a newer program wrote the tables.
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
    """Lock the tables against changes by other programs until this transaction ends."""
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
            command.stamp(config, at)  # tables from before steps existed carry no mark
        command.upgrade(config, "head")
