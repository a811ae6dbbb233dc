"""The working set of one assess transaction: the rows it read under lock, changed in memory, written back set-based.

`judge` and `fold` work on these objects and never on SQL, so a batch of five hundred costs as many statements as a batch of one.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from policy.facts import PurchaseKind, Report, ReportKind, Rerun
from policy.lifecycle import CaseKind, CaseState
from worker.credits.ledger import JobCredits, Posting
from worker.credits.lots import OpenLots
from worker.creem.webhooks import Webhook

Detail = dict[str, Any]
BY_PERSON = "decided_by_person"
"""The rule of a decision that a person took in review; the facts stay those that the policy asked the person about."""
WORKER = "worker"
"""Who did what no person did, in the history of a case."""
NOBODY = "(nobody)"
"""The account of a mail that nobody's is yet; no event can name it, and documents show none."""


def shown_account(account_id: str) -> str | None:
    """The account as documents show it: None where that is `NOBODY`."""
    return None if account_id == NOBODY else account_id


@dataclass(slots=True)
class Account:
    """One account, locked: the lock of the remedy budget."""

    account_id: str
    email: str | None
    status: str
    known: bool
    opened_at: datetime
    reversals_day: date | None
    reversals_today: int
    suspended_here: bool = False
    """Suspended by two people in review: what the product says of its standing does not lift it."""
    changed: bool = False

    def count_reversal(self, day: date) -> None:
        """One more automatic reversal on this UTC day."""
        self.reversals_today = self.reversals_on(day) + 1
        self.reversals_day = day
        self.changed = True

    def reversals_on(self, day: date) -> int:
        """Automatic reversals this account had on that day."""
        return self.reversals_today if self.reversals_day == day else 0


@dataclass(slots=True)
class Job:
    """One layer job as the books know it. `reports` is a set: what was said twice is known once."""

    job_id: str
    account_id: str
    paid_with: str
    price: int
    undebited: bool
    layers_expected: int | None
    submitted_at: datetime | None
    input_expires_at: datetime | None
    status: str
    reports: set[Report]
    downloads: int
    downloaded_at: datetime | None
    edited_at: datetime | None
    ended_at: datetime | None
    credits: JobCredits = field(default_factory=JobCredits)
    rerun: Rerun | None = None
    rerun_changed: bool = False
    added: bool = False
    changed: bool = False


def fails(report: Report, job: Job | None) -> bool:
    """True where the report says of itself, or by what the job was to deliver, that its output is not whole."""
    if report.kind is not ReportKind.SUCCEEDED:
        return True
    expected = job.layers_expected if job else None
    return report.output is not None and not report.output.complete_for(expected)


@dataclass(slots=True)
class Case:
    """One case, with what it was when read: every write is guarded by that state."""

    case_id: str
    kind: CaseKind
    subject: str
    """What it is about: the job, the later one of two charges, the disputed transaction."""
    account_id: str
    failed_at: datetime
    opened_at: datetime
    due_at: datetime
    state: CaseState | None = None
    was: CaseState | None = None
    warn_at: datetime | None = None
    warned_percent: int = 0
    next_action_at: datetime | None = None
    job_id: str | None = None
    order_id: str | None = None
    closed_at: datetime | None = None
    outcome: str | None = None
    rule: str | None = None
    clause: str | None = None
    terms: str | None = None
    reason: str | None = None
    facts: Any = None
    credits_owed: int = 0
    credits_reversed: int = 0
    reruns: int = 0
    delivered_late: bool = False
    stuck: int = 0
    trace: str | None = None
    """The `traceparent` of the event that opened it."""
    changed: bool = False
    history: list[tuple[str, Detail]] = field(default_factory=list)

    def note(self, event: str, **detail: Any) -> None:
        """One history row, written with the case."""
        self.history.append((event, detail))


@dataclass(frozen=True, slots=True)
class LotMoney:
    """The money of one lot of which some went back or is disputed, or of a pass."""

    gone: bool
    """All of it went back: what it paid for is paid back already."""
    disputed: bool


@dataclass(slots=True)
class Book:
    """Everything one transaction holds."""

    now: datetime
    accounts: dict[str, Account] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    """By job id."""
    waiting: dict[str, list[Job]] | None = None
    """Jobs that no lot covered so far by account, oldest first, as they were last put in order; None: not since a job came in."""
    lots: dict[str, OpenLots] = field(default_factory=dict)
    """Open lots by account; read only where something is to be debited."""
    unheard: dict[str, set[Report]] = field(default_factory=dict)
    """What was reported about jobs that are not yet known, by job id."""
    traces: dict[str, str] = field(default_factory=dict)
    """The `traceparent` of the first report about a job in this batch, by job id."""
    claimed_accounts: dict[str, str] = field(default_factory=dict)
    """The account that the first report about a not yet known job names, by job id."""
    purchases_known: dict[str, dict[str, Any]] = field(default_factory=dict)
    charges_known: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The same purchases by transaction id."""
    subscribed: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """Of these the payments of subscriptions, by account and id."""
    purchases_new: list[dict[str, Any]] = field(default_factory=list)
    purchases_changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What is new of purchases that are known, by id: more than one of a batch may add to it."""
    heard: list[Webhook] = field(default_factory=list)
    """What Creem said about charges."""
    charges_paid: dict[str, int] = field(default_factory=dict)
    """What customers paid by charge, where Creem said so beside the price."""
    purchases_touched: set[str] = field(default_factory=set)
    """Purchases whose money is to be looked at again."""
    lots_moved: dict[str, LotMoney] = field(default_factory=dict)
    """What is known of the money of lots that jobs drew on, by purchase, where some of it went back or is disputed."""
    passes: dict[str, LotMoney] = field(default_factory=dict)
    """The money of the pass that covers a job which may be run again, by job."""
    lots_quiet: set[str] = field(default_factory=set)
    """Lots of whose money nothing went back, is on its way back or is disputed, as the jobs were read."""
    uncovered: bool = True
    """Jobs of the accounts that are not here may wait for credits, as the jobs were read."""
    returned_to: set[str] = field(default_factory=set)
    """Accounts to which credits came back that can be spent, and were not offered yet to their jobs that wait for some."""
    lots_claimed: set[str] = field(default_factory=set)
    """Lots whose money may be on its way back: credits that return to them meanwhile stay frozen until that is settled."""
    postings: list[Posting] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)
    ended: list[Case] = field(default_factory=list)
    """Cases that end here with what is owed given back: nothing else is ever told of them again."""
    touched: set[str] = field(default_factory=set)
    """Jobs whose case is to be judged again."""
    rerun_available: bool = True
    asked_about: bool = True
    """A person may have a case about a purchase of one of the accounts."""
    credits_asked: set[str] = field(default_factory=set)
    """Jobs whose customer asked for the credits, in a mail that is confirmed."""
    doubt_credits: int = 0
    doubt_spent: int = 0
    service_failure_percent: int = 0

    def know(self, purchase: dict[str, Any]) -> None:
        """The purchase is known, and by its charge where that is."""
        self.purchases_known[purchase["purchase_id"]] = purchase
        if purchase["kind"] == PurchaseKind.SUBSCRIPTION.value:
            self.subscribed.setdefault(purchase["account_id"], {})[purchase["purchase_id"]] = purchase
        if purchase["transaction_id"] is not None:
            self.charges_known.setdefault(purchase["transaction_id"], purchase)
