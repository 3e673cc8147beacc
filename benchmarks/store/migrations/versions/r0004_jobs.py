"""The queue of jobs, and their output."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add both tables."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "jobs",
        sa.Column("id", number, primary_key=True),
        sa.Column("node", sa.String(255), nullable=False),
        sa.Column("arguments", sa.JSON, nullable=False),
        sa.Column("device", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("cancelling", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(60)),
        sa.Column("child", sa.String(60)),
        sa.Column("stage", sa.String(300), nullable=False),
        sa.Column("fraction", sa.Float, nullable=False),
        sa.Column("eta", sa.Float),
        sa.Column("run", sa.String(40)),
        sa.Column("error", sa.String(2000)),
        sa.Column("queued", sa.DateTime, nullable=False),
        sa.Column("started", sa.DateTime),
        sa.Column("finished", sa.DateTime),
    )
    op.create_index("ix_jobs_node_state", "jobs", ["node", "state"])
    op.create_index("ix_jobs_finished", "jobs", ["finished"])
    op.create_table(
        "job_lines",
        sa.Column("id", number, primary_key=True),
        sa.Column("job", number, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("text", sa.String(2000), nullable=False),
    )
    op.create_index("ix_job_lines_job_id", "job_lines", ["job", "id"])
