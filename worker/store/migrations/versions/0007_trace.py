"""The trace that a case belongs to, as the event that opened it carried it (W3C Trace Context).

Expands only: cases from before, and those of producers that send none, have none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column."""
    op.add_column("cases", sa.Column("trace", sa.Text(), nullable=True))
