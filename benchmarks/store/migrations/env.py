"""Read by Alembic: which connection the steps are taken on."""

from alembic import context

from benchmarks.store.migrations import VERSION_TABLE
from benchmarks.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
