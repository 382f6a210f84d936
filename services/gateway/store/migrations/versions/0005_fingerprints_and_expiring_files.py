"""What came with an idempotency key, and when a file expires."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    column = sa.Column("fingerprint", sa.String(length=64), nullable=False, server_default="")
    op.add_column("runs", column)
    op.add_column("files", sa.Column("expires_ms", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_files_expires_ms"), "files", ["expires_ms"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_files_expires_ms"), table_name="files")
    op.drop_column("files", "expires_ms")
    op.drop_column("runs", "fingerprint")
