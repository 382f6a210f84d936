"""What a run may do with a source only after an approval."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    column = sa.Column("approval", sa.String(100), nullable=False, server_default="")
    op.add_column("sources", column)


def downgrade() -> None:
    op.drop_column("sources", "approval")
