"""Alembic's way in: `worker.store.schema` hands over its transaction; `alembic revision --autogenerate` comes without."""

from alembic import context
from sqlalchemy import Connection

from worker.settings import load_settings
from worker.store.engine import Store
from worker.store.tables import metadata


def run(connection: Connection) -> None:
    """Runs what was asked for in this transaction."""
    applied: list[str] = context.config.attributes.get("applied", [])
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transactional_ddl=True,
        on_version_apply=lambda *, step, **_: applied.append(step.up_revision_id),
    )
    with context.begin_transaction():
        context.run_migrations()


if "connection" in context.config.attributes:
    run(context.config.attributes["connection"])
else:
    Store(load_settings().database_url).write(lambda tx: run(tx.connection))
