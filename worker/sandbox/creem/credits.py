"""Customer credits as Creem keeps them: accounts never below zero, calls that a key makes repeatable ([D], section 10)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.sandbox.creem.answers import Answer, as_json
from worker.sandbox.creem.documents import Document
from worker.sandbox.creem.names import Names

ROOT = "/v1/customer-credits"
_ENTRY = re.compile(rf"{ROOT}/accounts/([^/]+)/(credit|debit)")
_BALANCE = re.compile(rf"{ROOT}/accounts/([^/]+)/balance")
AMOUNT = re.compile(r"[1-9][0-9]{0,17}")


@dataclass
class CreditAccount:
    """One account and what happened to it, as (key, signed credits)."""

    id: str
    customer_id: str
    name: str
    balance: int
    status: str = "active"
    entries: list[tuple[str, int]] = field(default_factory=list)


class Credits:
    """Every account, and every answer that was given for a key."""

    def __init__(self, names: Names) -> None:
        self.accounts: dict[str, CreditAccount] = {}
        self._names = names
        self._answers: dict[str, tuple[Any, Document]] = {}

    def open(self, customer_id: str, balance: int, name: str = "default") -> CreditAccount:
        """A new account of a customer."""
        account = CreditAccount(self._names.new("cca"), customer_id, name, balance)
        self.accounts[account.id] = account
        return account

    def of(self, customer_id: str, name: str = "default") -> CreditAccount:
        """The customer's account of that name."""
        return next(each for each in self.accounts.values() if (each.customer_id, each.name) == (customer_id, name))

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any, now: datetime) -> Answer:
        """The reply to one request below `ROOT`."""
        if (method, path) == ("GET", f"{ROOT}/accounts"):
            return self._listed(query, now)
        balance, entry = _BALANCE.fullmatch(path), _ENTRY.fullmatch(path)
        if method == "GET" and balance and balance[1] in self.accounts:
            return as_json(200, {"balance": str(self.accounts[balance[1]].balance), "updated_at": _iso(now)})
        if method == "POST" and entry and entry[1] in self.accounts:
            return self._booked(self.accounts[entry[1]], entry[2], body, now)
        return self._no(404, "not_found", "No such resource")

    def _listed(self, query: Mapping[str, str], now: datetime) -> Answer:
        limit, after = int(query.get("limit", "10")), query.get("starting_after")
        found = [each for each in self.accounts.values() if each.customer_id == query.get("customer_id", each.customer_id)]
        if after is not None:
            found = found[[each.id for each in found].index(after) + 1 :]
        data = [self._shown(each, now) for each in found[:limit]]
        return as_json(200, {"object": "list", "data": data, "has_more": len(found) > limit})

    def _booked(self, account: CreditAccount, side: str, body: Any, now: datetime) -> Answer:
        asked = body if isinstance(body, dict) else {}
        for name in ("amount", "reference", "idempotency_key"):
            if not isinstance(asked.get(name), str) or not asked[name]:
                return self._no(400, None, f"{name} must be a string", name)
        if not AMOUNT.fullmatch(asked["amount"]):
            return self._no(400, None, "amount must be a positive integer string", "amount")
        content, kept = (account.id, side, asked), self._answers.get(asked["idempotency_key"])
        if kept is not None:
            if kept[0] != content:
                return self._no(409, "idempotency_conflict", "The key was used with other content", "idempotency_key")
            return as_json(201, kept[1], {"x-idempotent-replay": "true"})
        if account.status != "active":
            return self._no(409, "account_not_active", f"The account is {account.status}")
        credits = int(asked["amount"]) * (1 if side == "credit" else -1)
        if account.balance + credits < 0:
            return self._no(422, "insufficient_balance", "Balance too low for this debit", "amount")
        account.balance += credits
        account.entries.append((asked["idempotency_key"], credits))
        document = self._transaction(account, side, asked, now)
        self._answers[asked["idempotency_key"]] = (content, document)
        return as_json(201, document)

    def _transaction(self, account: CreditAccount, side: str, asked: Mapping[str, str], now: datetime) -> Document:
        transaction_id = self._names.new("cct")
        entry = {"id": self._names.new("cce"), "transaction_id": transaction_id, "account_id": account.id, "side": side}
        return {
            "id": transaction_id,
            "store_id": "store_double",
            "reference": asked["reference"],
            "idempotency_key": asked["idempotency_key"],
            "reversal_of": None,
            "entries": [entry | {"amount": asked["amount"], "created_at": _iso(now)}],
            "created_at": _iso(now),
        }

    def _shown(self, account: CreditAccount, now: datetime) -> Document:
        return {
            "id": account.id, "store_id": "store_double", "customer_id": account.customer_id, "name": account.name,
            "unit_label": "credits", "status": account.status, "created_at": _iso(now), "updated_at": _iso(now),
        }  # fmt: skip

    def _no(self, status: int, code: str | None, message: str, param: str | None = None) -> Answer:
        kind = "invalid_request_error"
        error = {"type": kind, "code": code, "message": message, "param": param, "request_id": self._names.new("req")}
        return as_json(status, {"error": error})


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
