"""What is booked for the accounts of customers at Creem, to be carried out there (`worker/credits/at_creem.py`).

Expands only. A release before this one does not know the setting that writes here, and does not start with it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# fixed-width ISO text on SQLite, which has no time type of its own
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
OPEN = sa.text("state in ('due','claimed')")


def upgrade() -> None:
    """Adds the table."""
    op.create_table(
        "creem_credits",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("purchase_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text()),
        sa.Column("case_id", sa.Text()),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("done_at", INSTANT),
        sa.Column("booked", sa.Integer()),
        sa.Column("transaction_id", sa.Text()),
        sa.Column("result", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_creem_credits")),
        sa.UniqueConstraint("key", name=op.f("uq_creem_credits_key")),
        sa.ForeignKeyConstraint(["purchase_id"], ["purchases.purchase_id"], name=op.f("fk_creem_credits_purchase_id")),
        sa.CheckConstraint("state in ('due','claimed','done','refused','dropped')", name=op.f("ck_creem_credits_state")),
        sa.CheckConstraint("(state = 'done') = (transaction_id is not null)", name=op.f("ck_creem_credits_done")),
        sa.CheckConstraint("(state = 'done') = (booked is not null)", name=op.f("ck_creem_credits_booked")),
    )
    op.create_index("ix_creem_credits_due", "creem_credits", ["due_at"], postgresql_where=OPEN, sqlite_where=OPEN)
    op.create_index("ix_creem_credits_purchase", "creem_credits", ["purchase_id", "id"])
