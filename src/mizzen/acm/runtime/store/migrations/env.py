"""What Alembic runs: the migrations, on the connection that it was given, in one transaction."""

from __future__ import annotations

from alembic import context

from mizzen.acm.runtime.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="mizzen_acm_schema",
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
