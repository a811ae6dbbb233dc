"""How far the database has come, so that one that was set back to a backup is noticed before it sends anything twice.

Expands only: a worker of the release before goes on beside it. An installation that is upgraded begins at mark 0, which needs no
witness: it goes on without ceremony, and its first call makes the first mark.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# fixed-width ISO text on SQLite, which has no time type of its own
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Adds the table."""
    op.create_table(
        "epochs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mark", BIG, nullable=False),
        sa.Column("risen_at", INSTANT, nullable=False),
        sa.Column("stopped_at", INSTANT),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_epochs")),
        sa.CheckConstraint("mark >= 0", name=op.f("ck_epochs_mark")),
    )
