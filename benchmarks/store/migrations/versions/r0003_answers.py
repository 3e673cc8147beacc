"""Answers of variants to the questions of the quality suite."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "answers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("run", sa.String(40), sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("variant", sa.String(100), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("history", sa.JSON, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("expected", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("right", sa.Boolean),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("nats", sa.Float, nullable=False),
        sa.Column("kl", sa.Float),
        sa.Column("agreed", sa.Integer),
        sa.UniqueConstraint("run", "variant", "number"),
    )
