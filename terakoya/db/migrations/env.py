"""Alembic runs this: within the transaction that it is given."""

from __future__ import annotations

from alembic import context

from terakoya.db.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
