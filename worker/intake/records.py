"""Product history for `refunds import`: one JSON object a line (contract.md, "Import records").

Like events, records are kept as they came and read again by the worker, so `read_record` depends on the bytes alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from policy.facts import AccountStatus, Billing, PaidWith, PurchaseKind
from worker.intake import fields
from worker.intake.fields import (
    Amount,
    Billed,
    Bought,
    Count,
    Credits,
    Currency,
    Email,
    Id,
    Instant,
    Layers,
    Model,
    Payment,
    Problem,
    Standing,
)
from worker.strict import digest, loads, shown


class JobStatus(StrEnum):
    """How far a job of the past got."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    """An account of the product."""

    id: str
    email: str
    status: AccountStatus
    raw: str
    sha256: str

    @property
    def key(self) -> str:
        """Its identity among all records."""
        return f"account:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseRecord:
    """One payment and the credits it granted. `amount` is in minor units of `currency`."""

    id: str
    account_id: str
    kind: PurchaseKind
    billing: Billing
    amount: int
    currency: str
    credits: int
    paid_at: datetime
    customer_id: str | None
    product_id: str | None
    transaction_id: str | None
    request_id: str | None
    cancelled_at: datetime | None
    period_start: datetime | None
    period_end: datetime | None
    raw: str
    sha256: str
    order_id: str | None = None
    """The order as the customer knows it, where it is not the purchase's own id."""
    subscription_id: str | None = None
    amount_paid: int | None = None
    """What the customer paid, where Creem said so: `amount` may be the price, without tax and discount."""

    @property
    def key(self) -> str:
        """Its identity among all records."""
        return f"purchase:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One layer job of the past, as far as it got."""

    id: str
    account_id: str
    credits: int
    paid_with: PaidWith
    status: JobStatus
    submitted_at: datetime
    layers_expected: int | None
    layers_delivered: int | None
    downloads: int | None
    edited_at: datetime | None
    finished_at: datetime | None
    raw: str
    sha256: str

    @property
    def key(self) -> str:
        """Its identity among all records."""
        return f"layer_job:{self.id}"


Record = AccountRecord | PurchaseRecord | JobRecord


class _Account(Model):
    id: Id
    email: Email
    status: Standing


class _Purchase(Model):
    id: Id
    account_id: Id
    kind: Bought
    billing: Billed
    amount: Amount
    currency: Currency
    credits: Credits
    paid_at: Instant
    # a purchase that did not go through Creem names none of these
    customer_id: Id | None = None
    product_id: Id | None = None
    transaction_id: Id | None = None
    request_id: Id | None = None
    cancelled_at: Instant | None = None
    period_start: Instant | None = None
    period_end: Instant | None = None


class _Job(Model):
    id: Id
    account_id: Id
    credits: Credits
    paid_with: Payment
    status: Annotated[JobStatus, Field(strict=False, description="one of " + ", ".join(JobStatus))]
    submitted_at: Instant
    layers_expected: Layers | None = None
    layers_delivered: Layers | None = None
    downloads: Count | None = None
    edited_at: Instant | None = None
    finished_at: Instant | None = None


KINDS: dict[str, tuple[type[Model], Callable[..., Record]]] = {
    "account": (_Account, AccountRecord),
    "purchase": (_Purchase, PurchaseRecord),
    "layer_job": (_Job, JobRecord),
}
"""What each kind of record is read as, and what it becomes."""
_KNOWN = ", ".join(KINDS)


def read_record(raw: bytes) -> Record:
    """The record that `raw` is. Raises `Malformed`, naming every field that is wrong."""
    return read_line(raw)[0]


def read_line(raw: bytes) -> tuple[Record, frozenset[str]]:
    """The record that `raw` is, and the names in it that mean nothing to us: they are ignored, for a newer producer may send
    them, and one of ours may be misspelt. Raises `Malformed` like `read_record`.
    """
    document = loads(raw)
    problems: list[Problem] = []
    kind: Any = document.get("record")
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        if "record" not in document:
            problems.append(("missing_field", f"record is missing; expected one of {_KNOWN}"))
        else:
            problems.append(("unknown_type", f"record is {shown(kind)}; expected one of {_KNOWN}"))
        raise fields.malformed(problems)
    model, build = known
    said = fields.read(model, document, "", problems)
    if said is None:
        raise fields.malformed(problems)
    # the fields of model and record are the same by name; `dict(model)` does not copy deeper than one level
    record = build(**dict(said), raw=raw.decode(), sha256=digest(raw))
    return record, frozenset(document.keys() - model.model_fields.keys() - {"record"})
