"""Which replica of the sandbox has which thread's workspace."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "placements",
        sa.Column("owner", sa.String(200), primary_key=True),
        sa.Column("thread_id", sa.String(60), primary_key=True),
        sa.Column("replica", sa.String(300), nullable=False),
        sa.Column("origins", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_placements_replica", "placements", ["replica"])


def downgrade() -> None:
    op.drop_table("placements")
