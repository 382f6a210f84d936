"""What happens to a platform that is in use: restarts, one replica after the other; a migration."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dev.console import Board
from dev.scale_out.cluster import Cluster
from dev.scale_out.outcomes import Outcomes
from servicekit import sql
from servicekit.sql import migrations
from services.gateway.store.database import MIGRATIONS

# what a later version might add: a column, an index on a table that is being written, a table
LATER = '''
"""What a later version might add."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "9999", {head!r}

def upgrade() -> None:
    op.add_column("runs", sa.Column("later", sa.Text(), nullable=True))
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True))
    with op.get_context().autocommit_block():
        op.create_index("later_runs", "runs", ["later"], postgresql_concurrently=True)
'''


async def restarted(
    running: Cluster, outcomes: Outcomes, board: Board, services: Sequence[str]
) -> None:
    """Each replica of each service, stopped in good order and started again."""
    for service in services:
        for name in running.layout.names(service):
            outcomes.phase(f"restart of {name}")
            began = time.monotonic()
            await running.supervisor.restart(name)
            board.say(f"restarted {name} in {time.monotonic() - began:.1f} s")


async def migrated(running: Cluster) -> None:
    """Bring the gateways' schema forward, beside the gateways that know nothing of it."""
    with TemporaryDirectory(prefix="isobath-later-") as folder:
        later = Path(folder) / "store" / "migrations"
        shutil.copytree(MIGRATIONS, later)
        revision = LATER.format(head=migrations.newest(MIGRATIONS))
        (later / "versions" / "9999_later.py").write_text(revision)
        async with sql.opened(running.database_url.reveal(), later):
            """It is at its newest form once it is open."""
