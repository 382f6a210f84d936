"""The store as SQLite has it, and the salts or wrapped keys that lie in its folder there."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# compared as bytes, as SQLite does: times are texts of one form
TEXT = sa.Text(collation="C")


def upgrade() -> None:
    op.create_table(
        "lid",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "secrets",
        sa.Column("source_id", TEXT, primary_key=True),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", TEXT, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "signing_keys",
        sa.Column("key_id", TEXT, primary_key=True),
        sa.Column("active_from", TEXT, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "revocations",
        sa.Column("kind", TEXT, primary_key=True),
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("at", TEXT, nullable=False),
    )
    op.create_index("ix_revocations_at", "revocations", ["at"])
    op.create_table(
        "spent",
        sa.Column("grant_id", TEXT, primary_key=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", TEXT, nullable=False),
    )
    op.create_index("ix_spent_expires_at", "spent", ["expires_at"])
    op.create_table(
        "declared",
        sa.Column("source_id", TEXT, primary_key=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("digest", TEXT, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("lease_id", TEXT, primary_key=True),
        sa.Column("source_id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("ends_at", TEXT, nullable=False),
        sa.Column("given_up", sa.Integer(), nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger(), primary_key=True),
        sa.Column("line", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    for table in (
        "audit",
        "leases",
        "declared",
        "spent",
        "revocations",
        "signing_keys",
        "secrets",
        "keys",
        "lid",
    ):
        op.drop_table(table)
