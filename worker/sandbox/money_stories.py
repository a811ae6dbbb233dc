"""Charges that go wrong, for the demo: each story says what was charged, what Creem then does, and how it must end.

The ends are written down from the published policy; nothing here asks the policy's code.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from worker.clock import written
from worker.sandbox.creem import CreemDouble, Lost, RefundAnswer, Switches
from worker.sandbox.creem.words import Announced, Fault

PACK, CENTS = 25, 900


@dataclass(frozen=True, slots=True)
class ChargeEnd:
    """How the case of one charge must end, in its story, which is told in one line: its state, and the minor units that must have
    left for it.
    """

    line: str
    state: str
    gone: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to support, and whether a person approves what it asks for."""

    sender: str
    text: str
    approved: bool


@dataclass(slots=True)
class Till:
    """One customer as a story makes them. `later` is done at Creem once the worker runs."""

    name: str
    now: datetime
    double: CreemDouble
    line: str
    records: list[dict[str, Any]] = field(default_factory=list)
    ends: dict[tuple[str, str], ChargeEnd] = field(default_factory=dict)
    """By (kind, order)."""
    later: list[Callable[[], None]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    def charged(self, number: int, *, minutes_ago: float, switches: Switches | None = None, request: str | None = None) -> str:
        """One charge for the same pack; returns its order."""
        paid_at = self.now - timedelta(minutes=minutes_ago)
        order, transaction = f"ord_{self.name}_{number}", f"tran_{self.name}_{number}"
        if switches is not None:
            self.double.set(transaction, switches)
        bought: dict[str, Any] = {
            "customer_id": f"cust_{self.name}",
            "product_id": f"prod_pack_{PACK}",
            "request_id": request or f"chk_{order}",
        }
        self.double.pay(
            transaction, amount=CENTS, order_id=order, paid_at=paid_at, email=f"acc_{self.name}@example.org", **bought
        )
        self.records.append(
            {"record": "purchase", "id": order, "account_id": f"acc_{self.name}", "kind": "credit_pack", "billing": "first"}
            | {"transaction_id": transaction, "amount": CENTS, "currency": "USD", "credits": PACK}
            | {"paid_at": written(paid_at)}
            | bought
        )
        return order

    def spent(self, credits: int) -> None:
        """A job that delivered took so many credits."""
        at = written(self.now - timedelta(minutes=1))
        job = {"record": "layer_job", "id": f"job_{self.name}", "account_id": f"acc_{self.name}", "credits": credits}
        self.records.append(job | {"paid_with": "credits", "status": "succeeded", "layers_expected": 6, "submitted_at": at})

    def writes(self, text: str, *, approved: bool = False) -> None:
        """The customer mails support; `approved`: what a person says to it in review."""
        self.letters.append(Letter(f"acc_{self.name}@example.org", text, approved))

    def ends_as(self, order: str, state: str, *, gone: int = 0, kind: str = "duplicate_charge") -> None:
        """How the case of this order must end."""
        self.ends[kind, order] = ChargeEnd(self.line, state, gone)


def charged_twice(till: Till) -> None:
    """Charged twice within minutes: the later charge went back to the card"""
    till.charged(1, minutes_ago=30)
    till.ends_as(till.charged(2, minutes_ago=27), "refunded", gone=CENTS)


def charged_three_times(till: Till) -> None:
    """Charged three times in a row: two went back, the first stays valid"""
    till.charged(1, minutes_ago=30)
    for number, ago in ((2, 28), (3, 25)):
        till.ends_as(till.charged(number, minutes_ago=ago), "refunded", gone=CENTS)


def one_checkout_hours_apart(till: Till) -> None:
    """One checkout charged twice, hours apart: the later charge went back"""
    till.charged(1, minutes_ago=400, request=f"chk_{till.name}")
    till.ends_as(till.charged(2, minutes_ago=30, request=f"chk_{till.name}"), "refunded", gone=CENTS)


def answer_lost(till: Till) -> None:
    """Creem paid and its answer was lost: not asked again, proved by reading"""
    till.charged(1, minutes_ago=30)
    order = till.charged(2, minutes_ago=26, switches=Switches(post=Fault.TIMEOUT, post_side=Lost.AFTER_COMMIT, post_times=1))
    till.ends_as(order, "refunded", gone=CENTS)


def creem_takes_its_time(till: Till) -> None:
    """Creem said pending for a while: watched until the charge showed it"""
    slow = Switches(answer=RefundAnswer.PENDING, settle_after=6.0, turns_early=False, announced=Announced.AT_CREATION)
    till.charged(1, minutes_ago=30)
    till.ends_as(till.charged(2, minutes_ago=29, switches=slow), "refunded", gone=CENTS)


def no_money_at_creem(till: Till) -> None:
    """The answer was lost and nothing moved: no second call, read until a person looks"""
    lost = Switches(post=Fault.TIMEOUT, post_side=Lost.BEFORE_COMMIT, post_times=1)
    till.charged(1, minutes_ago=30)
    till.ends_as(till.charged(2, minutes_ago=26, switches=lost), "unknown")


def bought_again_hours_later(till: Till) -> None:
    """Bought again hours later: perhaps meant, a person decides"""
    till.charged(1, minutes_ago=500)
    till.ends_as(till.charged(2, minutes_ago=30), "review")


def later_lot_used(till: Till) -> None:
    """Charged twice, but the later credits were already used: a person decides"""
    till.charged(1, minutes_ago=30)
    order = till.charged(2, minutes_ago=28)
    till.spent(PACK + 3)
    till.ends_as(order, "review")


def refunded_in_the_dashboard(till: Till) -> None:
    """A colleague was faster in the dashboard: nothing is sent a second time"""
    till.charged(1, minutes_ago=30)
    till.charged(2, minutes_ago=27)
    till.double.refund_in_dashboard(f"tran_{till.name}_2")
    till.ends_as(f"ord_{till.name}_2", "external", gone=CENTS)


def disputed(till: Till) -> None:
    """The buyer went to the bank: everything stops, a person answers with the evidence"""
    order = till.charged(1, minutes_ago=3000)
    till.spent(3)
    till.later.append(lambda: till.double.dispute(f"tran_{till.name}_1"))
    till.ends_as(order, "review", gone=CENTS, kind="dispute")


def asked_for_an_unused_pack(till: Till) -> None:
    """Asked by mail for an unused pack: confirmed by an answer, approved by a person, sent back"""
    order = till.charged(1, minutes_ago=2000)
    till.writes(f"Hello, I never used my order {order}. Please refund it.", approved=True)
    till.ends_as(order, "refunded", gone=CENTS, kind="request")


def asked_too_late(till: Till) -> None:
    """Asked by mail nine days later: declined, with the clause"""
    order = till.charged(1, minutes_ago=9 * 1440)
    till.writes(f"I want my money back for {order}.")
    till.ends_as(order, "declined", kind="request")


def asked_for_a_used_pack(till: Till) -> None:
    """Asked by mail for a pack that was used in part: a person decides"""
    order = till.charged(1, minutes_ago=2000)
    till.spent(3)
    till.writes(f"Please refund {order}.")
    till.ends_as(order, "review", kind="request")


MONEY_STORIES: tuple[Callable[[Till], None], ...] = (
    charged_twice,
    charged_three_times,
    one_checkout_hours_apart,
    answer_lost,
    creem_takes_its_time,
    no_money_at_creem,
    bought_again_hours_later,
    later_lot_used,
    refunded_in_the_dashboard,
    disputed,
    asked_for_an_unused_pack,
    asked_too_late,
    asked_for_a_used_pack,
)


@dataclass(frozen=True, slots=True)
class MoneyWorld:
    """What to import, what to do at Creem once the worker runs, and what must come of it, by (kind, order)."""

    import_lines: list[str]
    later: list[Callable[[], None]]
    expected: dict[tuple[str, str], ChargeEnd]
    letters: list[Letter]


def make_money_world(seed: int, double: CreemDouble, *, now: datetime) -> MoneyWorld:
    """Every story once, each with a customer of its own, paid at the double."""
    lines: list[str] = []
    later: list[Callable[[], None]] = []
    expected: dict[tuple[str, str], ChargeEnd] = {}
    letters: list[Letter] = []
    for number, tell in enumerate(MONEY_STORIES, 1):
        till = Till(f"{seed}_m{number:02}", now, double, (tell.__doc__ or tell.__name__).splitlines()[0])
        tell(till)
        account = {"record": "account", "id": f"acc_{till.name}", "email": f"acc_{till.name}@example.org", "status": "active"}
        lines += [json.dumps(record, separators=(",", ":")) for record in (account, *till.records)]
        later += till.later
        letters += till.letters
        expected |= till.ends
    return MoneyWorld(lines, later, expected, letters)
