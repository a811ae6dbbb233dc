"""The first schema.

Written out in full: what a migration does must not change when `worker/store/tables.py` does. Forward only: the way back is a
backup.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
# fixed-width ISO text on SQLite, which has no time type of its own
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Creates every table, those that others point to first."""
    _accounts()
    _breakers()
    _doubt_days()
    _inbox()
    _cases()
    _dead_letters()
    _layer_jobs()
    _purchases()
    _case_history()
    _effects()
    _postings()
    _reruns()


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("reversals_day", sa.Date()),
        sa.Column("reversals_today", sa.Integer(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_accounts")),
        sa.CheckConstraint("status in ('active','suspended','deleted')", name=op.f("ck_accounts_status")),
    )


def _breakers() -> None:
    op.create_table(
        "breakers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until", INSTANT),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_breakers")),
    )


def _doubt_days() -> None:
    op.create_table(
        "doubt_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_doubt_days")),
        sa.CheckConstraint("credits >= 0", name=op.f("ck_doubt_days_credits")),
    )


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text()),
        sa.Column("job_id", sa.Text()),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("stream_id", sa.Text()),
        sa.Column("occurred_at", INSTANT),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("handled_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("source", "event_id", name=op.f("uq_inbox_source_event_id")),
        sa.CheckConstraint("state in ('new','waiting','handled','dead')", name=op.f("ck_inbox_state")),
    )
    _partial_index("ix_inbox_due", "inbox", ["due_at", "id"], "state = 'new'")
    op.create_index("ix_inbox_job", "inbox", ["job_id"])
    _partial_index("ix_inbox_waiting", "inbox", ["job_id"], "state = 'waiting'")


def _cases() -> None:
    op.create_table(
        "cases",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text()),
        sa.Column("order_id", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("outcome", sa.Text()),
        sa.Column("rule", sa.Text()),
        sa.Column("clause", sa.Text()),
        sa.Column("terms", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("facts", DOCUMENT),
        sa.Column("credits_owed", sa.Integer(), nullable=False),
        sa.Column("credits_reversed", sa.Integer(), nullable=False),
        sa.Column("reruns", sa.Integer(), nullable=False),
        sa.Column("delivered_late", sa.Boolean(), nullable=False),
        sa.Column("stuck", sa.Integer(), nullable=False),
        sa.Column("failed_at", INSTANT, nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("warn_at", INSTANT),
        sa.Column("warned_percent", sa.Integer(), nullable=False),
        sa.Column("next_action_at", INSTANT),
        sa.Column("closed_at", INSTANT),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_cases")),
        sa.UniqueConstraint("kind", "subject", name=op.f("uq_cases_kind_subject")),
        sa.CheckConstraint("kind in ('job','duplicate_charge','request','dispute')", name=op.f("ck_cases_kind")),
        sa.CheckConstraint(
            "state in ('waiting','rerunning','refunding','unknown','review',"
            "'refunded','delivered','declined','nothing_owed','external')",
            name=op.f("ck_cases_state"),
        ),
        sa.CheckConstraint("credits_reversed >= 0 and credits_owed >= 0", name=op.f("ck_cases_credits")),
        sa.CheckConstraint(
            "(closed_at is null) = (state in ('waiting','rerunning','refunding','unknown','review'))",
            name=op.f("ck_cases_closed_when_final"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_cases_account_id")),
    )
    op.create_index("ix_cases_account", "cases", ["account_id"])
    _partial_index("ix_cases_next", "cases", ["next_action_at"], "next_action_at is not null")
    op.create_index("ix_cases_state", "cases", ["state", "case_id"])
    _partial_index("ix_cases_warn", "cases", ["warn_at"], "warn_at is not null")


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("dead_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("inbox_id", BIG),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requeues", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("resolved_at", INSTANT),
        sa.Column("resolved_by", sa.Text()),
        sa.Column("resolution", sa.Text()),
        sa.PrimaryKeyConstraint("dead_id", name=op.f("pk_dead_letters")),
        sa.CheckConstraint("state in ('open','requeued','discarded')", name=op.f("ck_dead_letters_state")),
        sa.UniqueConstraint("key", name=op.f("uq_dead_letters_key")),
        sa.ForeignKeyConstraint(["inbox_id"], ["inbox.id"], name=op.f("fk_dead_letters_inbox_id")),
    )


def _layer_jobs() -> None:
    op.create_table(
        "layer_jobs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("paid_with", sa.Text(), nullable=False),
        sa.Column("price", sa.Integer(), nullable=False),
        sa.Column("undebited", sa.Boolean(), nullable=False),
        sa.Column("layers_expected", sa.Integer()),
        sa.Column("submitted_at", INSTANT),
        sa.Column("input_expires_at", INSTANT),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reports", DOCUMENT, nullable=False),
        sa.Column("downloads", sa.Integer(), nullable=False),
        sa.Column("downloaded_at", INSTANT),
        sa.Column("edited_at", INSTANT),
        sa.Column("ended_at", INSTANT),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_layer_jobs")),
        sa.CheckConstraint("price >= 0", name=op.f("ck_layer_jobs_price")),
        sa.CheckConstraint(
            "status in ('running','succeeded','failed','incomplete','cancelled')", name=op.f("ck_layer_jobs_status")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_layer_jobs_account_id")),
    )
    op.create_index("ix_layer_jobs_account", "layer_jobs", ["account_id"])
    op.create_index("ix_layer_jobs_ended", "layer_jobs", ["ended_at"])
    _partial_index("ix_layer_jobs_undebited", "layer_jobs", ["account_id"], "undebited")


def _purchases() -> None:
    op.create_table(
        "purchases",
        sa.Column("purchase_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("billing", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text()),
        sa.Column("product_id", sa.Text()),
        sa.Column("transaction_id", sa.Text()),
        sa.Column("request_id", sa.Text()),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("paid_at", INSTANT, nullable=False),
        sa.Column("cancelled_at", INSTANT),
        sa.Column("period_start", INSTANT),
        sa.Column("period_end", INSTANT),
        sa.Column("granted", sa.Integer(), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("spent", sa.Integer(), nullable=False),
        sa.Column("frozen", sa.Integer(), nullable=False),
        sa.Column("void", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("purchase_id", name=op.f("pk_purchases")),
        sa.CheckConstraint("remaining + spent + frozen + void = granted", name=op.f("ck_purchases_lot_adds_up")),
        sa.CheckConstraint(
            "remaining >= 0 and spent >= 0 and frozen >= 0 and void >= 0", name=op.f("ck_purchases_lot_not_negative")
        ),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_purchases_amount")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_purchases_account_id")),
    )
    op.create_index("ix_purchases_account", "purchases", ["account_id", "paid_at", "purchase_id"])


def _case_history() -> None:
    op.create_table(
        "case_history",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("detail", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_history")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_case_history_case_id")),
    )
    op.create_index("ix_case_history_case", "case_history", ["case_id", "id"])


def _effects() -> None:
    op.create_table(
        "effects",
        sa.Column("effect_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text()),
        sa.Column("payload", DOCUMENT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("done_at", INSTANT),
        sa.Column("result", sa.Text()),
        sa.PrimaryKeyConstraint("effect_id", name=op.f("pk_effects")),
        sa.CheckConstraint("state in ('due','claimed','done','dropped')", name=op.f("ck_effects_state")),
        sa.UniqueConstraint("key", name=op.f("uq_effects_key")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_effects_case_id")),
    )
    op.create_index("ix_effects_case", "effects", ["case_id"])
    _partial_index("ix_effects_due", "effects", ["due_at"], "state in ('due','claimed')")


def _postings() -> None:
    op.create_table(
        "postings",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.Column("purchase_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text()),
        sa.Column("case_id", sa.Text()),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_postings")),
        sa.CheckConstraint("credits > 0", name=op.f("ck_postings_credits")),
        sa.CheckConstraint("source <> destination", name=op.f("ck_postings_two_sides")),
        sa.CheckConstraint("kind in ('grant','debit','reversal','freeze','release','void')", name=op.f("ck_postings_kind")),
        sa.UniqueConstraint("key", name=op.f("uq_postings_key")),
        sa.ForeignKeyConstraint(["purchase_id"], ["purchases.purchase_id"], name=op.f("fk_postings_purchase_id")),
    )
    _partial_index("ix_postings_job", "postings", ["job_id"], "job_id is not null")
    op.create_index("ix_postings_purchase", "postings", ["purchase_id"])


def _reruns() -> None:
    op.create_table(
        "reruns",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked_at", INSTANT, nullable=False),
        sa.Column("deadline_at", INSTANT, nullable=False),
        sa.Column("sent_at", INSTANT),
        sa.Column("ended_at", INSTANT),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_reruns")),
        sa.CheckConstraint("state in ('asked','refused','expired','answered')", name=op.f("ck_reruns_state")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_reruns_case_id")),
    )


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))
