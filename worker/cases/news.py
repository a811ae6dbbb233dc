"""Inbox rows read again: what each one says, and in which order a batch of them is taken."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from worker.errors import CannotProcess
from worker.intake.records import AccountRecord, JobRecord, PurchaseRecord, read_record
from worker.intake.wire import AccountOpened, Event, Submitted, read_event
from worker.strict import Malformed

IMPORT_SOURCE = "/import"

Said = Event | AccountRecord | PurchaseRecord | JobRecord


@dataclass(frozen=True, slots=True)
class News:
    """One inbox row and what it says. `row` keeps the row's id, type and original text."""

    row: Row[Any]
    said: Said

    @property
    def account_id(self) -> str | None:
        """The account it names, if it names one."""
        return self.row.account_id  # type: ignore[no-any-return]

    @property
    def job_id(self) -> str | None:
        """The job it names, if it names one."""
        return self.row.job_id  # type: ignore[no-any-return]

    @property
    def introduces_job(self) -> bool:
        """True for what makes a job known."""
        return isinstance(self.said, JobRecord) or (isinstance(self.said, Event) and isinstance(self.said.data, Submitted))

    @property
    def rank(self) -> tuple[int, int]:
        """Accounts before purchases before jobs before what happened to them; else as received. Spares a batch needless
        waiting.
        """
        if isinstance(self.said, AccountRecord) or (isinstance(self.said, Event) and isinstance(self.said.data, AccountOpened)):
            order = 0
        elif isinstance(self.said, PurchaseRecord):
            order = 1
        else:
            order = 2 if self.introduces_job else 3
        return order, self.row.id


def read(row: Row[Any]) -> News:
    """What the row says. Raises `CannotProcess` where its text can no longer be read."""
    raw = row.raw.encode()
    # judged against the time of its receipt: what was acceptable then stays acceptable
    try:
        said: Said = read_record(raw) if row.source == IMPORT_SOURCE else read_event(raw, row.received_at)
    except Malformed as error:
        raise CannotProcess(error.reason, error.detail) from error
    return News(row, said)
