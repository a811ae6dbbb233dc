"""The tables. Unique constraints decide, not ifs: each `unique` below is one promise of exactly-once.

Append-only: `postings`, `case_history`, `actions`, `approvals`, `evidence_looks`, `chain_links`, and of `inbox` and of
`dead_letters` all but what became of them. Credits are integers, money is integer minor units, there is no float in this schema.
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)

from worker.store.columns import Big, Document, Instant

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _partial(name: str, those: str, *columns: Column[Any], unique: bool = False) -> None:
    """An index of those rows only, on either engine."""
    Index(name, *columns, unique=unique, postgresql_where=text(those), sqlite_where=text(those))


inbox = Table(
    "inbox",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("account_id", Text),
    Column("job_id", Text),
    Column("raw", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("stream_id", Text),
    Column("occurred_at", Instant),
    Column("received_at", Instant, nullable=False),
    # new: to be handled; waiting: about a job not yet known; handled; dead: moved to the dead letters
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", Instant, nullable=False),
    Column("last_error", Text),
    Column("handled_at", Instant),
    # one row for each identity, for ever: an event delivered a thousand times is one fact
    UniqueConstraint("source", "event_id"),
    CheckConstraint("state in ('new','waiting','handled','dead')", name="state"),
)
_partial("ix_inbox_due", "state = 'new'", inbox.c.due_at, inbox.c.id)
_partial("ix_inbox_waiting", "state = 'waiting'", inbox.c.job_id)
# of what waits to be looked at, and of what Creem said: an event of a job is in neither
_partial("ix_inbox_awaited", "state = 'waiting'", inbox.c.due_at)
_partial("ix_inbox_told", "state = 'new' and source = '/creem'", inbox.c.id)
Index("ix_inbox_job", inbox.c.job_id)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("dead_id", Text, primary_key=True),
    # where it came from: `stream:<entry id>` or `inbox:<row id>`; redelivery makes no second letter
    Column("key", Text, nullable=False, unique=True),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("inbox_id", Big, ForeignKey("inbox.id")),
    Column("state", Text, nullable=False),
    Column("requeues", Integer, nullable=False, server_default="0"),
    Column("received_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Column("resolved_by", Text),
    Column("resolution", Text),
    CheckConstraint("state in ('open','requeued','discarded')", name="state"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("email", Text),
    Column("status", Text, nullable=False),
    # false: only named by events so far; nothing vouches for it
    Column("known", Boolean, nullable=False),
    # as of when the address was told; where none is, or an earlier release took it in, when the account was first heard of
    Column("opened_at", Instant, nullable=False),
    # suspended by two people here: the product's own records lift it no more than they made it
    Column("suspended_here", Boolean, nullable=False, server_default=false()),
    # automatic reversals of one UTC day, for the velocity rule
    Column("reversals_day", Date),
    Column("reversals_today", Integer, nullable=False, server_default="0"),
    CheckConstraint("status in ('active','suspended','deleted')", name="status"),
)
Index("ix_accounts_email", func.lower(accounts.c.email))

purchases = Table(
    "purchases",
    metadata,
    Column("purchase_id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.account_id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("billing", Text, nullable=False),
    Column("customer_id", Text),
    Column("product_id", Text),
    Column("transaction_id", Text),
    Column("request_id", Text),
    # the order as customers know it, and the subscription it renews; a renewal makes no order of its own
    Column("order_id", Text),
    Column("subscription_id", Text),
    Column("amount", Big, nullable=False),
    Column("currency", Text, nullable=False),
    Column("paid_at", Instant, nullable=False),
    Column("cancelled_at", Instant),
    Column("period_start", Instant),
    Column("period_end", Instant),
    # the lot: what the purchase granted and where those credits are now, kept equal to the postings
    Column("granted", Integer, nullable=False),
    Column("remaining", Integer, nullable=False),
    Column("spent", Integer, nullable=False),
    Column("frozen", Integer, nullable=False),
    Column("void", Integer, nullable=False),
    CheckConstraint("remaining + spent + frozen + void = granted", name="lot_adds_up"),
    CheckConstraint("remaining >= 0 and spent >= 0 and frozen >= 0 and void >= 0", name="lot_not_negative"),
    CheckConstraint("amount >= 0", name="amount"),
)
Index("ix_purchases_account", purchases.c.account_id, purchases.c.paid_at, purchases.c.purchase_id)
Index("ix_purchases_customer", purchases.c.customer_id, purchases.c.paid_at)
Index("ix_purchases_subscription", purchases.c.subscription_id)
_partial("ix_purchases_order", "order_id is not null", purchases.c.order_id)
_partial("ix_purchases_product", "product_id is not null", purchases.c.product_id, purchases.c.paid_at)
# one purchase for each charge: a charge told of twice, by import and by webhook, grants once
Index("uq_purchases_transaction_id", purchases.c.transaction_id, unique=True)

charges = Table(
    "charges",
    metadata,
    # what is known of one Creem transaction, whoever named it first; its row is the meeting point of all who tell of it
    Column("transaction_id", Text, primary_key=True),
    # as last read at Creem, verbatim; what was paid may be known from the webhook of the charge already
    Column("status", Text),
    Column("amount_paid", Big),
    # what went back to the card by anybody's hand; never shrinks
    Column("refunded", Big, nullable=False),
    Column("disputed_at", Instant),
    # when it was read last, or its customer's were asked for, also in vain: whose turn it is in reconcile; null: never read
    Column("read_at", Instant),
    # when to read it at Creem again because of something heard; null: nothing is to be found out
    Column("due_at", Instant),
    Column("looks", Integer, nullable=False),
    CheckConstraint("refunded >= 0 and (amount_paid is null or refunded <= amount_paid)", name="refunded"),
)
_partial("ix_charges_due", "due_at is not null", charges.c.due_at)
_partial("ix_charges_disputed", "disputed_at is not null", charges.c.transaction_id)

creem_refunds = Table(
    "creem_refunds",
    metadata,
    # one row for each refund Creem told us of, by Creem's own id: told twice under two event ids it is one refund
    Column("refund_id", Text, primary_key=True),
    Column("transaction_id", Text, nullable=False),
    Column("amount", Big, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("heard_at", Instant, nullable=False),
)
Index("ix_creem_refunds_transaction", creem_refunds.c.transaction_id)

disputes = Table(
    "disputes",
    metadata,
    Column("dispute_id", Text, primary_key=True),
    Column("transaction_id", Text, nullable=False),
    Column("amount", Big, nullable=False),
    Column("currency", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("heard_at", Instant, nullable=False),
)
Index("ix_disputes_transaction", disputes.c.transaction_id)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("subscription_id", Text, primary_key=True),
    Column("status", Text, nullable=False),
    # when it was cancelled; a renewal paid before that instant stays a renewal that was not cancelled
    Column("cancelled_at", Instant),
    # as of when Creem said so; of one that goes on after it was cancelled, since when
    Column("updated_at", Instant, nullable=False),
)

layer_jobs = Table(
    "layer_jobs",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.account_id"), nullable=False),
    Column("paid_with", Text, nullable=False),
    Column("price", Integer, nullable=False),
    # true while no lot covers the price: the debit waits for the purchase to arrive
    Column("undebited", Boolean, nullable=False),
    Column("layers_expected", Integer),
    Column("submitted_at", Instant),
    Column("input_expires_at", Instant),
    Column("status", Text, nullable=False),
    # what the pipeline reported, as a set: repeating or reordering events leaves it the same
    Column("reports", Document, nullable=False),
    Column("downloads", Integer, nullable=False),
    # the first of them; unknown where a history counts more than were told of one by one
    Column("downloaded_at", Instant),
    # the last time: an edit before the first download is none of what was downloaded
    Column("edited_at", Instant),
    # when the pipeline last said how an attempt ended; the service's failure rate of late is counted over it
    Column("ended_at", Instant),
    CheckConstraint("price >= 0", name="price"),
    CheckConstraint("status in ('running','succeeded','failed','incomplete','cancelled')", name="status"),
)
Index("ix_layer_jobs_account", layer_jobs.c.account_id)
Index("ix_layer_jobs_ended", layer_jobs.c.ended_at)
_partial("ix_layer_jobs_undebited", "undebited", layer_jobs.c.account_id)

postings = Table(
    "postings",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    # grant:<purchase>, debit:<job>:<lot>, reversal:<job>:<lot>: what was booked once cannot be booked again
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    # double entry: every posting takes from one side exactly what it gives to the other
    Column("source", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("credits", Integer, nullable=False),
    Column("purchase_id", Text, ForeignKey("purchases.purchase_id"), nullable=False),
    Column("job_id", Text),
    Column("case_id", Text),
    Column("at", Instant, nullable=False),
    CheckConstraint("credits > 0", name="credits"),
    CheckConstraint("source <> destination", name="two_sides"),
    CheckConstraint("kind in ('grant','debit','reversal','freeze','release','void')", name="kind"),
)
_partial("ix_postings_job", "job_id is not null", postings.c.job_id)
Index("ix_postings_purchase", postings.c.purchase_id)

creem_credits = Table(
    "creem_credits",
    metadata,
    # what a posting gives or takes, where customers have their credits at Creem; carried out in this order for each lot
    Column("id", Big, primary_key=True, autoincrement=True),
    # the key of the posting, and what makes the call repeatable
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("purchase_id", Text, ForeignKey("purchases.purchase_id"), nullable=False),
    Column("customer_id", Text),
    Column("case_id", Text),
    # signed, as the posting has it; `booked` is what Creem was told in the end
    Column("credits", Integer, nullable=False),
    Column("state", Text, nullable=False),
    # due: when to do it; claimed: when the claim of a process that died ends
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("done_at", Instant),
    Column("booked", Integer),
    Column("transaction_id", Text),
    Column("result", Text),
    CheckConstraint("state in ('due','claimed','done','refused','dropped')", name="state"),
    CheckConstraint("(state = 'done') = (transaction_id is not null)", name="done"),
    CheckConstraint("(state = 'done') = (booked is not null)", name="booked"),
)
_partial("ix_creem_credits_due", "state in ('due','claimed')", creem_credits.c.due_at)
Index("ix_creem_credits_purchase", creem_credits.c.purchase_id, creem_credits.c.id)

cases = Table(
    "cases",
    metadata,
    Column("case_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    # what it is about: the job, the order, the transaction. One case for each, ever
    Column("subject", Text, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.account_id"), nullable=False),
    Column("job_id", Text),
    Column("order_id", Text),
    Column("state", Text, nullable=False),
    Column("owner", Text),
    Column("outcome", Text),
    Column("rule", Text),
    Column("clause", Text),
    Column("terms", Text),
    Column("reason", Text),
    # the facts the decision rests on, whole: `refunds why` asks the policy again with exactly these
    Column("facts", Document),
    Column("credits_owed", Integer, nullable=False),
    Column("credits_reversed", Integer, nullable=False),
    Column("reruns", Integer, nullable=False),
    Column("delivered_late", Boolean, nullable=False),
    Column("stuck", Integer, nullable=False),
    Column("failed_at", Instant, nullable=False),
    Column("opened_at", Instant, nullable=False),
    # the promise of three business days, and when to warn next
    Column("due_at", Instant, nullable=False),
    Column("warn_at", Instant),
    Column("warned_percent", Integer, nullable=False),
    # when the sweep looks again; never null while the case is not final
    Column("next_action_at", Instant),
    Column("closed_at", Instant),
    # `traceparent` of the event that opened it
    Column("trace", Text),
    UniqueConstraint("kind", "subject"),
    CheckConstraint("kind in ('job','duplicate_charge','request','dispute')", name="kind"),
    CheckConstraint(
        "state in ('waiting','rerunning','refunding','unknown','review',"
        "'refunded','delivered','declined','nothing_owed','external')",
        name="state",
    ),
    CheckConstraint("credits_reversed >= 0 and credits_owed >= 0", name="credits"),
    CheckConstraint(
        "(closed_at is null) = (state in ('waiting','rerunning','refunding','unknown','review'))", name="closed_when_final"
    ),
)
Index("ix_cases_account", cases.c.account_id)
Index("ix_cases_state", cases.c.state, cases.c.case_id)
# what waits for a person, in the order received, and the requests among it by what decided so
_partial("ix_cases_queue", "state = 'review' or state = 'waiting' and kind = 'request'", cases.c.case_id)
_partial("ix_cases_asked", "kind = 'request' and state = 'review'", cases.c.rule)
_partial("ix_cases_next", "next_action_at is not null", cases.c.next_action_at)
_partial("ix_cases_warn", "warn_at is not null", cases.c.warn_at)
# a case of a job is found by its subject; these hold the few others, and no event touches them
_partial("ix_cases_others_job", "kind <> 'job'", cases.c.job_id)
_partial("ix_cases_order", "order_id is not null", cases.c.order_id)
# cases close in about the order of their rows: next to nothing to keep, and the last day need not read all days
Index("ix_cases_closed", cases.c.closed_at, postgresql_using="brin")

wakings = Table(
    "wakings",
    metadata,
    # a case that a process is waking, or was when it died; no foreign key, which would wait for whoever holds the case
    Column("case_id", Text, primary_key=True),
    Column("begun", Integer, nullable=False),
    Column("until", Instant, nullable=False),
)

case_tallies = Table(
    "case_tallies",
    metadata,
    # what each statement on `cases` changed in their numbers, written by its triggers (migration 0010); the sums are the numbers
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("state", Text, nullable=False),
    Column("cases", Big, nullable=False),
    Column("credits_reversed", Big, nullable=False),
    Column("delivered_late", Big, nullable=False),
)

case_history = Table(
    "case_history",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("case_id", Text, ForeignKey("cases.case_id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("event", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("detail", Document, nullable=False),
)
Index("ix_case_history_case", case_history.c.case_id, case_history.c.id)

reruns = Table(
    "reruns",
    metadata,
    # one re-run for each job, ever
    Column("job_id", Text, primary_key=True),
    Column("case_id", Text, ForeignKey("cases.case_id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("deadline_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Column("ended_at", Instant),
    CheckConstraint("state in ('asked','refused','expired','answered')", name="state"),
)

effects = Table(
    "effects",
    metadata,
    # what an announcement is known by outside, else the key; releases before migration 0013 gave ids, and know an effect by it
    Column("effect_id", Text, nullable=False),
    # rerun:<job>, announce:<case>:<type>, with the time of a person's no: an intent is written once; announce_all:<case>, the
    # first of those that it is for: cases at their end, of which nothing else is ever announced
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("case_id", Text, ForeignKey("cases.case_id"), nullable=False),
    Column("job_id", Text),
    Column("payload", Document, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    # due: when to do it; claimed: when the claim of a process that died ends
    Column("due_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("done_at", Instant),
    Column("result", Text),
    CheckConstraint("state in ('due','claimed','done','dropped')", name="state"),
)
_partial("ix_effects_due", "state in ('due','claimed')", effects.c.due_at)

doubt_days = Table(
    "doubt_days",
    metadata,
    # credits given back on one UTC day for failure codes nobody knows
    Column("day", Date, primary_key=True),
    Column("credits", Integer, nullable=False),
    CheckConstraint("credits >= 0", name="credits"),
)

breakers = Table(
    "breakers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("open_until", Instant),
    Column("last_error", Text),
    # true: it stays open until a person closes it
    Column("needs_person", Boolean, nullable=False, server_default=false()),
    # the charge that would have gone over a limit on money; a release lets that one through
    Column("transaction_id", Text),
)

leases = Table(
    "leases",
    metadata,
    # at most one process at a time does what the name says, until its lease ends
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Instant, nullable=False),
)

epochs = Table(
    "epochs",
    metadata,
    # how far this database has come; witnesses outside remember it, and notice when it is set back
    Column("name", Text, primary_key=True),
    Column("mark", Big, nullable=False),
    Column("risen_at", Instant, nullable=False),
    # when it was last found set back: claims older than that came out of the backup
    Column("stopped_at", Instant),
    CheckConstraint("mark >= 0", name="mark"),
)

installation = Table(
    "installation",
    metadata,
    # `oldest_release`: the first revision whose release may run on this schema; `reconciled_at`: the last run that was whole
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

payments = Table(
    "payments",
    metadata,
    Column("payment_id", Text, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("transaction_id", Text, nullable=False),
    Column("case_id", Text, ForeignKey("cases.case_id"), nullable=False),
    Column("account_id", Text, ForeignKey("accounts.account_id"), nullable=False),
    Column("purchase_id", Text, ForeignKey("purchases.purchase_id"), nullable=False),
    # the charge that stays valid: were it gone too, the customer would lose both
    Column("kept_transaction_id", Text),
    # what was approved: the whole charge, in minor units
    Column("amount", Big, nullable=False),
    Column("currency", Text, nullable=False),
    Column("state", Text, nullable=False),
    # send: the next turn may arm a call; read: it may only look
    Column("next_step", Text, nullable=False),
    # counted: turns taken (the fencing token), calls armed, looks in vain since the last call, refusals
    Column("turn", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("probes", Integer, nullable=False),
    Column("refusals", Integer, nullable=False),
    Column("armed_at", Instant),
    # after this instant nothing of the armed call may leave
    Column("deadline_at", Instant),
    # when the next turn is due; null once it is closed
    Column("due_at", Instant),
    Column("refunded", Big, nullable=False),
    Column("detail", Text),
    Column("created_at", Instant, nullable=False),
    Column("closed_at", Instant),
    # what Creem showed as paid, with tax, when the last call was armed
    Column("charged", Big),
    # at most one claim on a charge, for ever: two cases that want the same money back meet here
    UniqueConstraint("environment", "transaction_id"),
    CheckConstraint("environment in ('test','live')", name="environment"),
    CheckConstraint(
        "state in ('claimed','sending','confirming','in_progress','unknown','refused','rejected',"
        "'not_needed','mismatch','refunded')",
        name="state",
    ),
    CheckConstraint("next_step in ('send','read')", name="next_step"),
    CheckConstraint("next_step = 'read' or state in ('claimed','refused','not_needed','mismatch','rejected')", name="only_reads"),
    CheckConstraint("amount > 0 and refunded >= 0", name="amount"),
    CheckConstraint("(closed_at is null) = (due_at is not null)", name="due_while_open"),
)
_partial("ix_payments_due", "due_at is not null", payments.c.due_at)
_partial("ix_payments_open", "due_at is not null", payments.c.purchase_id)
Index("ix_payments_transaction", payments.c.transaction_id)
Index("ix_payments_case", payments.c.case_id)
Index("ix_payments_armed", payments.c.armed_at)

payment_attempts = Table(
    "payment_attempts",
    metadata,
    # one row for each call armed, written before the call and completed with its answer, verbatim
    Column("payment_id", Text, ForeignKey("payments.payment_id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("armed_at", Instant, nullable=False),
    Column("deadline_at", Instant, nullable=False),
    # accepted, refused, throttled, not_sent, unknown; null while nothing came back
    Column("outcome", Text),
    Column("http_status", Integer),
    Column("status", Text),
    Column("trace_id", Text),
    Column("refund_id", Text),
    Column("detail", Text),
    Column("raw", Text),
    Column("answered_at", Instant),
)
Index("ix_payment_attempts_armed", payment_attempts.c.armed_at)

actions = Table(
    "actions",
    metadata,
    # what people did that no single case records, with who and why
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    # what one person gave alone: the limit on a person and day is counted over it
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("case_id", Text, ForeignKey("cases.case_id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("choice", Text, nullable=False),
    Column("credits", Integer, nullable=False),
    Column("minor_units", Big, nullable=False),
    Column("currency", Text),
    UniqueConstraint("case_id", "at"),
    CheckConstraint("credits >= 0 and minor_units >= 0", name="not_negative"),
    CheckConstraint("minor_units = 0 or currency is not null", name="currency"),
)
Index("ix_approvals_at", approvals.c.at)

chain_links = Table(
    "chain_links",
    metadata,
    # a chain for each table that is only added to; every link's hash takes in the one before
    Column("name", Text, primary_key=True),
    Column("number", Big, primary_key=True, autoincrement=False),
    # the rows above the link before, up to this id; their digests name the row that was altered
    Column("last_id", Big, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("hash", Text, nullable=False),
    Column("digests", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
    # the highest id there was, when that was, and the transaction that Postgres was to begin next
    Column("seen_id", Big, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("horizon", Big),
    CheckConstraint("last_id <= seen_id", name="seen"),
)

requests = Table(
    "requests",
    metadata,
    # one row for each mail, by message id and content: what arrives twice is one request
    Column("request_id", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    # the case it opened, or that it was put to
    Column("case_id", Text, ForeignKey("cases.case_id"), nullable=False),
    Column("origin", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("message_id", Text),
    Column("sender", Text),
    Column("verdict", Text, nullable=False),
    Column("verdict_detail", Text, nullable=False),
    Column("automatic", Boolean, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    # what it names, as it names it, and what could not be read of it
    Column("named", Document, nullable=False),
    Column("problems", Document, nullable=False),
    Column("size", Integer, nullable=False),
    # what it was found to be about in our books
    Column("account_id", Text, ForeignKey("accounts.account_id")),
    Column("job_id", Text),
    Column("purchase_id", Text),
    # what an answer to our question has to carry; only the account's own mailbox knows it
    Column("reference", Text, unique=True),
    Column("confirmed_at", Instant),
)
Index("ix_requests_case", requests.c.case_id, requests.c.received_at)
_partial("ix_requests_job", "job_id is not null", requests.c.job_id)

evidence = Table(
    "evidence",
    metadata,
    # the receipt of a file that a customer sent: it stays when the file is deleted
    Column("evidence_id", Text, primary_key=True),
    Column("request_id", Text, ForeignKey("requests.request_id"), nullable=False),
    Column("case_id", Text, ForeignKey("cases.case_id"), nullable=False),
    Column("name", Text, nullable=False),
    # the name on disk, by chance; nothing of the sender's
    Column("stored", Text, nullable=False, unique=True),
    Column("declared_type", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("size", Big, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    # when it has to be gone: the longest we keep anything, or sooner once the case is decided
    Column("delete_by", Instant, nullable=False),
    Column("deleted_at", Instant),
    CheckConstraint("state in ('kept','deleting','deleted','lost')", name="state"),
    CheckConstraint("(deleted_at is null) = (state in ('kept','deleting'))", name="deleted_when_gone"),
)
Index("ix_evidence_case", evidence.c.case_id)
_partial("ix_evidence_delete", "state in ('kept','deleting')", evidence.c.delete_by)

evidence_looks = Table(
    "evidence_looks",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("evidence_id", Text, ForeignKey("evidence.evidence_id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
Index("ix_evidence_looks_evidence", evidence_looks.c.evidence_id)

proposals = Table(
    "proposals",
    metadata,
    # what one person wants done and a second, different one has to agree to
    Column("proposal_id", Text, primary_key=True),
    Column("case_id", Text, ForeignKey("cases.case_id"), nullable=False),
    Column("choice", Text, nullable=False),
    # what it would do, as the proposer saw it
    Column("does", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("ended_by", Text),
    Column("ended_at", Instant),
    Column("ended_reason", Text),
    CheckConstraint("state in ('open','agreed','withdrawn')", name="state"),
    CheckConstraint("(ended_by is null) = (state = 'open')", name="ended_when_closed"),
    CheckConstraint("state <> 'agreed' or ended_by <> proposed_by", name="two_people"),
)
_partial("uq_proposals_open", "state = 'open'", proposals.c.case_id, unique=True)

notices = Table(
    "notices",
    metadata,
    # what a customer is to be told, once: notice:<case>:<kind>, and the time where it may come to be told again
    Column("notice_id", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("case_id", Text, ForeignKey("cases.case_id"), nullable=False),
    Column("account_id", Text, ForeignKey("accounts.account_id"), nullable=False),
    Column("payload", Document, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    # due: when to send it; sending: when the sender that took it is given up
    Column("due_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    # the mail it went out in, with others of the same kind to the same account
    Column("message_id", Text),
    Column("sent_to", Text),
    Column("ended_at", Instant),
    Column("detail", Text),
    CheckConstraint("state in ('due','sending','sent','refused','unknown','dropped')", name="state"),
    CheckConstraint("(ended_at is null) = (state in ('due','sending'))", name="ended_when_closed"),
)
_partial("ix_notices_due", "state in ('due','sending')", notices.c.due_at)
_partial("ix_notices_untold", "state in ('unknown','refused')", notices.c.state)
Index("ix_notices_case", notices.c.case_id)
Index("ix_notices_account", notices.c.account_id, notices.c.kind, notices.c.created_at)

operators = Table(
    "operators",
    metadata,
    # people who may sign in to the console, each under a name and a password of their own
    Column("name", Text, primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("added_at", Instant, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("disabled_at", Instant),
)

sessions = Table(
    "sessions",
    metadata,
    # by the hash of the cookie: who reads this table can sign in as nobody
    Column("session_hash", Text, primary_key=True),
    Column("operator", Text, nullable=False),
    Column("csrf", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    # wrong passwords in a row, by name and by address: the next try has to wait
    Column("name", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("wait_until", Instant),
)
