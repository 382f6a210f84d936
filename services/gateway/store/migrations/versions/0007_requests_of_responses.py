"""What a response was asked with."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("runs", sa.Column("request_json", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("runs", "request_json")
