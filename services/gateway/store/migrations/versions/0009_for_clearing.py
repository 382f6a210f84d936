"""What clearing looks for, and how PostgreSQL vacuums what it removes.

Both beside gateways at work: the index is made CONCURRENTLY, and storage parameters wait for nobody
who reads or writes."""

from alembic import op

revision = "0009"
down_revision = "0008"

# of a table with millions of rows, PostgreSQL's own fifth is too long to wait for. Events are many,
# large (so that they lie in TOAST) and never changed: removed some at a time
PARAMETERS = {
    "events": {
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_insert_scale_factor": "0.05",
        "autovacuum_analyze_scale_factor": "0.02",
        "toast.autovacuum_vacuum_scale_factor": "0.02",
    },
    "runs": {"autovacuum_vacuum_scale_factor": "0.05", "autovacuum_analyze_scale_factor": "0.05"},
    "files": {"autovacuum_vacuum_scale_factor": "0.05", "autovacuum_analyze_scale_factor": "0.05"},
}


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        op.create_index("runs_by_end", "runs", ["ended_ms"], unique=False)
        return
    for table, parameters in PARAMETERS.items():
        told = ", ".join(f"{name} = {value}" for name, value in parameters.items())
        op.execute(f"ALTER TABLE {table} SET ({told})")
    with op.get_context().autocommit_block():
        # one that was begun and not ended is of no use
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS runs_by_end")
        op.create_index(
            "runs_by_end", "runs", ["ended_ms"], unique=False, postgresql_concurrently=True
        )


def downgrade() -> None:
    op.drop_index("runs_by_end", table_name="runs")
    if op.get_bind().dialect.name == "postgresql":
        for table, parameters in PARAMETERS.items():
            op.execute(f"ALTER TABLE {table} RESET ({', '.join(parameters)})")
