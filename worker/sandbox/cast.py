"""The people of a made-up world: their accounts, and purchases that cover what their jobs took."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from worker.clock import written
from worker.intake.wire import EventType, event_document
from worker.sandbox.telling import Role

JOBS_AN_ACCOUNT = 12
"""Most jobs one account gets: far from the number of reversals a day that the terms allow an account (velocity)."""
PACKS = ((25, 900), (60, 1900), (150, 3900))
"""Credits and price in cents, smallest first."""
SOURCE = "/accounts"


@dataclass(frozen=True, slots=True)
class Member:
    """One account and what it is in the stories for."""

    account_id: str
    role: Role

    @property
    def email(self) -> str:
        """Its address."""
        return f"{self.account_id}@example.org"


def cast(seed: int, accounts: int, jobs: Mapping[Role, int]) -> dict[Role, list[Member]]:
    """At least so many accounts, each role with enough for its jobs."""
    least = {
        Role.SUSPENDED: 2,
        Role.DELETED: 1,
        Role.TWO_LOTS: 1 + accounts // 20,
        Role.PASS_HOLDER: 1 + accounts // 12,
        Role.NEWCOMER: 1 + accounts // 10,
    }
    least[Role.BUYER] = max(1, accounts - sum(least.values()))
    number = count(1)
    return {
        role: [Member(f"acc_{seed}_{next(number):03}", role) for _ in range(max(few, -(-jobs.get(role, 0) // JOBS_AN_ACCOUNT)))]
        for role, few in least.items()
    }


def account_record(member: Member) -> dict[str, Any] | None:
    """Its import record; None for a newcomer, whom only an event makes known."""
    if member.role is Role.NEWCOMER:
        return None
    status = member.role.value if member.role in {Role.SUSPENDED, Role.DELETED} else "active"
    return {"record": "account", "id": member.account_id, "email": member.email, "status": status}


def account_opened(member: Member, at: datetime) -> str:
    """The event that makes a newcomer known."""
    data = {"account_id": member.account_id, "email": member.email}
    return event_document(EventType.ACCOUNT_OPENED, data, id=f"evt-{member.account_id}", source=SOURCE, time=at)


def purchase_records(member: Member, debits: int, now: datetime, chance: Random) -> list[dict[str, Any]]:
    """What the account bought, oldest first, with credits for `debits` and some to spare."""
    if member.role is Role.NEWCOMER:
        return []
    till = _Till(member, chance)
    if member.role is Role.PASS_HOLDER:
        return [till.sell("pass_24h", 500, 0, now - timedelta(hours=20))]
    days = 70.0
    sold: list[dict[str, Any]] = []
    if member.role is Role.TWO_LOTS:
        sold.append(till.sell("credit_pack", 150, 3, now - timedelta(days=days)))
    elif member.role is Role.BUYER and chance.random() < 0.3:
        sold += till.subscription(now - timedelta(days=days))
        days -= 40
    for credits, cents in _packs(debits - sum(int(record["credits"]) for record in sold) + chance.randint(1, 9)):
        days -= 4
        # days apart: nothing here may look like a charge made twice
        sold.append(till.sell("credit_pack", cents, credits, now - timedelta(days=days, minutes=chance.randint(0, 600))))
    return sold


def _packs(credits: int) -> Iterator[tuple[int, int]]:
    while credits > 0:
        pack = next((pack for pack in PACKS if pack[0] >= credits), PACKS[-1])
        yield pack
        credits -= pack[0]


@dataclass
class _Till:
    member: Member
    chance: Random
    sold: int = 0

    def sell(self, kind: str, cents: int, credits: int, paid_at: datetime, **more: str) -> dict[str, Any]:
        self.sold += 1
        name = f"{self.member.account_id.removeprefix('acc_')}_{self.sold}"
        record = {"record": "purchase", "id": f"ord_{name}", "account_id": self.member.account_id}
        record |= {"customer_id": f"cust_{self.member.account_id.removeprefix('acc_')}", "product_id": f"prod_{kind}_{credits}"}
        record |= {"kind": kind, "billing": "first", "transaction_id": f"tran_{name}", "request_id": f"chk-{name}"}
        bought: dict[str, Any] = {"amount": cents, "currency": "USD", "credits": credits, "paid_at": written(paid_at)}
        return record | bought | more

    def subscription(self, first: datetime) -> list[dict[str, Any]]:
        month = timedelta(days=30)
        sold = []
        for billing, start in (("first", first), ("renewal", first + month)):
            period = {"period_start": written(start), "period_end": written(start + month), "billing": billing}
            sold.append(self.sell("subscription", 1500, 40, start, **period))
        if self.chance.random() < 0.5:
            # cancelled after the renewal: it runs out at the end of its period
            sold[-1]["cancelled_at"] = written(first + month + timedelta(days=2))
        return sold
