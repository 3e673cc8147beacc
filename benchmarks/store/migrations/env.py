"""Alembic's entry: the connection on which the steps are taken."""

from alembic import context

from benchmarks.store.migrations import VERSION_TABLE
from benchmarks.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
