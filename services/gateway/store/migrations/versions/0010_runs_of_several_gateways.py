"""Which gateway goes with which run, what it is asked to do with it, and requests counted by all.

Tables of their own, so that nothing is locked that an older gateway works on. Its runs have no
lease: nobody interrupts them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "run_leases",
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("key_id", sa.String(length=200), nullable=False),
        sa.Column("thread_id", sa.String(length=60), nullable=True),
        sa.Column("holder", sa.String(length=40), nullable=False),
        sa.Column("ends_ms", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id"),
        sa.UniqueConstraint("thread_id"),
    )
    op.create_index(op.f("ix_run_leases_key_id"), "run_leases", ["key_id"], unique=False)
    op.create_index(op.f("ix_run_leases_holder"), "run_leases", ["holder"], unique=False)
    op.create_table(
        "run_commands",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("body_json", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run_leases.run_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index(op.f("ix_run_commands_run_id"), "run_commands", ["run_id"], unique=False)
    op.create_table(
        "request_buckets",
        sa.Column("key_id", sa.String(length=200), nullable=False),
        sa.Column("full_ms", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key_id"),
    )


def downgrade() -> None:
    op.drop_table("request_buckets")
    op.drop_index(op.f("ix_run_commands_run_id"), table_name="run_commands")
    op.drop_table("run_commands")
    op.drop_index(op.f("ix_run_leases_holder"), table_name="run_leases")
    op.drop_index(op.f("ix_run_leases_key_id"), table_name="run_leases")
    op.drop_table("run_leases")
