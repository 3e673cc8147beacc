"""The time of a run's deletion, and indexes for a store of a million measurements."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add column and indexes; make programs from before Alembic refuse these tables with their own message."""
    op.add_column("runs", sa.Column("deleted", sa.DateTime))
    op.create_index("ix_runs_started", "runs", ["started"])
    op.create_index("ix_runs_deleted", "runs", ["deleted"])
    op.create_index("ix_measurements_metric_run", "measurements", ["metric", "run"])
    op.drop_index("ix_measurements_run", "measurements")  # the unique constraints' indexes begin with the run too
    op.drop_index("ix_samples_run", "samples")
    if op.get_bind().dialect.name == "postgresql":
        for table in ("measurements", "samples"):
            op.alter_column(table, "id", type_=sa.BigInteger)
            op.execute(f"ALTER SEQUENCE {table}_id_seq AS bigint")
    op.execute("UPDATE fastglm_schema SET version = 2")
