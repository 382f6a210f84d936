"""Scopes, quotas and keyed hashes of API keys; usage; sources shared with teams."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# what every key of the first schema could do
ADMIN = "3"


def upgrade() -> None:
    with op.batch_alter_table("api_keys") as keys:
        keys.alter_column(
            "sha256",
            new_column_name="digest",
            existing_type=sa.String(length=64),
            existing_nullable=False,
        )
        keys.add_column(sa.Column("keyed", sa.Boolean(), nullable=False, server_default=sa.false()))
        keys.add_column(sa.Column("name", sa.String(200), nullable=False, server_default=""))
        keys.add_column(sa.Column("scope", sa.BigInteger(), nullable=False, server_default=ADMIN))
        keys.add_column(sa.Column("teams_json", sa.Text(), nullable=False, server_default="[]"))
        keys.add_column(sa.Column("quota_json", sa.Text(), nullable=False, server_default="{}"))
        keys.add_column(sa.Column("last_used_ms", sa.BigInteger(), nullable=True))
        keys.add_column(sa.Column("expires_ms", sa.BigInteger(), nullable=True))
        keys.add_column(sa.Column("revoked_ms", sa.BigInteger(), nullable=True))
    op.create_table(
        "usage",
        sa.Column("key_id", sa.String(length=200), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in (
                "requests",
                "runs",
                "prompt_tokens",
                "completion_tokens",
                "rows",
                "bytes",
                "run_ms",
            )
        ),
        sa.PrimaryKeyConstraint("key_id", "day"),
    )
    op.create_index(op.f("ix_usage_day"), "usage", ["day"], unique=False)
    op.create_table(
        "shared_sources",
        sa.Column("source_id", sa.String(length=40), nullable=False),
        sa.Column("team", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", "team"),
    )
    op.create_index(op.f("ix_shared_sources_team"), "shared_sources", ["team"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_shared_sources_team"), table_name="shared_sources")
    op.drop_table("shared_sources")
    op.drop_index(op.f("ix_usage_day"), table_name="usage")
    op.drop_table("usage")
    # a keyed hash cannot be undone
    op.execute(sa.text("DELETE FROM api_keys WHERE keyed"))
    with op.batch_alter_table("api_keys") as keys:
        for name in (
            "keyed",
            "name",
            "scope",
            "teams_json",
            "quota_json",
            "last_used_ms",
            "expires_ms",
            "revoked_ms",
        ):
            keys.drop_column(name)
        keys.alter_column(
            "digest",
            new_column_name="sha256",
            existing_type=sa.String(length=64),
            existing_nullable=False,
        )
