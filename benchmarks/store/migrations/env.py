"""Alembic's entry: the connection on which the steps are taken."""

from alembic import context

from benchmarks.store.migrations import VERSION_TABLE
from benchmarks.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
context.run_migrations()
