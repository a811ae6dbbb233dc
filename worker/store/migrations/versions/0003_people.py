"""People: requests by mail and their evidence, what two people decide, what customers are told, who may sign in.

Expands only: a worker of the release before goes on beside it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
# fixed-width ISO text on SQLite, which has no time type of its own
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Adds the tables, those that others point to first."""
    op.add_column("accounts", sa.Column("suspended_here", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index("ix_accounts_email", "accounts", [sa.text("lower(email)")])
    _requests()
    _evidence()
    _proposals_and_notices()
    _console()


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("message_id", sa.Text()),
        sa.Column("sender", sa.Text()),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("verdict_detail", sa.Text(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("named", DOCUMENT, nullable=False),
        sa.Column("problems", DOCUMENT, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Text()),
        sa.Column("job_id", sa.Text()),
        sa.Column("purchase_id", sa.Text()),
        sa.Column("reference", sa.Text()),
        sa.Column("confirmed_at", INSTANT),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_requests")),
        sa.UniqueConstraint("key", name=op.f("uq_requests_key")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_requests_case_id")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_requests_account_id")),
        sa.UniqueConstraint("reference", name=op.f("uq_requests_reference")),
    )
    op.create_index("ix_requests_case", "requests", ["case_id", "received_at"])


def _evidence() -> None:
    op.create_table(
        "evidence",
        sa.Column("evidence_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("stored", sa.Text(), nullable=False),
        sa.Column("declared_type", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("delete_by", INSTANT, nullable=False),
        sa.Column("deleted_at", INSTANT),
        sa.PrimaryKeyConstraint("evidence_id", name=op.f("pk_evidence")),
        sa.CheckConstraint("(deleted_at is null) = (state in ('kept','deleting'))", name=op.f("ck_evidence_deleted_when_gone")),
        sa.CheckConstraint("state in ('kept','deleting','deleted','lost')", name=op.f("ck_evidence_state")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.request_id"], name=op.f("fk_evidence_request_id")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_evidence_case_id")),
        sa.UniqueConstraint("stored", name=op.f("uq_evidence_stored")),
    )
    op.create_index("ix_evidence_case", "evidence", ["case_id"])
    _partial_index("ix_evidence_delete", "evidence", ["delete_by"], "state in ('kept','deleting')")
    op.create_table(
        "evidence_looks",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("evidence_id", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence_looks")),
        sa.ForeignKeyConstraint(["evidence_id"], ["evidence.evidence_id"], name=op.f("fk_evidence_looks_evidence_id")),
    )
    op.create_index("ix_evidence_looks_evidence", "evidence_looks", ["evidence_id"])


def _proposals_and_notices() -> None:
    op.create_table(
        "proposals",
        sa.Column("proposal_id", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("does", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("proposed_at", INSTANT, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ended_by", sa.Text()),
        sa.Column("ended_at", INSTANT),
        sa.Column("ended_reason", sa.Text()),
        sa.PrimaryKeyConstraint("proposal_id", name=op.f("pk_proposals")),
        sa.CheckConstraint("state <> 'agreed' or ended_by <> proposed_by", name=op.f("ck_proposals_two_people")),
        sa.CheckConstraint("state in ('open','agreed','withdrawn')", name=op.f("ck_proposals_state")),
        sa.CheckConstraint("(ended_by is null) = (state = 'open')", name=op.f("ck_proposals_ended_when_closed")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_proposals_case_id")),
    )
    _partial_index("uq_proposals_open", "proposals", ["case_id"], "state = 'open'", unique=True)
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("payload", DOCUMENT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("message_id", sa.Text()),
        sa.Column("sent_to", sa.Text()),
        sa.Column("ended_at", INSTANT),
        sa.Column("detail", sa.Text()),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_notices")),
        sa.CheckConstraint("state in ('due','sending','sent','refused','unknown','dropped')", name=op.f("ck_notices_state")),
        sa.CheckConstraint("(ended_at is null) = (state in ('due','sending'))", name=op.f("ck_notices_ended_when_closed")),
        sa.UniqueConstraint("key", name=op.f("uq_notices_key")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_notices_case_id")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_notices_account_id")),
    )
    op.create_index("ix_notices_case", "notices", ["case_id"])
    _partial_index("ix_notices_due", "notices", ["due_at"], "state in ('due','sending')")
    op.create_index("ix_notices_account", "notices", ["account_id", "kind", "created_at"])


def _console() -> None:
    op.create_table(
        "operators",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("added_at", INSTANT, nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("disabled_at", INSTANT),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_operators")),
    )
    op.create_table(
        "sessions",
        sa.Column("session_hash", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("csrf", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("session_hash", name=op.f("pk_sessions")),
    )
    op.create_table(
        "sign_ins",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("wait_until", INSTANT),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sign_ins")),
    )


def _partial_index(name: str, table: str, columns: list[str], where: str, unique: bool = False) -> None:
    op.create_index(name, table, columns, unique=unique, postgresql_where=sa.text(where), sqlite_where=sa.text(where))
