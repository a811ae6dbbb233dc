"""The charge that would have gone over a limit on money, so that a release lets through what was shown, and no other.

Expands only: a breaker that an older release opened names none, and its release lets nothing through that is over a limit.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column."""
    op.add_column("breakers", sa.Column("transaction_id", sa.Text(), nullable=True))
