"""Several events of a run in one row, see `event_pages`."""

import sqlalchemy as sa
from alembic import op

from services.gateway.event_pages import unpacked

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    column = sa.Column("size", sa.Integer(), nullable=False, server_default="1")
    op.add_column("events", column)


def downgrade() -> None:
    events = sa.table("events", *map(sa.column, ("run_id", "sequence", "size", "event")))
    connection = op.get_bind()
    for row in connection.execute(sa.select(events).where(events.c.size > 1)).all():
        place = (events.c.run_id == row.run_id, events.c.sequence == row.sequence)
        connection.execute(sa.delete(events).where(*place))
        for event in unpacked(row.size, row.event):
            values = {
                "run_id": row.run_id,
                "sequence": event.sequence,
                "event": event.SerializeToString(),
            }
            connection.execute(sa.insert(events).values(values))
    op.drop_column("events", "size")
