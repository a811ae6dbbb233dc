"""Inbox rows read again: what each one says, and in which order a batch of them is taken."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from worker.creem.receive import SOURCE as CREEM_SOURCE
from worker.creem.webhooks import Webhook, read_webhook
from worker.errors import CannotProcess
from worker.intake.accept import Accepted
from worker.intake.records import AccountRecord, JobRecord, PurchaseRecord, read_record
from worker.intake.wire import AccountOpened, Event, Submitted, read_event
from worker.strict import Malformed

IMPORT_SOURCE = "/import"

Said = Event | AccountRecord | PurchaseRecord | JobRecord | Webhook


@dataclass(frozen=True, slots=True)
class Line:
    """What is asked of an inbox row once it has been read."""

    id: int
    job_id: str | None
    raw: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class News:
    """One inbox row and what it says."""

    row: Line | Row[Any]
    said: Said
    account_id: str | None
    """The account it names or, for what Creem says, the one it was found to be about."""
    beside: tuple[str, ...] = ()
    """Other accounts that what Creem says is about as well."""
    supposed: bool = False
    """True of a purchase that was put together from what Creem said, before its account was locked."""

    @property
    def account_ids(self) -> list[str]:
        """Every account it is about."""
        return [one for one in (self.account_id, *self.beside) if one]

    @property
    def job_id(self) -> str | None:
        """The job it names, if it names one."""
        return self.row.job_id

    @property
    def introduces_account(self) -> bool:
        """True for what makes an account known."""
        return isinstance(self.said, AccountRecord) or (
            isinstance(self.said, Event) and isinstance(self.said.data, AccountOpened)
        )

    @property
    def introduces_job(self) -> bool:
        """True for what makes a job known."""
        return isinstance(self.said, JobRecord) or (isinstance(self.said, Event) and isinstance(self.said.data, Submitted))

    @property
    def rank(self) -> tuple[int, int]:
        """Accounts before purchases before jobs before what happened to them; else as received. Spares a batch needless
        waiting.
        """
        if self.introduces_account:
            order = 0
        elif isinstance(self.said, PurchaseRecord):
            order = 1
        else:
            order = 2 if self.introduces_job else 3
        return order, self.row.id


_READERS: dict[str, Callable[[bytes, datetime], Said]] = {
    IMPORT_SOURCE: lambda raw, _: read_record(raw),
    CREEM_SOURCE: lambda raw, _: read_webhook(raw),
}


def of_accepted(accepted: Accepted) -> News:
    """What a row says that was taken in just now. Raises `ValueError` for one whose event is not at hand."""
    event, received_at = accepted.event, accepted.received_at
    if event is None or received_at is None:
        raise ValueError(f"inbox row {accepted.inbox_id} has to be read again")
    return News(Line(accepted.inbox_id, event.job_id, event.raw, received_at), event, event.account_id)


def read(row: Row[Any]) -> News:
    """What the row says. Raises `CannotProcess` where its text can no longer be read."""
    raw = row.raw.encode()
    # judged against the time of its receipt: what was acceptable then stays acceptable
    try:
        said = _READERS.get(row.source, read_event)(raw, row.received_at)
    except Malformed as error:
        raise CannotProcess(error.reason, error.detail) from error
    return News(row, said, row.account_id)
