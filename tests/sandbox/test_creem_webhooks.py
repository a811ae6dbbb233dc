"""What the events of the double say, and when a refund is told (creem-api.md, 11.1 to 11.5)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.cases.world import START
from tests.sandbox.test_creem_world import World, a_world
from worker.sandbox.creem import RefundAnswer, Switches
from worker.sandbox.creem.documents import iso, milliseconds
from worker.sandbox.creem.words import Announced, Ending, Nested


def test_a_sale_is_told_with_everything_expanded() -> None:
    with a_world(paid=False) as world:
        world.double.pay(
            "tran_1", customer_id="cust_1", amount=900, tax=171, order_id="ord_1", request_id="signup-204", metadata={"a": "b"},
            email="dana@example.org", announce=True,
        )  # fmt: skip
        world.double.tick()
        (event,) = world.endpoint.events
        checkout = event["object"]
        assert (event["eventType"], event["created_at"]) == ("checkout.completed", milliseconds(START))
        assert (checkout["object"], checkout["request_id"], checkout["status"]) == ("checkout", "signup-204", "completed")
        assert checkout["metadata"] == {"a": "b"}
        assert (checkout["order"]["id"], checkout["order"]["transaction"], checkout["order"]["type"]) == (
            "ord_1",
            "tran_1",
            "onetime",
        )
        assert checkout["order"]["created_at"] == iso(START - timedelta(seconds=12))
        assert (checkout["customer"]["email"], checkout["customer"]["country"]) == ("dana@example.org", "DE")
        assert "subscription" not in checkout


def test_a_first_invoice_is_told_twice_over_and_a_renewal_once() -> None:
    with a_world(paid=False) as world:
        for name in ("tran_1", "tran_2"):
            world.double.pay(
                name,
                customer_id="cust_1",
                amount=1900,
                subscription_id="sub_1",
                period_start=START,
                period_end=START,
                announce=True,
            )
        world.double.tick()
        assert world.endpoint.kinds == ["checkout.completed", "subscription.paid", "subscription.paid"]
        sold, paid, renewed = (event["object"] for event in world.endpoint.events)
        assert sold["subscription"]["product"] == "prod_pack"
        assert (paid["product"]["id"], paid["customer"]["id"], paid["last_transaction_id"]) == ("prod_pack", "cust_1", "tran_1")
        assert renewed["last_transaction_id"] == "tran_2"


def test_an_order_need_not_name_its_transaction() -> None:
    with a_world(Switches(order_names_transaction=False), paid=False) as world:
        world.double.pay("tran_1", customer_id="cust_1", amount=900, announce=True)
        world.double.tick()
        assert "transaction" not in world.endpoint.events[0]["object"]["order"]


def told(world: World, act: Callable[[World], object]) -> dict[str, Any]:
    """The object of the one event that comes of it."""
    act(world)
    world.pass_(seconds=2)
    (event,) = world.endpoint.events
    thing: dict[str, Any] = event["object"]
    return thing


def test_a_refund_is_told_with_its_neighbours_and_a_transaction_that_names_no_customer() -> None:
    with a_world() as world:
        thing = told(world, World.refund)
        assert (thing["refund_amount"], thing["refund_currency"], thing["reason"]) == (5831, "EUR", "requested_by_customer")
        assert thing["created_at"] == milliseconds(START)
        assert (thing["order"]["status"], thing["customer"]["id"], thing["checkout"]["request_id"]) == (
            "paid",
            "cust_1",
            "signup-204",
        )
        assert "customer" not in thing["transaction"]


def test_a_refund_carries_the_transaction_from_before_it_or_after_it() -> None:
    for after, shown in ((False, ("paid", None)), (True, ("refunded", 5831))):
        with a_world(Switches(snapshot_after=after)) as world:
            inside = told(world, World.refund)["transaction"]
            assert (inside["status"], inside["refunded_amount"]) == shown


def test_a_dispute_is_told_with_ids_and_the_money_gone() -> None:
    with a_world() as world:
        thing = told(world, lambda world: world.double.dispute("tran_1"))
        assert (thing["object"], thing["amount"], thing["currency"]) == ("dispute", 5831, "EUR")
        assert (thing["order"], thing["customer"]) == ("ord_1", "cust_1")
        assert (thing["transaction"]["status"], thing["transaction"]["refunded_amount"]) == ("chargedBack", 5831)


@pytest.mark.parametrize("nested", [Nested.IDS, Nested.MISSING])
def test_neighbours_may_be_ids_or_missing(nested: Nested) -> None:
    with a_world(Switches(nested=nested), paid=False) as world:
        world.double.pay("tran_1", customer_id="cust_1", amount=1900, order_id="ord_1", subscription_id="sub_1")
        thing = told(world, World.refund)
        if nested is Nested.IDS:
            assert (thing["order"], thing["customer"], thing["subscription"]) == ("ord_1", "cust_1", "sub_1")
            assert thing["checkout"].startswith("ch_")
        else:
            assert not {"order", "customer", "subscription", "checkout"} & set(thing)
        assert thing["transaction"]["id"] == "tran_1"
        world.double.cancel_subscription("sub_1")
        world.double.tick()
        ended = world.endpoint.events[-1]["object"]
        assert (ended["product"], ended["customer"]) == ("prod_pack", "cust_1")
        assert world.get("/v1/subscriptions", subscription_id="sub_1").json()["product"] == "prod_pack"


@pytest.mark.parametrize(
    ("announced", "ends", "statuses"),
    [
        (Announced.ON_SUCCESS, Ending.SUCCEEDED, ["succeeded"]),
        (Announced.ON_SUCCESS, Ending.FAILED, []),
        (Announced.AT_CREATION, Ending.SUCCEEDED, ["pending"]),
        (Announced.AT_CREATION, Ending.FAILED, ["pending"]),
        (Announced.BOTH, Ending.SUCCEEDED, ["pending", "succeeded"]),
        (Announced.BOTH, Ending.FAILED, ["pending"]),
    ],
)
def test_a_refund_is_told_at_creation_or_on_success(announced: Announced, ends: Ending, statuses: list[str]) -> None:
    with a_world(Switches(announced=announced, ends=ends)) as world:
        world.refund()
        world.pass_(seconds=2)
        assert [event["object"]["status"] for event in world.endpoint.events] == statuses
        assert len({event["id"] for event in world.endpoint.events}) == len(statuses)
        assert len({event["object"]["id"] for event in world.endpoint.events}) <= 1


def test_a_refund_that_succeeds_at_once_is_told_once_whenever_refunds_are_told() -> None:
    for announced in Announced:
        with a_world(Switches(announced=announced, answer=RefundAnswer.SUCCEEDED)) as world:
            assert told(world, World.refund)["status"] == "succeeded"
