"""What is true of this installation whichever release looks at it: first, the oldest release that may run on its schema.

Expands only. A migration that takes away what an older release needs raises `oldest_release` to the first that does without.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the table, and its first row."""
    table = op.create_table(
        "installation",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_installation")),
    )
    op.bulk_insert(table, [{"name": "oldest_release", "value": "0005"}])
