"""Read by Alembic: which connection the steps are taken on."""

from alembic import context

from benchmarks.migrations import VERSION_TABLE
from benchmarks.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
