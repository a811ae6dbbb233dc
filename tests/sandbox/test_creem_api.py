"""The double's API is Creem's where Creem documents it (creem-api.md, sections 1 to 5, 8 and 12)."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.cases.world import START
from tests.sandbox.test_creem_world import World, a_world
from worker.sandbox.creem import CreemDouble, Switches
from worker.sandbox.creem.documents import iso, milliseconds


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as made:
        yield made


def refused(answer: httpx.Response, status: int = 400) -> Any:
    """The message of a refusal in Creem's envelope."""
    body = answer.json()
    assert answer.status_code == body["status"] == status
    assert len(body["trace_id"]) == 36
    assert isinstance(body["timestamp"], int)
    assert isinstance(body["error"], str)
    return body.get("message")


def test_a_transaction_has_the_fields_and_times_of_the_schema() -> None:
    with a_world() as world:
        assert world.transaction() == {
            "id": "tran_1", "mode": "test", "object": "transaction", "amount": 4900, "amount_paid": 5831, "discount_amount": None,
            "currency": "EUR", "type": "payment", "tax_country": "DE", "tax_amount": 931, "status": "paid",
            "refunded_amount": None, "order": "ord_1", "subscription": None, "customer": "cust_1", "description": "Credits",
            "created_at": milliseconds(START),
        }  # fmt: skip


def test_an_invoice_has_its_period_and_a_renewal_has_no_order() -> None:
    with a_world(paid=False) as world:
        for name in ("tran_1", "tran_2"):
            world.double.pay(
                name, customer_id="cust_1", amount=1900, subscription_id="sub_1", period_start=START, period_end=START
            )
        first, renewal = world.transaction("tran_1"), world.transaction("tran_2")
        assert (first["type"], first["period_start"], first["tax_amount"]) == ("invoice", milliseconds(START), None)
        assert first["order"] is not None
        assert renewal["order"] is None


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/transactions", "transaction_id must be a string"),
        ("/v1/transactions?transaction_id=", "transaction_id must be a string"),
        ("/v1/transactions?transaction_id=a&transaction_id=b", "transaction_id must be a string"),
        ("/v1/transactions?transaction_id=tran_1&expand=order", "property expand should not exist"),
        ("/v1/transactions/search?subscription_id=sub_1", "property subscription_id should not exist"),
        ("/v1/transactions/search?status=paid", "property status should not exist"),
        ("/v1/transactions/search?page_number=0", "page_number must not be less than 1"),
        ("/v1/transactions/search?page_number=one", "page_number must not be less than 1"),
        ("/v1/transactions/search?page_size=101", "page_size must not be greater than 100"),
        ("/v1/subscriptions?id=sub_1", "property id should not exist"),
    ],
)
def test_what_a_query_may_not_say_is_refused(world: World, path: str, message: str) -> None:
    assert refused(world.client.get(path)) == [message]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "transaction_id must be a string"),
        ({"transaction_id": 7}, "transaction_id must be a string"),
        ({"transaction_id": "tran_1", "amount": 5831}, "property amount should not exist"),
        ({"transaction_id": "tran_1", "reason": "x"}, "property reason should not exist"),
    ],
)
def test_a_refund_takes_a_transaction_and_nothing_else(world: World, body: dict[str, Any], message: str) -> None:
    assert refused(world.client.post("/v1/refunds", json=body)) == [message]
    assert world.double.movements == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "application/json"),
        (b'{"transaction_id":', "application/json"),
        (b'["tran_1"]', "application/json"),
        (b'{"transaction_id":"tran_1"}', "text/plain"),
        (b'{"transaction_id":"tran_1","transaction_id":"tran_2"}', "application/json"),
    ],
)
def test_a_body_that_is_not_plainly_json_moves_nothing(world: World, content: bytes, kind: str) -> None:
    refused(world.client.post("/v1/refunds", content=content, headers={"content-type": kind}))
    assert world.double.movements == []


def test_unknown_ids_are_404_with_a_trace_and_unknown_paths_without(world: World) -> None:
    assert refused(world.refund("ord_1"), 404) == ["Transaction not found"]
    assert refused(world.get("/v1/transactions", transaction_id="tran_9"), 404) == ["Transaction not found"]
    assert refused(world.get("/v1/subscriptions", subscription_id="sub_9"), 404) == ["Subscription not found"]
    for method, path in (
        ("GET", "/v1/refunds"),
        ("PUT", "/v1/refunds"),
        ("GET", "/v1/transactions/tran_1"),
        ("GET", "/v1/orders"),
    ):
        answer = world.client.request(method, path)
        assert answer.status_code == 404
        assert "trace_id" not in answer.json()


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("message", [True, False])
def test_a_wrong_key_is_refused_with_or_without_a_message(status: int, message: bool) -> None:
    with a_world(Switches(wrong_key_status=status, wrong_key_message=message)) as world:
        for headers in ({"x-api-key": "creem_test_other"}, {"x-api-key": "", "authorization": "Bearer creem_test_double"}):
            answer = world.client.post("/v1/refunds", json={"transaction_id": "tran_1"}, headers=headers)
            assert refused(answer, status) == (["Invalid API key"] if message else None)
        assert world.double.movements == []
        assert world.double.posts("tran_1") == 2


def test_an_idempotency_key_is_not_read() -> None:
    with a_world() as world:
        answers = [
            world.client.post("/v1/refunds", json={"transaction_id": "tran_1"}, headers={"Idempotency-Key": "k"})
            for _ in range(2)
        ]
        assert [answer.status_code for answer in answers] == [200, 400]


def test_searching_pages_through_everything_in_an_order_that_means_nothing() -> None:
    with a_world(paid=False) as world:
        paid = [f"tran_{number}" for number in range(23)]
        for name in paid:
            world.double.pay(name, customer_id="cust_1", amount=900)
        world.double.pay("tran_other", customer_id="cust_2", amount=900, product_id="prod_2", order_id="ord_2")
        pages = [
            world.get("/v1/transactions/search", customer_id="cust_1", page_number=str(page)).json() for page in (1, 2, 3, 4)
        ]
        found = [item["id"] for page in pages for item in page["items"]]
        assert sorted(found) == sorted(paid)
        assert found not in (paid, paid[::-1], sorted(paid))
        assert [len(page["items"]) for page in pages] == [10, 10, 3, 0]
        assert pages[0]["pagination"] == {
            "total_records": 23, "total_pages": 3, "current_page": 1, "next_page": 2, "prev_page": None,
        }  # fmt: skip
        assert (pages[2]["pagination"]["next_page"], pages[2]["pagination"]["prev_page"]) == (None, 2)
        for query in ({"order_id": "ord_2"}, {"product_id": "prod_2"}, {"customer_id": "cust_2", "order_id": "ord_2"}):
            assert [item["id"] for item in world.get("/v1/transactions/search", **query).json()["items"]] == ["tran_other"]
        assert world.get("/v1/transactions/search", order_id="ord_9").json()["pagination"]["total_pages"] == 0
        assert len(world.get("/v1/transactions/search", page_size="100").json()["items"]) == 24


def test_a_subscription_names_its_last_payment_and_has_its_times_as_text() -> None:
    with a_world(paid=False) as world:
        for name in ("tran_1", "tran_2"):
            world.double.pay(
                name, customer_id="cust_1", amount=1900, subscription_id="sub_1", period_start=START, period_end=START
            )
        found = world.get("/v1/subscriptions", subscription_id="sub_1").json()
        assert (found["last_transaction_id"], found["status"], found["canceled_at"]) == ("tran_2", "active", None)
        assert found["current_period_start_date"] == found["next_transaction_date"] == iso(START) == "2026-03-02T10:00:00.000Z"
        assert (found["product"]["id"], found["customer"]["id"]) == ("prod_pack", "cust_1")


def test_cancelling_refunds_nothing_and_refunding_cancels_nothing() -> None:
    with a_world(paid=False) as world:
        world.double.pay("tran_1", customer_id="cust_1", amount=1900, subscription_id="sub_1")
        world.refund()
        world.pass_(seconds=5)
        assert world.get("/v1/subscriptions", subscription_id="sub_1").json()["status"] == "active"
        world.double.cancel_subscription("sub_1")
        assert world.get("/v1/subscriptions", subscription_id="sub_1").json()["status"] == "scheduled_cancel"
        world.double.cancel_subscription("sub_1", scheduled=False)
        ended = world.get("/v1/subscriptions", subscription_id="sub_1").json()
        assert (ended["status"], ended["canceled_at"]) == ("canceled", iso(world.clock.at))
        world.double.tick()
        assert world.gone == 1900
        assert world.endpoint.kinds[-2:] == ["subscription.scheduled_cancel", "subscription.canceled"]


def test_a_payment_that_holds_no_money_is_not_refunded() -> None:
    with a_world(paid=False) as world:
        world.double.pay("tran_1", customer_id="cust_1", amount=900, status="declined")
        assert refused(world.refund()) == ["Transaction with status declined cannot be refunded"]
        assert (world.transaction()["status"], world.transaction()["amount_paid"]) == ("declined", None)


def test_people_cannot_do_at_creem_what_cannot_be_done(world: World) -> None:
    with pytest.raises(ValueError, match="tran_1 was paid before"):
        world.double.pay("tran_1", customer_id="cust_1", amount=1)
    with pytest.raises(ValueError, match="has 5831 left; 6000 cannot be given back"):
        world.double.refund_in_dashboard("tran_1", 6000)


def test_bank_that_comes_back_to_a_payment_takes_nothing_more(world: World) -> None:
    world.double.refund_in_dashboard("tran_1", 831)
    for _ in range(2):
        world.clock.at += timedelta(days=1)
        world.double.dispute("tran_1")
        world.double.tick()
    told = [json.loads(body) for body in world.endpoint.bodies]
    disputes = [one["object"] for one in told if one["eventType"] == "dispute.created"]
    assert len({one["id"] for one in disputes}) == len({one["created_at"] for one in disputes}) == 2
    assert world.double.gone("tran_1", "chargeback") == 5000


def test_dispute_that_is_won_brings_the_money_back_and_nobody_is_told(world: World) -> None:
    world.double.dispute("tran_1")
    world.double.tick()
    told, shown = len(world.endpoint.bodies), world.status()
    world.double.win_dispute("tran_1")
    world.double.tick()
    assert (world.double.gone("tran_1"), len(world.endpoint.bodies), world.status()) == (0, told, shown)
    with pytest.raises(ValueError, match="the bank has nothing of tran_1"):
        world.double.win_dispute("tran_1")


def test_the_same_seed_makes_the_same_world() -> None:
    def story(seed: int) -> list[Any]:
        with a_world(seed=seed) as world:
            said: list[Any] = [world.refund("tran_9").json(), world.refund().json()]
            world.pass_(seconds=5)
            for number in range(20):
                world.double.pay(f"tran_more_{number}", customer_id="cust_1", amount=900)
            found = world.get("/v1/transactions/search").json()
            return [*said, found, world.endpoint.bodies, world.double.movements]

    assert story(4) == story(4)
    assert story(4) != story(5)


def test_the_double_can_be_had_without_an_endpoint() -> None:
    with a_world() as world:
        deaf = CreemDouble(world.clock)
        deaf.pay("tran_1", customer_id="cust_1", amount=900, announce=True)
        assert deaf.tick() == 0
        assert [event.type for event in deaf.events] == ["checkout.completed"]
