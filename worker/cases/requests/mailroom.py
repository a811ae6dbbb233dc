"""Requests by mail, taken in: the mail's files are kept, then it is placed and its case judged, in one transaction.

The identity of a mail is its message id and its content, so taking it twice changes nothing; but for a copy that tells more than
the first did: that a person of the account wrote it. Nothing it says is believed: it names a job or an order, and our own books
say the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from worker.cases.book.bench import Bench
from worker.cases.requests.files import RAW, Files
from worker.cases.requests.identify import Named
from worker.cases.requests.placing import Placing
from worker.cases.requests.register import Arrival, Taken, TakenMail, copies, known, says_more
from worker.clock import Clock
from worker.credits.ledger import Ledger
from worker.intake.mail.reader import Mail, read_mail
from worker.observe import log
from worker.store.bulk import Record, Tx
from worker.store.engine import Store


@dataclass(frozen=True, slots=True)
class Mailroom:
    """The step with its collaborators. `trusted` are the names under which our own mail host vouches for senders."""

    store: Store
    ledger: Ledger
    bench: Bench
    files: Files
    trusted: frozenset[str]
    clock: Clock

    def take(self, raw: bytes, *, origin: str, received_at: datetime | None = None) -> TakenMail:
        """The mail is in the books with its files, on the case it belongs to, as one received then, or now where nobody knows
        when. Raises `TryLater` where it cannot be kept.
        """
        mail = read_mail(raw, trusted=self.trusted)
        if received_at is not None and not mail.marked:
            # the day it was delivered tells it from one of the same words
            mail = replace(mail, key=sha256(f"{mail.key} {received_at:%Y-%m-%d}".encode()).hexdigest())
        before = self.store.read(lambda tx: copies(tx, mail))
        if before and not says_more(mail, before):
            return known(before)
        now = self.clock.now()
        arrival = Arrival(origin, min(received_at or now, now))
        kept: list[Record] = []
        uncommitted = True

        def take(tx: Tx) -> TakenMail:
            nonlocal uncommitted
            uncommitted = True
            taken = Placing(tx, self.ledger, self.bench, mail, Named.by(mail), kept, arrival, now).take()
            uncommitted = False
            return taken

        try:
            for record in self._keep(mail, raw):
                # one by one: what was kept before one fails has to be known
                kept.append(record)
            taken = self.store.write(take)
        except Exception:
            # a disk that is full has no room for the leftovers of every turn. A commit may stand though its answer was lost, also
            # one that is not to be seen yet: then these are the files of its rows, and the sweep finds those without one
            if uncommitted:
                self._drop(kept)
            raise
        if taken.outcome is Taken.KNOWN:
            self._drop(kept)
        log.info("request.taken", outcome=taken.outcome.value, case_id=taken.case_id, state=taken.state, files=len(kept))
        return taken

    def _keep(self, mail: Mail, raw: bytes) -> Iterator[Record]:
        parts = [(RAW, "message/rfc822", "mail", raw)]
        parts += [(a.name, a.declared_type, a.kind, a.content) for a in mail.attachments]
        for name, declared, kind, content in parts:
            yield {
                "name": name,
                "declared_type": declared,
                "kind": kind,
                "size": len(content),
                "sha256": sha256(content).hexdigest(),
                "stored": self.files.keep(content),
            }

    def _drop(self, kept: Sequence[Record]) -> None:
        # what cannot be deleted is a leftover that the sweep finds
        self.files.delete(record["stored"] for record in kept)
