"""On SQLite an address is found whatever its capitals are, outside ASCII too, as on Postgres: `lower` is ours from here on
(`worker.store.engine`), and the index by it is made anew.

A process of the release before that still writes to the same file keeps such addresses by its own `lower`.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the index by address anew."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("reindex ix_accounts_email")
