"""Money: charges, refunds and disputes as Creem tells of them, claims on charges, and every call armed.

Expands only: a worker of the release before goes on beside it. `uq_purchases_transaction_id` needs books in which no charge was
booked as two purchases; where one was, the upgrade stops, changes nothing and names the index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# fixed-width ISO text on SQLite, which has no time type of its own
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Adds columns and tables, those that others point to first."""
    op.add_column("purchases", sa.Column("order_id", sa.Text()))
    op.add_column("purchases", sa.Column("subscription_id", sa.Text()))
    op.execute("update purchases set order_id = purchase_id")
    op.create_index("ix_purchases_customer", "purchases", ["customer_id", "paid_at"])
    op.create_index("ix_purchases_subscription", "purchases", ["subscription_id"])
    op.create_index("uq_purchases_transaction_id", "purchases", ["transaction_id"], unique=True)
    op.add_column("breakers", sa.Column("needs_person", sa.Boolean(), server_default=sa.false(), nullable=False))
    _told_by_creem()
    _leases_and_actions()
    _payments()


def _told_by_creem() -> None:
    op.create_table(
        "charges",
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text()),
        sa.Column("amount_paid", BIG),
        sa.Column("refunded", BIG, nullable=False),
        sa.Column("disputed_at", INSTANT),
        sa.Column("read_at", INSTANT),
        sa.Column("due_at", INSTANT),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("transaction_id", name=op.f("pk_charges")),
        sa.CheckConstraint(
            "refunded >= 0 and (amount_paid is null or refunded <= amount_paid)", name=op.f("ck_charges_refunded")
        ),
    )
    _partial_index("ix_charges_due", "charges", ["due_at"], "due_at is not null")
    op.create_table(
        "creem_refunds",
        sa.Column("refund_id", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("heard_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("pk_creem_refunds")),
    )
    op.create_index("ix_creem_refunds_transaction", "creem_refunds", ["transaction_id"])
    op.create_table(
        "disputes",
        sa.Column("dispute_id", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("heard_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("dispute_id", name=op.f("pk_disputes")),
    )
    op.create_index("ix_disputes_transaction", "disputes", ["transaction_id"])
    op.create_table(
        "subscriptions",
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("cancelled_at", INSTANT),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_subscriptions")),
    )


def _leases_and_actions() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "actions",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_actions")),
    )


def _payments() -> None:
    op.create_table(
        "payments",
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("purchase_id", sa.Text(), nullable=False),
        sa.Column("kept_transaction_id", sa.Text()),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("next_step", sa.Text(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("refusals", sa.Integer(), nullable=False),
        sa.Column("armed_at", INSTANT),
        sa.Column("deadline_at", INSTANT),
        sa.Column("due_at", INSTANT),
        sa.Column("refunded", BIG, nullable=False),
        sa.Column("detail", sa.Text()),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("closed_at", INSTANT),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_payments")),
        sa.UniqueConstraint("environment", "transaction_id", name=op.f("uq_payments_environment_transaction_id")),
        sa.CheckConstraint("environment in ('test','live')", name=op.f("ck_payments_environment")),
        sa.CheckConstraint(
            "state in ('claimed','sending','confirming','in_progress','unknown','refused','rejected',"
            "'not_needed','mismatch','refunded')",
            name=op.f("ck_payments_state"),
        ),
        sa.CheckConstraint("next_step in ('send','read')", name=op.f("ck_payments_next_step")),
        sa.CheckConstraint(
            "next_step = 'read' or state in ('claimed','refused','not_needed','mismatch','rejected')",
            name=op.f("ck_payments_only_reads"),
        ),
        sa.CheckConstraint("amount > 0 and refunded >= 0", name=op.f("ck_payments_amount")),
        sa.CheckConstraint("(closed_at is null) = (due_at is not null)", name=op.f("ck_payments_due_while_open")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_payments_case_id")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_payments_account_id")),
        sa.ForeignKeyConstraint(["purchase_id"], ["purchases.purchase_id"], name=op.f("fk_payments_purchase_id")),
    )
    _partial_index("ix_payments_due", "payments", ["due_at"], "due_at is not null")
    op.create_index("ix_payments_case", "payments", ["case_id"])
    op.create_index("ix_payments_armed", "payments", ["armed_at"])
    op.create_table(
        "payment_attempts",
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("armed_at", INSTANT, nullable=False),
        sa.Column("deadline_at", INSTANT, nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("http_status", sa.Integer()),
        sa.Column("status", sa.Text()),
        sa.Column("trace_id", sa.Text()),
        sa.Column("refund_id", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("raw", sa.Text()),
        sa.Column("answered_at", INSTANT),
        sa.PrimaryKeyConstraint("payment_id", "attempt", name=op.f("pk_payment_attempts")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.payment_id"], name=op.f("fk_payment_attempts_payment_id")),
    )
    op.create_index("ix_payment_attempts_armed", "payment_attempts", ["armed_at"])


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))
