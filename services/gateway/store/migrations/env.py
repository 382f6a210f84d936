"""Alembic's entry: it is always given an open connection, by `servicekit.sql.migrations`."""

from alembic import context

from services.gateway.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
