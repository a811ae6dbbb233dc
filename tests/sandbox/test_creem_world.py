"""A world with Creem in it, for the tests of the double: a clock moved by hand, a merchant, an endpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.cases.world import START, HandClock
from worker.sandbox.creem import CreemDouble, Switches
from worker.sandbox.creem.deliveries import HEADER, signature
from worker.strict import loads

KEY = "creem_test_double"
SECRET = "double-secret"


@dataclass
class Endpoint:
    """Hears webhooks, and answers as it is told to."""

    status: int = 200
    bodies: list[bytes] = field(default_factory=list)

    def __call__(self, body: bytes, headers: dict[str, str]) -> int:
        assert headers[HEADER] == signature(SECRET, body)
        self.bodies.append(body)
        return self.status

    @property
    def events(self) -> list[dict[str, Any]]:
        return [loads(body) for body in self.bodies]

    @property
    def kinds(self) -> list[str]:
        return [event["eventType"] for event in self.events]


@dataclass
class World:
    double: CreemDouble
    clock: HandClock
    endpoint: Endpoint
    client: httpx.Client

    def get(self, path: str, **query: str) -> httpx.Response:
        return self.client.get(path, params=query)

    def transaction(self, transaction_id: str = "tran_1") -> dict[str, Any]:
        answer = self.get("/v1/transactions", transaction_id=transaction_id)
        assert answer.status_code == 200
        document: dict[str, Any] = answer.json()
        return document

    def status(self) -> tuple[str, int | None]:
        document = self.transaction()
        return document["status"], document["refunded_amount"]

    def refund(self, transaction_id: str = "tran_1") -> httpx.Response:
        return self.client.post("/v1/refunds", json={"transaction_id": transaction_id})

    def pass_(self, **by: float) -> int:
        """Moves the clock; returns how many things happened."""
        self.clock.pass_(**by)
        return self.double.tick()

    @property
    def gone(self) -> int:
        return self.double.gone("tran_1")


@contextmanager
def a_world(switches: Switches = Switches(), *, paid: bool = True, seed: int = 0) -> Iterator[World]:  # noqa: B008
    """A double with `tran_1` paid: 4900 and 931 of tax."""
    clock, endpoint = HandClock(), Endpoint()
    double = CreemDouble(clock, switches=switches, deliver=endpoint, seed=seed)
    if paid:
        double.pay(
            "tran_1", customer_id="cust_1", amount=4900, tax=931, currency="EUR", order_id="ord_1", request_id="signup-204"
        )
    with httpx.Client(transport=double.transport(), base_url="http://creem.test", headers={"x-api-key": KEY}) as client:
        yield World(double, clock, endpoint, client)


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as made:
        yield made


def test_a_plain_refund_goes_as_documented(world: World) -> None:
    assert world.status() == ("paid", None)
    answer = world.refund()
    assert (answer.status_code, answer.json()) == (200, {"status": "pending"})
    assert world.status() == ("refunded", 5831)
    assert world.endpoint.kinds == []
    assert world.pass_(seconds=2) == 2
    assert world.endpoint.kinds == ["refund.created"]
    assert world.endpoint.events[0]["object"]["status"] == "succeeded"
    assert world.endpoint.events[0]["object"]["refund_amount"] == 5831
    assert (world.gone, world.double.paid("tran_1"), world.double.posts("tran_1")) == (5831, 5831, 1)
    assert world.double.overpaid() == {}
    assert world.double.next_due() is None


def test_what_the_double_saw_is_there_without_asking_any_client(world: World) -> None:
    world.transaction()
    world.refund()
    read, posted = world.double.requests
    assert (read.method, read.path, read.query, read.body) == ("GET", "/v1/transactions", {"transaction_id": "tran_1"}, None)
    assert (posted.method, posted.path, posted.query, posted.status) == ("POST", "/v1/refunds", {}, 200)
    assert posted.body == {"transaction_id": "tran_1"}
    assert posted.at == START
    (movement,) = world.double.movements
    assert (movement.at, movement.transaction_id, movement.amount, movement.kind) == (START, "tran_1", 5831, "refund")
