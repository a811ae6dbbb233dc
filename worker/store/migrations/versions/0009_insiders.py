"""What people approved alone, for the limit on one person and day (`worker/cases/review/allowance.py`), and the chain of hashes
over what may not change (`worker/cases/chain/`).

Expands only. A release before this one approves without writing here: until the last of its processes is gone, what people
approve through it is not counted.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# fixed-width ISO text on SQLite, which has no time type of its own
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Adds the tables."""
    op.create_table(
        "approvals",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.Column("minor_units", BIG, nullable=False),
        sa.Column("currency", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
        sa.UniqueConstraint("case_id", "at", name=op.f("uq_approvals_case_id_at")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_approvals_case_id")),
        sa.CheckConstraint("credits >= 0 and minor_units >= 0", name=op.f("ck_approvals_not_negative")),
        sa.CheckConstraint("minor_units = 0 or currency is not null", name=op.f("ck_approvals_currency")),
    )
    op.create_index("ix_approvals_at", "approvals", ["at"])
    op.create_table(
        "chain_links",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", BIG, nullable=False),
        sa.Column("last_id", BIG, nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("digests", sa.LargeBinary(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("seen_id", BIG, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("horizon", BIG),
        sa.PrimaryKeyConstraint("name", "number", name=op.f("pk_chain_links")),
        sa.CheckConstraint("last_id <= seen_id", name=op.f("ck_chain_links_seen")),
    )
