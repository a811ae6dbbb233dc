"""One suite of claims about the provider, put to the double over real HTTP and to Creem's own test mode.

Whoever has a test key sets `REFUNDS_TEST_CREEM_API_KEY`, and for the claims that need a payment `REFUNDS_TEST_CREEM_TRANSACTION`,
one that is paid and may be refunded. A claim that holds here and not there is a fault of the double, and everything that was
proved with it has to be looked at again (creem-api.md, 16).
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from worker.clock import SystemClock
from worker.creem.answers import CallOutcome
from worker.creem.client import Armed, CreemHttp, CreemRefused
from worker.creem.environment import TEST_URL, Environment, address_of
from worker.creem.transactions import Transaction
from worker.deadline import DeadlineTransport
from worker.sandbox.creem import CreemDouble, Switches
from worker.sandbox.creem.server import CreemServer

KEY, PAYMENT = "REFUNDS_TEST_CREEM_API_KEY", "REFUNDS_TEST_CREEM_TRANSACTION"
DOUBLE_KEY = "creem_test_double"
NOBODY = "tran_0000000000000000000000"
LATENCY = 30.0
"""Seconds until a refund is seen in test mode ([O], 3.2)."""


@dataclass
class Provider:
    """A Creem, and a payment there that may be refunded ("" if there is none)."""

    url: str
    key: str
    payment: str
    pause: Callable[[float], None]

    @property
    def creem(self) -> CreemHttp:
        return CreemHttp(address_of(self.key, self.url), self.key)

    def with_key(self, key: str) -> CreemHttp:
        return CreemHttp(address_of(key, self.url), key)

    def plainly(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request without the client, for what the client never sends; never one that could move money."""
        with httpx.Client(transport=DeadlineTransport(), trust_env=False) as client:
            headers = {"x-api-key": self.key, "accept-encoding": "identity"}
            return client.request(method, f"{self.url}{path}", headers=headers, timeout=20, **more)

    def refund(self, transaction_id: str) -> Any:
        return self.creem.refund(Armed(transaction_id, time.monotonic() + 30))

    def paid(self) -> Transaction:
        seen = self.creem.transaction(self.payment)
        assert seen is not None
        return seen


@pytest.fixture(params=["double", "creem"])
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    """The double, and Creem's test mode where there is a key for it."""
    if request.param == "double":
        yield from a_double()
        return
    key = os.environ.get(KEY)
    if not key:
        pytest.skip(f"Creem's test mode was not asked: no {KEY}")
    assert key.startswith("creem_test_"), f"{KEY} is no key of the test environment"
    yield Provider(TEST_URL, key, os.environ.get(PAYMENT, ""), time.sleep)  # noqa: PT022 - the double has something to clear away


@pytest.fixture
def payment(provider: Provider) -> str:
    """A payment that may be refunded."""
    if not provider.payment:
        pytest.skip(f"Creem's test mode was not asked for what needs a payment: no {PAYMENT}")
    return provider.payment


def a_double() -> Iterator[Provider]:
    """Over HTTP, with a clock of its own that the test moves."""
    clock = Ahead()
    double = CreemDouble(clock, api_key=DOUBLE_KEY, switches=Switches())
    double.pay("tran_paid", customer_id="cust_1", amount=4900, tax=931, currency="EUR", order_id="ord_1", request_id="r_1")
    double.pay("tran_other", customer_id="cust_1", amount=900, currency="EUR", order_id="ord_2", paid_at=clock.now())
    with CreemServer(double) as server:
        yield Provider(server.url, DOUBLE_KEY, "tran_paid", clock.pass_)


class Ahead:
    """The host's clock, and so many seconds more."""

    def __init__(self) -> None:
        self._more = timedelta(0)

    def now(self) -> datetime:
        return SystemClock().now() + self._more

    def pass_(self, seconds: float) -> None:
        self._more += timedelta(seconds=seconds)


# --- basics and errors: sections 1, 2, 12


def test_unknown_transaction_is_404_with_a_trace_id(provider: Provider) -> None:
    assert provider.creem.transaction(NOBODY) is None
    answer = provider.plainly("GET", "/v1/transactions", params={"transaction_id": NOBODY})
    assert (answer.status_code, answer.json()["status"], isinstance(answer.json()["trace_id"], str)) == (404, 404, True)


def test_unknown_path_is_404_without_a_trace_id(provider: Provider) -> None:
    for path in ("/v1/refunds", "/v1/transactions/tran_1", "/v1/orders"):
        answer = provider.plainly("GET", path)
        assert (path, answer.status_code) == (path, 404)
        assert "trace_id" not in answer.json()


def test_wrong_key_is_refused_as_key_trouble(provider: Provider) -> None:
    with pytest.raises(CreemRefused) as raised:
        provider.with_key("creem_test_0000000000000000000000").transaction(NOBODY)
    assert raised.value.key_trouble


def test_refund_with_a_wrong_key_is_refused_as_key_trouble(provider: Provider) -> None:
    creem = provider.with_key("creem_test_0000000000000000000000")
    answer = creem.refund(Armed(NOBODY, time.monotonic() + 30))
    assert (answer.outcome, answer.key_trouble) == (CallOutcome.REFUSED, True)


def test_unknown_query_parameter_is_refused(provider: Provider) -> None:
    answer = provider.plainly("GET", "/v1/transactions/search", params={"subscription_id": "sub_1"})
    assert answer.status_code == 400
    assert answer.json()["message"] == ["property subscription_id should not exist"]


def test_error_body_is_the_documented_one(provider: Provider) -> None:
    document = provider.plainly("GET", "/v1/transactions/search", params={"status": "paid"}).json()
    assert {"trace_id", "status", "error", "timestamp"} <= set(document)
    assert isinstance(document["trace_id"], str)
    assert isinstance(document["message"], list)
    assert document["timestamp"] > 10**12


def test_refund_of_nothing_is_refused_and_says_so(provider: Provider) -> None:
    answer = provider.refund(NOBODY)
    assert answer.outcome is CallOutcome.REFUSED
    assert answer.http_status in {400, 404}
    assert answer.trace_id is not None
    assert not answer.key_trouble


def test_refund_takes_no_order(provider: Provider) -> None:
    assert provider.refund("ord_0000000000000000000000").outcome is CallOutcome.REFUSED


# --- transactions: section 4


def test_search_for_nobody_finds_nothing(provider: Provider) -> None:
    assert provider.creem.transactions_of_customer("cust_0000000000000000000000") == []


def test_payment_is_read_as_documented(provider: Provider, payment: str) -> None:
    seen = provider.paid()
    assert seen.id == payment
    # the last claim may have been tried before
    assert (seen.status, seen.remaining) in {("paid", seen.amount_paid), ("refunded", 0)}
    assert Environment.TEST.accepts(seen.mode)
    assert seen.customer is not None
    assert seen.created_at is not None
    assert timedelta(minutes=-1) <= datetime.now(UTC) - seen.created_at < timedelta(days=3650)


def test_payment_has_the_documented_types_on_the_wire(provider: Provider, payment: str) -> None:
    document = provider.plainly("GET", "/v1/transactions", params={"transaction_id": payment}).json()
    assert document["object"] == "transaction"
    for name in ("amount", "amount_paid", "created_at"):
        assert type(document[name]) is int
    for name in ("id", "mode", "currency", "type", "status"):
        assert type(document[name]) is str
    assert document["type"] in {"payment", "invoice"}
    paid = document["amount"] + (document.get("tax_amount") or 0) - (document.get("discount_amount") or 0)
    assert document["amount_paid"] == paid


def test_payment_is_found_by_customer_and_by_order(provider: Provider, payment: str) -> None:
    seen = provider.paid()
    assert seen.customer is not None
    assert payment in {each.id for each in provider.creem.transactions_of_customer(seen.customer)}
    if seen.order is not None:
        asked = {"order_id": seen.order, "page_number": 1, "page_size": 100}
        found = provider.plainly("GET", "/v1/transactions/search", params=asked).json()["items"]
        assert payment in {each["id"] for each in found}


@pytest.mark.usefixtures("payment")
def test_search_for_a_payment_has_the_documented_pages(provider: Provider) -> None:
    customer = provider.paid().customer
    pages = [
        provider.plainly("GET", "/v1/transactions/search", params={"customer_id": customer, "page_number": n, "page_size": 1})
        for n in (1, 2)
    ]
    pagination = pages[0].json()["pagination"]
    assert set(pagination) == {"total_records", "total_pages", "current_page", "next_page", "prev_page"}
    assert (pagination["current_page"], pagination["prev_page"]) == (1, None)
    assert (pagination["next_page"] is None) == (pagination["total_pages"] <= 1)
    assert len(pages[0].json()["items"]) == 1


# --- refunds: section 3. The last claims of the file: they use the payment up


def test_refund_of_a_payment_is_accepted_with_200_and_is_seen_on_the_transaction(provider: Provider, payment: str) -> None:
    before = provider.paid()
    assert before.remaining, f"{PAYMENT} has to name a payment of which something is left"
    answer = provider.refund(payment)
    assert (answer.outcome, answer.http_status, answer.mismatch) == (CallOutcome.ACCEPTED, 200, False)
    assert answer.status in {"pending", "succeeded"}
    for _ in range(int(LATENCY)):
        if provider.paid().refunded_whole:
            break
        provider.pause(1.0)
    after = provider.paid()
    # what goes back is what was paid, tax included, and nothing else about the payment changes
    assert (after.status, after.refunded_amount, after.remaining) == ("refunded", before.amount_paid, 0)
    assert (after.amount, after.amount_paid, after.customer, after.order) == (
        before.amount,
        before.amount_paid,
        before.customer,
        before.order,
    )
    # nothing promises what a second refund answers ([U], 3.3), and so nothing is claimed about it
