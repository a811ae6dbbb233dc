"""What each webhook says, read from the documents of creem-api.md, section 11, and from anything else."""

import hmac
import json
import sys
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.creem.said import CheckoutCompleted, DisputeCreated, Nothing, RefundCreated, SubscriptionChanged, SubscriptionPaid
from worker.creem.webhooks import read_webhook, signature_holds
from worker.strict import Malformed

VECTOR = b'{"id":"evt_demo0001","eventType":"refund.created","created_at":1794319327904,"object":{"id":"ref_demo0001"}}'
TRANSACTION = {
    "id": "tran_7", "mode": "test", "object": "transaction", "amount": 4900, "amount_paid": 5831, "currency": "EUR",
    "type": "invoice", "status": "paid", "refunded_amount": None, "order": "ord_5", "created_at": 1793697342318,
}  # fmt: skip
PRODUCT = {"id": "prod_6", "mode": "test", "name": "Team plan", "price": 4900, "currency": "EUR", "billing_type": "recurring"}
CUSTOMER = {"id": "cust_3", "mode": "test", "email": "dana@example.org", "country": "DE"}
ORDER = {
    "id": "ord_5", "mode": "test", "product": "prod_6", "customer": "cust_3", "amount": 4900, "currency": "EUR", "status": "paid",
    "type": "recurring", "created_at": "2026-11-03T09:15:30.000Z", "updated_at": "2026-11-03T09:15:42.000Z",
}  # fmt: skip
SUBSCRIPTION = {
    "id": "sub_2", "mode": "test", "object": "subscription", "status": "active", "product": PRODUCT, "customer": CUSTOMER,
    "last_transaction_id": "tran_7", "last_transaction_date": "2026-11-03T09:15:42.318Z",
    "current_period_start_date": "2026-11-03T09:15:30.000Z", "current_period_end_date": "2026-12-03T09:15:30.000Z",
    "canceled_at": None, "metadata": {"account_id": "acc_7"}, "created_at": "2026-11-03T09:15:40.000Z",
    "updated_at": "2026-11-03T09:15:42.000Z",
}  # fmt: skip
REFUND = {
    "id": "ref_8", "mode": "test", "object": "refund", "status": "succeeded", "refund_amount": 5831, "refund_currency": "EUR",
    "reason": "requested_by_customer", "transaction": TRANSACTION, "order": ORDER, "customer": CUSTOMER,
    "checkout": {"id": "ch_1", "request_id": "signup-204"}, "created_at": 1794319327551,
}  # fmt: skip
DISPUTE = {
    "id": "disp_3", "mode": "test", "object": "dispute", "amount": 5831, "currency": "EUR", "transaction": TRANSACTION,
    "customer": "cust_3", "created_at": 1794987850020,
}  # fmt: skip
CHECKOUT = {
    "id": "ch_1", "mode": "test", "object": "checkout", "status": "completed", "request_id": "signup-204", "product": PRODUCT,
    "order": ORDER, "customer": CUSTOMER, "metadata": {"workspace": "w-204"},
}  # fmt: skip


def an_event(type_: str, said: dict[str, Any]) -> bytes:
    return json.dumps({"id": "evt_1", "eventType": type_, "created_at": 1794319327904, "object": said}).encode()


def test_signature_is_the_documented_one() -> None:
    assert len(VECTOR) == 108
    right = "83f51ec7d05008a6863c60327ebe7f2da4e11283f7634e733369fe71296bf627"
    assert signature_holds("example-endpoint-secret", VECTOR, right)
    assert not signature_holds("example-endpoint-secret", VECTOR + b"\n", right)
    assert not signature_holds("example-endpoint-secret", VECTOR, None)
    assert not signature_holds("example-endpoint-secret", VECTOR, "é" * 64)


def test_signature_is_weighed_alike_whatever_is_wrong_with_it() -> None:
    """An oracle needs a way that differs with what is wrong; how long the one comparison takes is the library's word."""
    secret = "example-endpoint-secret"
    right = hmac.new(secret.encode(), VECTOR, sha256).hexdigest()

    def way(header: str) -> list[str]:
        called: list[str] = []
        sys.setprofile(lambda _, event, what: called.append(what.__name__) if event == "c_call" else None)
        try:
            signature_holds(secret, VECTOR, header)
        finally:
            sys.setprofile(None)
        return called

    other = "0" if right[0] != "0" else "1"
    wrong = [other + right[1:], right[:-1] + ("0" if right[-1] != "0" else "1"), "0" * 64, right[:10], right + "00", "{}", ""]
    assert all(way(header) == way(right) for header in wrong)
    assert [name.endswith("compare_digest") for name in way(right)].count(True) == 1


def test_refund_names_its_charge_and_keeps_the_snapshot() -> None:
    hook = read_webhook(an_event("refund.created", REFUND))
    assert (hook.id, hook.type, hook.mode) == ("evt_1", "refund.created", "test")
    said = hook.said
    assert isinstance(said, RefundCreated)
    assert (said.refund_id, said.transaction_id, said.amount, said.currency) == ("ref_8", "tran_7", 5831, "EUR")
    assert said.transaction is not None
    assert (said.transaction.status, said.transaction.refunded_amount) == ("paid", 0)
    assert said.request_id == "signup-204"
    assert said.created_at == datetime(2026, 11, 10, 14, 2, 7, 551000, UTC)


@pytest.mark.parametrize(
    ("type_", "said"),
    [
        ("refund.created", REFUND | {"refund_currency": "eur"}),
        ("dispute.created", DISPUTE | {"currency": "eur"}),
    ],
)
def test_currency_is_one_in_whatever_case_it_is_written(type_: str, said: dict[str, Any]) -> None:
    """Reads took it so already: a refund told of in `eur` was one in another currency, and held its charge for ever."""
    heard = read_webhook(an_event(type_, said)).said
    assert isinstance(heard, RefundCreated | DisputeCreated)
    assert heard.currency == "EUR"


def test_charge_is_in_the_currency_that_a_history_names_in_capitals() -> None:
    checkout = CHECKOUT | {"order": ORDER | {"currency": "eur"}}
    for product, last in (({"currency": "eur"}, {}), ({}, {"last_transaction": TRANSACTION | {"currency": "eur"}})):
        paid = SUBSCRIPTION | {"product": PRODUCT | product} | last
        for type_, said in (("checkout.completed", checkout), ("subscription.paid", paid)):
            heard = read_webhook(an_event(type_, said)).said
            assert isinstance(heard, CheckoutCompleted | SubscriptionPaid)
            assert heard.charge.currency == "EUR"


def test_reference_may_be_an_id_alone() -> None:
    said = read_webhook(an_event("refund.created", REFUND | {"transaction": "tran_7", "checkout": "ch_1"})).said
    assert isinstance(said, RefundCreated)
    assert (said.transaction_id, said.transaction, said.request_id) == ("tran_7", None, None)


def test_dispute_names_its_charge() -> None:
    said = read_webhook(an_event("dispute.created", DISPUTE)).said
    at = datetime(2026, 11, 18, 7, 44, 10, 20000, UTC)
    assert said == DisputeCreated("disp_3", "tran_7", 5831, "EUR", at, "cust_3", amount_paid=5831)
    by_id = read_webhook(an_event("dispute.created", DISPUTE | {"transaction": "tran_7"})).said
    assert by_id == DisputeCreated("disp_3", "tran_7", 5831, "EUR", at, "cust_3")


def test_dispute_whose_charge_does_not_say_what_was_paid_holds_it_all_the_same() -> None:
    said = read_webhook(an_event("dispute.created", DISPUTE | {"transaction": TRANSACTION | {"amount_paid": "5831"}})).said
    assert isinstance(said, DisputeCreated)
    assert (said.transaction_id, said.amount_paid, len(said.unread)) == ("tran_7", None, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("amount", spoilt) for spoilt in ("5831", -1, None)),
        *(("currency", None), ("customer", {"object": "customer"}), ("created_at", 1794987850), ("id", None)),
    ],
)
def test_dispute_names_its_charge_whatever_else_of_it_cannot_be_read(name: str, value: Any) -> None:
    """Once such a one held nothing, and the refund left beside it."""
    said = read_webhook(an_event("dispute.created", DISPUTE | {name: value})).said
    assert isinstance(said, DisputeCreated)
    assert said.transaction_id == "tran_7"
    assert [f"object.{name}" in each for each in said.unread] == [True]


def test_checkout_is_a_charge_of_its_customer() -> None:
    said = read_webhook(an_event("checkout.completed", CHECKOUT)).said
    assert isinstance(said, CheckoutCompleted)
    charge = said.charge
    assert (charge.order_id, charge.transaction_id, charge.customer_id, charge.email) == (
        "ord_5",
        None,
        "cust_3",
        "dana@example.org",
    )
    assert (charge.amount, charge.currency, charge.request_id, charge.account_hint) == (4900, "EUR", "signup-204", None)
    expanded = read_webhook(an_event("checkout.completed", CHECKOUT | {"order": ORDER | {"transaction": TRANSACTION}})).said
    assert isinstance(expanded, CheckoutCompleted)
    assert (expanded.charge.transaction_id, expanded.charge.amount, expanded.charge.amount_paid) == ("tran_7", 4900, 5831)
    assert expanded.charge.paid_at == datetime(2026, 11, 3, 9, 15, 42, 318000, UTC)


@pytest.mark.parametrize(
    ("said", "amounts"),
    [
        ({}, (4900, None)),
        ({"amount_paid": None}, (4900, None)),
        ({"amount_paid": 5831}, (4900, 5831)),
        ({"amount_paid": 5831, "transaction": TRANSACTION | {"amount_paid": 2450}}, (4900, 2450)),
        ({"amount_paid": 0, "discount_amount": 4900}, (0, 0)),
        ({"amount_paid": 5831, "transaction": TRANSACTION | {"amount_paid": 0}}, (0, 0)),
    ],
)
def test_price_and_what_was_paid_are_told_apart(said: dict[str, Any], amounts: tuple[int, int | None]) -> None:
    """Once what was paid stood for the price, but where it was 0 the price for what was paid."""
    checkout = read_webhook(an_event("checkout.completed", CHECKOUT | {"order": ORDER | said})).said
    assert isinstance(checkout, CheckoutCompleted)
    assert (checkout.charge.amount, checkout.charge.amount_paid) == amounts


@pytest.mark.parametrize(
    ("last", "amounts"),
    [
        (TRANSACTION, (4900, 5831)),
        (TRANSACTION | {"amount": 4000, "amount_paid": 4760}, (4000, 4760)),
        (TRANSACTION | {"amount_paid": 0}, (0, 0)),
        (TRANSACTION | {"amount_paid": None}, (4900, None)),
        ("tran_7", (4900, None)),
    ],
    ids=str,
)
def test_price_of_a_period_is_what_its_transaction_says(last: Any, amounts: tuple[int, int | None]) -> None:
    paid = read_webhook(an_event("subscription.paid", SUBSCRIPTION | {"last_transaction": last})).said
    assert isinstance(paid, SubscriptionPaid)
    assert (paid.charge.amount, paid.charge.amount_paid) == amounts


@pytest.mark.parametrize(("last", "amount"), [(None, 14700), ("tran_7", 14700), (TRANSACTION | {"amount": 9800}, 9800)], ids=str)
def test_price_of_several_units_is_what_their_transaction_says_else_that_of_each(last: Any, amount: int) -> None:
    """Once it was that of one, and so were the credits; and no refund of it could leave, for Creem showed another amount."""
    said = {"items": [{"units": 3}], "last_transaction": last}
    paid = read_webhook(an_event("subscription.paid", SUBSCRIPTION | said)).said
    assert isinstance(paid, SubscriptionPaid)
    assert (paid.charge.amount, paid.charge.units) == (amount, 3)
    with pytest.raises(Malformed, match="product"):
        read_webhook(an_event("subscription.paid", SUBSCRIPTION | {"items": [{"units": 10**12}]}))


@pytest.mark.parametrize(
    ("begins", "first"), [("2026-11-03T09:15:30.000Z", True), ("2026-12-03T09:15:30.000Z", False), (None, False)]
)
def test_period_that_begins_with_its_subscription_is_the_first(begins: str | None, first: bool) -> None:
    said = read_webhook(an_event("subscription.paid", SUBSCRIPTION | {"current_period_start_date": begins})).said
    assert isinstance(said, SubscriptionPaid)
    charge = said.charge
    assert (charge.transaction_id, charge.subscription_id, charge.amount, charge.account_hint) == (
        "tran_7",
        "sub_2",
        4900,
        "acc_7",
    )
    assert charge.first is first


@pytest.mark.parametrize(
    ("said", "units"), [({}, 1), ({"items": [{"units": 3}]}, 3), ({"items": [{}, {"units": 2}, "x"]}, 2), ({"items": None}, 1)]
)
def test_units_of_a_subscription_are_those_of_its_items(said: dict[str, Any], units: int) -> None:
    paid = read_webhook(an_event("subscription.paid", SUBSCRIPTION | said)).said
    assert isinstance(paid, SubscriptionPaid)
    assert paid.charge.units == units


@pytest.mark.parametrize(
    ("status", "canceled_at", "cancelled"),
    [
        ("scheduled_cancel", None, "2026-11-03T09:15:42"),
        ("canceled", "2026-11-05T00:00:00.000Z", "2026-11-05T00:00:00"),
        ("active", "2026-11-05T00:00:00.000Z", None),
    ],
)
def test_status_says_whether_a_subscription_was_cancelled(status: str, canceled_at: str | None, cancelled: str | None) -> None:
    said = read_webhook(an_event("subscription.update", SUBSCRIPTION | {"status": status, "canceled_at": canceled_at})).said
    assert isinstance(said, SubscriptionChanged)
    assert (said.cancelled_at.isoformat()[:19] if said.cancelled_at else None) == cancelled


@pytest.mark.parametrize("type_", ["credits.granted", "customer_credits.exhausted", "order.invented"])
def test_other_events_say_nothing_here(type_: str) -> None:
    assert read_webhook(an_event(type_, {"id": "x"})).said == Nothing()


@pytest.mark.parametrize(
    ("type_", "said", "where"),
    [
        ("refund.created", {k: v for k, v in REFUND.items() if k != "refund_amount"}, "object.refund_amount"),
        ("refund.created", REFUND | {"refund_amount": "5831"}, "object.refund_amount"),
        ("refund.created", REFUND | {"refund_amount": -1}, "object.refund_amount"),
        ("refund.created", REFUND | {"transaction": {}}, "object.transaction"),
        ("dispute.created", DISPUTE | {"transaction": None}, "object.transaction"),
        ("checkout.completed", CHECKOUT | {"order": "ord_5"}, "object.order"),
        ("subscription.paid", SUBSCRIPTION | {"product": "prod_6"}, "object.product.price"),
        ("subscription.paid", SUBSCRIPTION | {"metadata": {"account_id": 7}}, "object.metadata.account_id"),
    ],
)
def test_fault_is_named_with_its_place(type_: str, said: dict[str, Any], where: str) -> None:
    with pytest.raises(Malformed, match=where):
        read_webhook(an_event(type_, said))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*REFUND, *CHECKOUT, *SUBSCRIPTION]), inner, max_size=4)
    ),
    max_leaves=8,
)
EVENTS = ["checkout.completed", "subscription.paid", "subscription.update", "refund.created", "dispute.created"]
WHOLE: dict[str, dict[str, Any]] = dict(zip(EVENTS, [CHECKOUT, SUBSCRIPTION, SUBSCRIPTION, REFUND, DISPUTE], strict=True))


@given(
    type_=st.sampled_from(EVENTS), spoilt=st.dictionaries(st.sampled_from([*REFUND, *CHECKOUT, *SUBSCRIPTION]), JSON, max_size=4)
)
def test_nothing_but_malformed_is_ever_raised(type_: str, spoilt: dict[str, Any]) -> None:
    try:
        read_webhook(an_event(type_, WHOLE[type_] | spoilt))
    except Malformed as fault:
        assert fault.detail.isprintable()


@given(st.binary(max_size=200))
def test_bytes_are_read_or_malformed(raw: bytes) -> None:
    try:
        read_webhook(raw)
    except Malformed:
        return
    raise AssertionError("no such bytes are a webhook")
