"""Purchases that a history tells of without their transaction: Creem tells of the same payment, by that and by its order."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.cases.world import an_account
from tests.logs import heard as logged
from tests.money.test_told import heard, known_product
from tests.money.world import MoneyWorld
from worker.clock import written
from worker.sandbox.creem import Switches
from worker.store.engine import Store
from worker.store.tables import purchases

MONTH = timedelta(days=30)


@pytest.fixture
def world(store: Store) -> Iterator[MoneyWorld]:
    made = MoneyWorld(store)
    known_product(made)
    made.load(an_account("acc_1"))
    yield made
    assert made.audit().breaches == []
    made.close()


def pay(world: MoneyWorld, name: str, *, month: int = 0, minutes: float = 0, **more: Any) -> None:
    """A month of one subscription is paid, and Creem tells of it. All of them name the order by which it began."""
    begins = world.started - timedelta(days=40) + month * MONTH
    of_it: dict[str, Any] = {"customer_id": "cust_1", "product_id": "prod_month", "subscription_id": "sub_1", "order_id": "ord_1"}
    of_it |= {
        "period_start": begins,
        "period_end": begins + MONTH,
        "email": "acc_1@example.org",
        "amount": 1500,
        "announce": True,
    }
    world.double.pay(name, paid_at=begins + timedelta(minutes=minutes), **of_it | more)


def history(world: MoneyWorld, **more: Any) -> dict[str, Any]:
    """The first month, as a history has it that knows no transactions."""
    paid_at = world.started - timedelta(days=40) - timedelta(seconds=3)
    told = world.bought("ord_1", "x", written(paid_at), kind="subscription", product_id="prod_month", amount=1500, credits=40)
    del told["transaction_id"]
    return told | more


def booked(world: MoneyWorld) -> dict[str, str | None]:
    """The transaction of each purchase of the account."""
    mine = select(purchases.c.purchase_id, purchases.c.transaction_id).where(purchases.c.account_id == "acc_1")
    return {row.purchase_id: row.transaction_id for row in world.store.read(lambda tx: tx.all(mine))}


@pytest.mark.parametrize("first", ["history", "webhooks", "neither"])
@pytest.mark.parametrize("by_order", [True, False], ids=["by its order", "by no order"])
def test_first_payment_of_a_subscription_grants_once_whoever_tells_of_it_first(
    world: MoneyWorld, first: str, by_order: bool
) -> None:
    """Once it was booked twice: twice the credits, and a case of a charge made twice whose refund was all that had been paid."""
    # the checkout, which alone names the order, may not say which transaction paid it
    world.double.switches = Switches(order_names_transaction=by_order)
    if first == "history":
        world.load(history(world))
    elif first == "neither":
        world.put_in(history(world))
    pay(world, "tran_1")
    heard(world)
    world.load(history(world))
    assert (world.credits(), list(booked(world).values())) == (40, ["tran_1"])
    world.settle_down(days=1)
    assert [world.case(name) for name in booked(world)] == [None]
    assert (world.dead(), world.double.posts("tran_1")) == ([], 0)


def test_purchase_that_several_of_one_batch_add_to_is_written_once(world: MoneyWorld) -> None:
    """Once the batch was tried five times, and then each of its rows alone."""
    world.put_in(history(world))
    pay(world, "tran_1")
    world.double.tick()
    with logged("warning") as lines:
        world.sweep()
    assert lines.getvalue() == ""


@pytest.mark.parametrize(
    "more",
    [{"amount": 1500, "minutes": 11}, {"amount": 3000}, {"product_id": "prod_pack"}, {"currency": "EUR"}],
    ids=["later", "another amount", "another product", "another currency"],
)
def test_payment_of_no_order_that_differs_from_a_nameless_one_is_another(world: MoneyWorld, more: dict[str, Any]) -> None:
    world.double.switches = Switches(order_names_transaction=False)
    world.load(history(world))
    pay(world, "tran_1", **more)
    heard(world)
    assert booked(world) == {"ord_1": None, "tran_1": "tran_1"}


@pytest.mark.parametrize("more", [{"amount": 1200, "tax": 300}, {"minutes": 60 * 22}], ids=["with its tax", "on that day"])
def test_order_says_of_a_first_payment_that_it_is_one(world: MoneyWorld, more: dict[str, Any]) -> None:
    """A history may name the price or what was paid, and when it heard of it."""
    world.load(history(world))
    pay(world, "tran_1", **more)
    heard(world)
    assert (world.credits(), booked(world)) == (40, {"ord_1": "tran_1"})


def test_month_that_names_the_order_of_a_nameless_first_payment_is_a_purchase_of_its_own(world: MoneyWorld) -> None:
    """It may be all that Creem tells of, and in one batch with the history."""
    world.put_in(history(world))
    pay(world, "tran_2", month=1)
    heard(world)
    assert (world.credits(), booked(world)) == (80, {"ord_1": None, "tran_2": "tran_2"})


def test_trial_that_names_the_order_of_a_nameless_first_payment_is_not_that(world: MoneyWorld) -> None:
    world.load(history(world))
    pay(world, "tran_1", amount=0)
    heard(world)
    assert booked(world) == {"ord_1": None, "tran_1": "tran_1"}


def test_first_payment_made_twice_is_found_though_the_history_names_neither(world: MoneyWorld) -> None:
    world.load(history(world))
    for number in (1, 2):
        pay(world, f"tran_{number}", minutes=5 * (number - 1))
        heard(world)
    assert booked(world) == {"ord_1": "tran_1", "tran_2": "tran_2"}
    world.settle_down(days=1)
    assert (world.state("tran_2"), world.double.gone("tran_1"), world.double.gone("tran_2")) == ("refunded", 0, 1500)
    assert world.credits() == 40


@pytest.mark.parametrize("named_by", ["reconcile", "import"])
def test_charge_beside_an_earlier_one_that_names_no_transaction_goes_back_once_that_is_known(
    world: MoneyWorld, named_by: str
) -> None:
    """Once its only claim was spent on that, and whoever was charged twice was paid from Creem's dashboard or by nobody."""
    records = world.history_of_charges()
    world.load(records[1] | {"transaction_id": None}, records[2])
    world.settle_down(days=1)
    assert (world.state("ord_1"), world.claim("tran_1")) == ("review", None)
    case = world.case("ord_1")
    assert case is not None
    assert "the earlier charge ord_0 names no transaction at Creem" in case["decision"]["reason"]
    if named_by == "reconcile":
        world.reconciler().reconcile()
    else:
        world.load(records[1])
    world.settle_down(days=1)
    assert (world.state("ord_1"), world.double.gone("tran_0"), world.double.gone("tran_1")) == ("refunded", 0, 900)


def a_month(world: MoneyWorld, number: int, **more: Any) -> dict[str, Any]:
    """A month of the subscription with its period, as a history has it that knows no transactions; all but the first renew it."""
    begins = world.started - timedelta(days=40) + number * MONTH
    told = {
        "paid_at": written(begins - timedelta(seconds=3)),
        "period_start": written(begins),
        "period_end": written(begins + MONTH),
    }
    return history(world) | told | ({"id": f"month_{number}", "billing": "renewal"} if number else {}) | more


@pytest.mark.parametrize("first", ["history", "webhooks", "neither"])
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "after the first month"])
def test_renewal_grants_once_whoever_tells_of_it_first(world: MoneyWorld, first: str, alone: bool) -> None:
    """Once it was booked twice: twice the credits, and a case of a charge made twice for a person."""
    told = [a_month(world, number) for number in ((1,) if alone else (0, 1))]
    if first == "history":
        world.load(*told)
    elif first == "neither":
        world.put_in(*told)
    # what began it may be from before anybody heard
    pay(world, "tran_0", announce=not alone)
    pay(world, "tran_1", month=1)
    heard(world)
    world.load(*told)
    assert (world.credits(), sorted(booked(world).values(), key=str)) == (40 * len(told), ["tran_0", "tran_1"][-len(told) :])
    world.settle_down(days=1)
    assert [world.case(name) for name in booked(world)] == [None] * len(told)
    assert world.dead() == []


@pytest.mark.parametrize(
    "more",
    [
        {"amount": 3000},
        {"product_id": "prod_pack"},
        {"currency": "EUR"},
        {"month": 2},
        {"period_start": None, "period_end": None},
    ],
    ids=["another amount", "another product", "another currency", "another month", "a month that is not known"],
)
def test_renewal_that_differs_from_a_nameless_one_is_another(world: MoneyWorld, more: dict[str, Any]) -> None:
    world.load(a_month(world, 1))
    pay(world, "tran_0", announce=False)
    pay(world, "tran_1", **{"month": 1} | more)
    heard(world)
    assert booked(world) == {"month_1": None, "tran_1": "tran_1"}


def test_renewal_made_twice_is_found_though_the_history_names_neither(world: MoneyWorld) -> None:
    world.load(a_month(world, 1))
    pay(world, "tran_0", announce=False)
    for number in (1, 2):
        pay(world, f"tran_{number}", month=1, minutes=5 * (number - 1))
        heard(world)
    assert booked(world) == {"month_1": "tran_1", "tran_2": "tran_2"}
    world.settle_down(days=1)
    assert (world.state("tran_2"), world.double.gone("tran_1"), world.double.gone("tran_2")) == ("refunded", 0, 1500)
    assert world.credits() == 40


def test_two_renewals_of_which_a_history_names_neither_are_two(world: MoneyWorld) -> None:
    world.load(a_month(world, 1), a_month(world, 1, id="month_1_again"))
    assert sorted(booked(world)) == ["month_1", "month_1_again"]
