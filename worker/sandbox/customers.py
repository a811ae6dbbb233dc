"""Customers who write, for the demo: they mail support, answer what they are asked, and read what they are told.

The mails go into a Maildir as a mail host would deliver them, without anybody vouching for the sender; the answers come out of
the outbox that the worker writes. The one person who decides in review is played here as well.
"""

import re
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from rich.text import Text

from worker.cases.review.reviewer import Reviewer
from worker.errors import Refused
from worker.sandbox.money_stories import Letter
from worker.screen import cell, out, table

SUPPORT = "support@layers.example"
_REFERENCE = re.compile(r"\[R-[0-9A-Z]+\]")


@dataclass(slots=True)
class Correspondence:
    """Everything written to and fro in the demo."""

    mail_dir: Path
    outbox: Path
    letters: list[Letter]
    sent: int = 0
    answered: set[str] = field(default_factory=set)
    approved: set[str] = field(default_factory=set)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    """What happened, in order, as (who, to whom, what)."""
    _read: set[str] = field(default_factory=set)

    def prepare(self) -> None:
        """The folders are there."""
        for name in ("new", "cur", "tmp"):
            (self.mail_dir / name).mkdir(parents=True)

    def write_all(self) -> None:
        """Every customer mails support."""
        for letter in self.letters:
            self._deliver(letter.sender, "Refund", letter.text)

    def turn(self, reviewer: Reviewer) -> None:
        """Customers read what has come and answer questions; the person approves what is to be approved."""
        for path in sorted(self.outbox.glob("*.eml")):
            if path.name not in self._read:
                self._read.add(path.name)
                self._receive(message_from_bytes(path.read_bytes(), policy=policy.default))
        for item in reviewer.queue(limit=200, after=None)[0]:
            wanted = any(letter.approved and item["order_id"] and item["order_id"] in letter.text for letter in self.letters)
            if wanted and item["kind"] == "request" and item["state"] == "review" and item["case_id"] not in self.approved:
                self._approve(reviewer, item["case_id"])

    def show(self) -> None:
        """Prints the letters, in order."""
        shown = table("\nRequests by mail, from file to answer", "who", "to", "what")
        for who, to, what in self.told:
            ours = who in {"Image to Layers", "a person"}
            shown.add_row(Text(who, "cyan" if ours else ""), cell(to), cell(what))
        out.print(shown)

    def _receive(self, mail: EmailMessage) -> None:
        customer, subject = str(mail["To"]), str(mail["Subject"])
        if customer not in {letter.sender for letter in self.letters}:
            return
        self.told.append(("Image to Layers", customer, subject))
        if _REFERENCE.search(subject) and customer not in self.answered:
            self.answered.add(customer)
            self._deliver(customer, f"Re: {subject}", "Yes, it was me.")

    def _approve(self, reviewer: Reviewer, case_id: str) -> None:
        try:
            told = reviewer.decide(case_id, None, by="ann", reason="asked in time and nothing was used")
        except Refused:
            return  # it moved meanwhile; the next turn looks again
        self.approved.add(case_id)
        self.told.append(("a person", case_id, f"approved: {told['told']}"))

    def _deliver(self, sender: str, subject: str, text: str) -> None:
        self.sent += 1
        mail = EmailMessage(policy=policy.SMTP)
        mail["From"], mail["To"], mail["Subject"] = sender, SUPPORT, subject
        mail["Message-ID"] = f"<{self.sent}.{sender}>"
        mail.set_content(text)
        unfinished = self.mail_dir / "tmp" / str(self.sent)
        unfinished.write_bytes(mail.as_bytes())
        unfinished.rename(self.mail_dir / "new" / str(self.sent))
        self.told.append((sender, "support", f"{subject}: {text}"))
