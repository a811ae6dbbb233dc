"""Requests, review and notices on a real database with real files and a real outbox; the clock in the test's hands."""

from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.cases.world import a_purchase, an_account
from tests.money.world import MoneyWorld
from worker.cases.effects.notifier import Mailer, Notifier
from worker.cases.requests.evidence import Evidence
from worker.cases.requests.files import Files
from worker.cases.requests.mailroom import Mailroom
from worker.cases.requests.mark import MARK, Mark
from worker.cases.requests.register import TakenMail
from worker.cases.review.reviewer import Reviewer
from worker.clock import written
from worker.credits.ledger import Ledger
from worker.creem.environment import Environment
from worker.notices.mail.postbox import Outbox
from worker.store.bulk import Tx
from worker.store.engine import Store

OUR_HOST = "mx.layers.example"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


def a_mail(
    text: str = "Please refund my order ord_1.",
    *,
    sender: str = "acc_1@example.org",
    subject: str = "Refund",
    verified: bool = True,
    message_id: str = "<mail-1@example.org>",
    files: dict[str, bytes] | None = None,
    **headers: str,
) -> bytes:
    """One mail as our mail host hands it over."""
    mail = EmailMessage()
    if verified:
        mail["Authentication-Results"] = f"{OUR_HOST}; dmarc=pass header.from={sender.rpartition('@')[2]}"
    mail["From"], mail["To"], mail["Subject"] = sender, "support@layers.example", subject
    mail["Date"], mail["Message-ID"] = "Mon, 02 Mar 2026 09:58:00 +0000", message_id
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    for name, content in (files or {}).items():
        mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes(policy=policy.SMTP)


class PeopleWorld(MoneyWorld):
    """A World with a mailroom, a human queue and customers who are written to."""

    def __init__(self, store: Store, folder: Path, **more: Any) -> None:
        super().__init__(store, **more)
        ledger = Ledger()
        self.folder, self.outbox = folder, folder / "outbox"
        self.files = Files(Mark(folder / "evidence", store, self.clock))
        self.mailroom = Mailroom(self.guarded, ledger, self.bench, self.files, frozenset({OUR_HOST}), self.clock)
        self.evidence = Evidence(self.guarded, self.files, self.bench, self.clock)
        self.reviewer = Reviewer(self.guarded, ledger, self.bench, Environment.TEST, self.clock)
        mailer = Mailer(Outbox(self.outbox), "support@layers.example", None, repeatable=True)
        self.notifier = Notifier(self.guarded, mailer, self.bench.editions, self.clock)

    def mail(self, text: str = "Please refund my order ord_1.", **more: Any) -> TakenMail:
        """A mail arrives and is taken."""
        return self.mailroom.take(a_mail(text, **more), origin="maildir")

    def bought_once(
        self,
        order: str = "ord_1",
        account: str = "acc_1",
        *,
        ago: timedelta = timedelta(days=1),
        amount: int = 900,
        tax: int = 0,
        **more: Any,
    ) -> str:
        """An account with one paid purchase, which Creem knows as well; returns the transaction."""
        paid_at: datetime = self.clock.now() - ago
        transaction = f"tran_{order}"
        known: dict[str, Any] = {"customer_id": f"cust_{account}", "product_id": f"prod_{order}"}
        paid: dict[str, Any] = {"amount": amount, "tax": tax, "paid_at": paid_at}
        self.double.pay(transaction, order_id=order, email=f"{account}@example.org", **paid, **known)
        when = written(paid_at)
        purchase = a_purchase(order, account, more.pop("credits", 50), when, transaction_id=transaction, **known)
        self.load(an_account(account), {**purchase, "amount": amount, **more})
        return transaction

    def decide(self, name: str, choice: str | None = None, *, by: str = "ann", reason: str = "as asked") -> dict[str, Any]:
        return self.reviewer.decide(name, choice, by=by, reason=reason)

    def choices(self, name: str, by: str = "ann") -> dict[str, Any]:
        """What each choice of this person would do, by name."""
        return {choice["choice"]: choice for choice in self.reviewer.look(name, by=by)["choices"]}

    def queue(self) -> list[str]:
        return [item["case_id"] for item in self.reviewer.queue(limit=100, after=None)[0]]

    def written(self) -> list[EmailMessage]:
        """Everything customers were written, oldest first, once the notices that are due have been sent."""
        while self.notifier.send():
            pass
        read = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in self.outbox.glob("*.eml")]
        return sorted(read, key=lambda mail: str(mail["Message-ID"]))

    def lying(self) -> list[Path]:
        """The files of customers that lie in the folder."""
        return lying_in(self.files.folder)

    def rows(self, statement: Any) -> list[Any]:
        def read(tx: Tx) -> list[Any]:
            return list(tx.all(statement))

        return self.store.read(read)


def lying_in(folder: Path) -> list[Path]:
    """What lies in a folder of customers' files, but for whose it is."""
    return [path for path in folder.iterdir() if path.name != MARK]


def text_of(mail: EmailMessage) -> str:
    """What a plain-text reader shows."""
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())
