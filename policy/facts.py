"""The facts a verdict rests on: frozen, complete, time included.

Nothing here reads a clock, a database or the network. The worker collects the facts inside one transaction, `policy.decide`
looks at them and at nothing else, and the case keeps them, so the same question can be asked again years later.

Credits are whole numbers, money is integer minor units, every time carries a zone.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from policy.decision import Clause, Outcome


class PaidWith(StrEnum):
    """How a job was paid for. Only `CREDITS` can leave a debit to give back."""

    CREDITS = "credits"
    PASS = "pass"
    FREE = "free"


class AccountStatus(StrEnum):
    """Standing of an account; a reversal that is owed is booked whatever it says."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


class ReportKind(StrEnum):
    """What the pipeline said about one attempt."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Output:
    """What an attempt produced, in layers. `expected` is None or 0 where the pipeline did not say, or did not know yet."""

    delivered: int
    expected: int | None = None
    corrupted: int = 0

    def expected_for(self, expected: int | None) -> int:
        """How many layers there should be; 0 where nobody said. `expected` is the job's own figure: where both are known the
        larger counts, for what was submitted is what was sold (decision 69).
        """
        return max(self.expected or 0, expected or 0)

    def complete_for(self, expected: int | None) -> bool:
        """True when every layer that there should be is there and none is corrupted. Output of no layer is never complete."""
        return self.corrupted == 0 and self.delivered >= (self.expected_for(expected) or 1)


@dataclass(frozen=True, slots=True, order=True)
class Report:
    """One thing the pipeline reported. Reports are a set: repeated or reordered events leave the same facts."""

    attempt: int
    kind: ReportKind
    at: datetime
    code: str = ""
    stage: str = ""
    output: Output | None = None


class RerunState(StrEnum):
    """Where the one re-run of a job stands."""

    ASKED = "asked"
    REFUSED = "refused"
    EXPIRED = "expired"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Rerun:
    """The one re-run a job may have, ever (policy.md, "Which re-run")."""

    attempt: int
    state: RerunState
    deadline_at: datetime


@dataclass(frozen=True, slots=True)
class JobFacts:
    """Everything a verdict on one layer job may depend on.

    `price` is what the pipeline says the job cost; `debit` is what the ledger says it took. Only the second is ever given
    back (policy.md, "How much"). `reversed_credits` is what already came back out of that debit.
    """

    now: datetime
    job_id: str
    account_id: str
    reports: tuple[Report, ...]
    job_known: bool = True
    account_known: bool = True
    account_status: AccountStatus = AccountStatus.ACTIVE
    paid_with: PaidWith = PaidWith.CREDITS
    price: int = 0
    debit: int = 0
    reversed_credits: int = 0
    layers_expected: int | None = None
    submitted_at: datetime | None = None
    input_expires_at: datetime | None = None
    rerun: Rerun | None = None
    rerun_available: bool = True
    """False while the pipeline's breaker is open: a re-run asked for now would not be heard."""
    credits_requested: bool = False
    """The customer asked for the credits instead of a re-run."""
    reversals_today: int = 0
    """Automatic reversals this account already had today (UTC day)."""
    doubt_credits_today: int = 0
    """Credits already given back today, over all accounts, for failure codes nobody knows."""
    service_failure_percent: int = 0
    """Share of failed jobs in the whole service of late: an outage is not abuse."""
    compensated: int = 0
    """Credits of the debit that were drawn from purchases whose money has gone back whole: paid back once already."""
    partly_refunded: bool = False
    """Some lot the debit drew on had part of its money returned."""
    refund_under_way: bool = False
    """The money of some lot the debit drew on may be on its way back: what comes of that settles the credits too."""
    disputed: bool = False
    """Some lot the debit drew on is under dispute, or the pass that covers the job."""
    pass_given_back: bool = False
    """The money of the pass that covered the job went back whole: the job is paid back with it."""

    @property
    def standing_debit(self) -> int:
        """Credits of this job that were taken and have come back neither as credits nor as money."""
        return self.debit - self.reversed_credits - self.compensated


class PurchaseKind(StrEnum):
    """What was bought."""

    CREDIT_PACK = "credit_pack"
    PASS_24H = "pass_24h"
    SUBSCRIPTION = "subscription"


class Billing(StrEnum):
    """First payment, or a subscription's renewal."""

    FIRST = "first"
    RENEWAL = "renewal"


@dataclass(frozen=True, slots=True)
class PurchaseFacts:
    """One purchase and the lot of credits it granted, as the books hold it."""

    purchase_id: str
    account_id: str
    kind: PurchaseKind
    billing: Billing
    paid_at: datetime
    amount: int
    """What the customer paid, where Creem said so; else what the purchase was booked for, perhaps without tax and discount."""
    currency: str
    granted: int
    remaining: int
    frozen: int = 0
    void: int = 0
    customer_id: str | None = None
    product_id: str | None = None
    transaction_id: str | None = None
    request_id: str | None = None
    cancelled_at: datetime | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    disputed: bool = False
    refunded_amount: int = 0
    price: int | None = None
    """What the purchase was booked for, where `amount` is known to be what the customer paid; None: `amount` may be either."""
    lost_at_bank: bool = False
    """The buyer disputed the charge and won: the bank gave the money back."""

    @property
    def given_back(self) -> bool:
        """True when the whole charge went back, by whoever did it."""
        return 0 < self.amount <= self.refunded_amount

    @property
    def spent(self) -> int:
        """Credits of the lot that jobs took and that have not come back."""
        return self.granted - self.remaining - self.frozen - self.void

    @property
    def untouched(self) -> bool:
        """True when no credit of the lot was spent; what our own claim froze or voided is not spent."""
        return self.spent == 0


@dataclass(frozen=True, slots=True)
class Use:
    """What was made of a purchase, as the pipeline and the product reported it; jobs under a pass count for the pass."""

    jobs: int = 0
    completed: int = 0
    """Jobs with a whole, successful output."""
    downloads: int = 0
    edited: int = 0
    """Completed jobs whose output was downloaded and then edited by hand or used downstream."""
    failed: int = 0
    failed_credits: int = 0
    """Credits of the jobs that failed and have not come back."""
    failed_clause: Clause | None = None
    """The clause that the own cases of those jobs are decided by, where it is one for all."""
    running: int = 0
    """Jobs of which no end was reported yet, or that are being run again."""
    kept: int = 0
    """Downloads of output that is not whole."""


@dataclass(frozen=True, slots=True)
class JobsNo:
    """A no, or that nothing is owed: what the policy said in the job's own case, which is over."""

    outcome: Outcome
    clause: Clause
    reason: str


@dataclass(frozen=True, slots=True)
class RequestedJob:
    """The job that a request is about. One that failed has a case of its own, and the mail goes there."""

    job_id: str
    ended: bool
    delivered: bool
    downloads: int
    edited: bool
    """Its output was edited by hand or used downstream, and not only before it was first downloaded."""
    debit: int
    standing_debit: int
    paid_elsewhere: int = 0
    """What of the standing debit was drawn from other purchases than the one whose money the request is about."""
    disputed_elsewhere: str | None = None
    """One of those other purchases that is under dispute at the bank."""
    paid_elsewhere_at: datetime | None = None
    """When the newest of those other purchases was paid."""
    failure: str | None = None
    """The code that the pipeline gave for the last failure it reported, where it delivered nothing whole."""
    own_no: JobsNo | None = None
    """What its own case came to, where it delivered nothing whole and nobody but the policy decided that case."""
    own_clause: Clause | None = None
    own_terms: str | None = None
    """The clause and the edition that its own case was decided by, where that one is over."""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """A customer's mail, and what our own books say of what it names. Never an amount or a recipient out of the mail."""

    now: datetime
    request_id: str
    received_at: datetime
    """When our intake received it, or the mail that named what was bought later (policy.md, "Instant … of a request")."""
    account_id: str | None = None
    sender_confirmed: bool = False
    """Our mail host vouches for the account's own address, or the account's own mailbox answered our question."""
    denied: bool = False
    """The account's own mailbox answered that it did not write the mail."""
    readable: bool = True
    report: bool = False
    """A mail host's report about a mail, as that a letter of ours did not arrive."""
    job: RequestedJob | None = None
    purchase: PurchaseFacts | None = None
    """What it asks the money of; for a job, the newest purchase that paid for it, or the pass that it ran under."""
    purchase_named: bool = True
    """The mail names the purchase itself; False: it names a job alone, which the purchase paid for."""
    use: Use = Use()
    claimed: bool = False
    """The charge is being given back, or was, by the decision of another case."""
    others: tuple[str, ...] = ()
    """What else the mail names of the account's jobs and purchases."""
    unknown: tuple[str, ...] = ()
    """What the mail calls a job or an order, and our books do not hold as the account's, or not yet."""
    told_no: bool = False
    """A no to an earlier mail about the same, or in the job's own case, or a measure under a case about it, was told before."""
    told_paid: bool = False
    """A letter had told that the money of this purchase was sent before this one came."""
    charged_again: tuple[str, ...] = ()
    """Later charges of the same thing that have a case as duplicates of this purchase, which stays valid."""


@dataclass(frozen=True, slots=True)
class DisputeFacts:
    """The buyer's case at the bank against one charge."""

    dispute_id: str
    transaction_id: str
    opened_at: datetime
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class ChargeFacts:
    """One charge that may be a duplicate of an earlier one."""

    now: datetime
    charge: PurchaseFacts
    first: PurchaseFacts | None
    """The charge that stays valid (`find_duplicates`), for a charge that does not stand the one that would if it did
    (`earlier_of`); None where there is no such charge, or no longer.
    """
    group: int = 2
    """How many charges of the same thing there are."""
    jobs: int = 0
    """Jobs that ran under the charge where it is a pass: that grants no credits, whose lot would tell of its use."""


@dataclass(frozen=True, slots=True)
class ChargeDispute:
    """A dispute, the charge it is about, and what the charge's credits were spent on."""

    now: datetime
    dispute: DisputeFacts
    charge: PurchaseFacts
    refund_started: bool = False
    """A refund of ours may be on its way."""
    refunded_by_us: int = 0
    """Minor units that we are proved to have given back."""
    jobs: int = 0
    delivered: int = 0
    downloads: int = 0
    failed: int = 0
