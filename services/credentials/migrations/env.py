"""Alembic's entry: it is always given an open connection, by `servicekit.sql.migrations`."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], transaction_per_migration=True
)
with context.begin_transaction():
    context.run_migrations()
