"""What owners tell of their sources."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    column = sa.Column("guide_json", sa.Text(), nullable=False, server_default="{}")
    op.add_column("sources", column)


def downgrade() -> None:
    op.drop_column("sources", "guide_json")
