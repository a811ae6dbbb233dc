"""Customer credits at Creem: units that customers see and spend there (creem-api.md, 10).

Every call that changes a balance carries a key, and Creem answers the same key with what it did the first time: such a call is
repeated until it is heard. What comes back here is no money.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

from worker.creem.envelope import Understood, word
from worker.creem.reading import Unreadable, text
from worker.creem.reads import BODY_LIMIT, CreemAway, Reads
from worker.creem.wire import Ask, Pace, Unheard, Wire
from worker.errors import plain_line

PATH = "/v1/customer-credits/accounts"
PAGE, PAGES = 100, 100
LONGEST_KEY = 100
SHORT = "insufficient_balance"
_ID = re.compile(r"[A-Za-z0-9_-]+")


class Booked(StrEnum):
    """What became of one entry."""

    DONE = "done"
    SHORT = "short"
    """The balance is lower than what should be taken; nothing was taken."""
    LATER = "later"
    """Not known, or not now: the same call is made again."""


@dataclass(frozen=True, slots=True)
class CreditAnswer:
    """One answer in a line. `transaction_id` names the entry at Creem; `heard`: Creem itself answered."""

    booked: Booked
    detail: str
    transaction_id: str | None = None
    heard: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """Credits for a customer, or from one where negative. `key` is what makes the call repeatable."""

    key: str
    customer_id: str
    credits: int
    reference: str


class CreditAccounts:
    """The accounts of one name, one for each customer. Each exchange is whole within `seconds`."""

    def __init__(self, wire: Wire, pace: Pace, reads: Reads, *, seconds: float) -> None:
        self._wire, self._pace, self._reads, self._seconds = wire, pace, reads, seconds
        self._known: dict[tuple[str, str], str] = {}

    def book(self, entry: Entry, name: str) -> CreditAnswer:
        """Adds the credits to the customer's account called `name`, or takes them. Safe to repeat, with the same entry.

        Raises `CreemAway` or `CreemRefused` where the account cannot be asked for.
        """
        account_id = self._account(entry.customer_id, name)
        if account_id is None:
            return CreditAnswer(Booked.LATER, f"Creem has no credits account {name!r} of {entry.customer_id}")
        self._pace.wait()
        side = "credit" if entry.credits > 0 else "debit"
        body = {"amount": str(abs(entry.credits)), "reference": entry.reference, "idempotency_key": _short(entry.key)}
        ask = Ask("POST", f"{PATH}/{account_id}/{side}", content=json.dumps(body, separators=(",", ":")).encode())
        heard = self._wire.once(ask, seconds=self._seconds, most=BODY_LIMIT)
        if isinstance(heard, Unheard):
            why = f"no answer ({type(heard.error).__name__}): {heard.error}"
            return CreditAnswer(Booked.LATER, plain_line(self._wire.hide(why)), heard=False)
        return self._understood(heard.said, body["idempotency_key"], side)

    def _understood(self, said: Understood, key: str, side: str) -> CreditAnswer:
        document, line = said.document, self._wire.hide(said.line)
        if document is not None and said.http_status in {200, 201}:
            transaction_id = word(document.get("id"))
            if transaction_id is None or document.get("idempotency_key") != key:
                return CreditAnswer(Booked.LATER, f"Creem answered {said.http_status} about another entry")
            return CreditAnswer(Booked.DONE, f"{transaction_id} at Creem", transaction_id)
        error = document.get("error") if document is not None else None
        if not isinstance(error, dict):
            return CreditAnswer(Booked.LATER, plain_line(line), heard=said.creems)
        told = plain_line(self._wire.hide(f"Creem answered {said.http_status}: {word(error.get('message'))}"))
        short = said.http_status == 422 and error.get("code") == SHORT and side == "debit"
        return CreditAnswer(Booked.SHORT if short else Booked.LATER, told)

    def _account(self, customer_id: str, name: str) -> str | None:
        known = self._known.get((customer_id, name))
        if known is None:
            known = self._find(customer_id, name)
            if known is not None:
                self._known[customer_id, name] = known
        return known

    def _find(self, customer_id: str, name: str) -> str | None:
        after: str | None = None
        for _ in range(PAGES):
            query = {"customer_id": customer_id, "limit": str(PAGE)} | ({"starting_after": after} if after else {})
            page = self._reads.ask(Ask("GET", PATH, query), _page_of(customer_id))
            if page is None:
                return None
            for account_id, called in page.accounts:
                if called.casefold() == name.casefold():
                    return account_id
            if not page.more or not page.accounts:
                return None
            if page.accounts[-1][0] == after:
                raise CreemAway(f"the credits accounts of {customer_id} lead from one page to the same")
            after = page.accounts[-1][0]
        raise CreemAway(f"the credits accounts of {customer_id} go on after {PAGES} pages of {PAGE}")


@dataclass(frozen=True, slots=True)
class _Page:
    accounts: list[tuple[str, str]]
    more: bool


def _page_of(customer_id: str) -> Callable[[dict[str, Any]], _Page]:
    def read(document: dict[str, Any]) -> _Page:
        data = document.get("data")
        if not isinstance(data, list) or not all(isinstance(each, dict) for each in data):
            raise Unreadable("a list of credits accounts is expected")
        if any(each.get("customer_id") != customer_id for each in data):
            raise Unreadable("credits accounts of another customer")
        return _Page([(_id(each.get("id")), text(each.get("name"))) for each in data], document.get("has_more") is True)

    return read


def _id(value: object) -> str:
    # it becomes a part of an address: `../../refunds` would be another one
    found = text(value)
    if _ID.fullmatch(found) is None:
        raise Unreadable("an id of a credits account is of letters, digits, _ and -")
    return found


def _short(key: str) -> str:
    return key if len(key) <= LONGEST_KEY else sha256(key.encode()).hexdigest()
