"""What Creem showed as paid when a call was armed: a proof that names another amount contradicts it.

Expands only: claims that were armed before know nothing of it and are proved as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds the column."""
    op.add_column("payments", sa.Column("charged", BIG, nullable=True))
