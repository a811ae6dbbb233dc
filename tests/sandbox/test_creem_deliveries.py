"""How the double delivers: signed and timed as documented (creem-api.md, 11.6 and 11.7), or as a switch has it."""

from datetime import timedelta

import httpx
import pytest

from tests.cases.world import START, HandClock
from tests.sandbox.test_creem_world import KEY, SECRET, a_world
from worker.errors import Misconfigured
from worker.sandbox.creem import CreemDouble, Switches
from worker.sandbox.creem.deliveries import GAPS, HEADER, post_to, signature
from worker.sandbox.creem.documents import milliseconds


def test_the_signature_is_that_of_the_reference() -> None:
    body = b'{"id":"evt_demo0001","eventType":"refund.created","created_at":1794319327904,"object":{"id":"ref_demo0001"}}'
    assert len(body) == 108
    assert signature("example-endpoint-secret", body) == "83f51ec7d05008a6863c60327ebe7f2da4e11283f7634e733369fe71296bf627"


def test_an_event_is_signed_over_the_bytes_that_are_sent() -> None:
    heard: list[tuple[bytes, dict[str, str]]] = []

    def endpoint(body: bytes, headers: dict[str, str]) -> int:
        heard.append((body, headers))
        return 200

    double = CreemDouble(HandClock(), deliver=endpoint)
    double.pay("tran_1", customer_id="cust_1", amount=900, metadata={"name": "Zoë"}, announce=True)
    assert double.tick() == 1
    ((body, headers),) = heard
    assert headers[HEADER] == signature(SECRET, body)
    assert "Zoë".encode() in body


@pytest.mark.parametrize("status", [0, 302, 401, 404, 500, 503])
def test_an_event_nobody_takes_is_sent_five_times_on_schedule_and_then_no_more(status: int) -> None:
    with a_world() as world:
        world.endpoint.status = status
        world.double.refund_in_dashboard("tran_1")
        while (due := world.double.next_due()) is not None:
            world.clock.at = due
            assert world.double.tick() == 1
        expected = (0, 30, 330, 2130, 23730)
        assert [(one.at - START).total_seconds() for one in world.double.attempts] == list(expected)
        assert [one.number for one in world.double.attempts] == [1, 2, 3, 4, 5]
        assert len(set(world.endpoint.bodies)) == 1
        assert sum(GAPS, timedelta()) < timedelta(hours=24)
        assert world.pass_(days=30) == 0


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_an_event_that_was_taken_is_not_sent_again(status: int) -> None:
    with a_world() as world:
        world.double.refund_in_dashboard("tran_1")
        world.endpoint.status = 500
        world.double.tick()
        world.endpoint.status = status
        assert world.pass_(days=1) == 1
        assert [one.status for one in world.double.attempts] == [500, status]


@pytest.mark.parametrize("error", [httpx.ConnectError("down"), ConnectionResetError()])
def test_an_endpoint_that_is_down_is_tried_again(error: Exception) -> None:
    def down(body: bytes, headers: dict[str, str]) -> int:
        raise error

    double = CreemDouble(HandClock(), deliver=down)
    double.pay("tran_1", customer_id="cust_1", amount=900, announce=True)
    assert double.tick() == 1
    assert double.next_due() == START + timedelta(seconds=30)
    assert [one.status for one in double.attempts] == [0]


def test_a_receiver_that_dies_is_told_again_and_its_death_is_not_hidden() -> None:
    def dies(body: bytes, headers: dict[str, str]) -> int:
        raise RuntimeError("killed here")

    double = CreemDouble(HandClock(), deliver=dies)
    double.pay("tran_1", customer_id="cust_1", amount=900, announce=True)
    with pytest.raises(RuntimeError, match="killed here"):
        double.tick()
    assert double.next_due() == START + timedelta(seconds=30)


def test_a_receiver_may_ask_the_api_while_it_hears() -> None:
    clock = HandClock()
    seen: list[str] = []

    def asks(body: bytes, headers: dict[str, str]) -> int:
        with httpx.Client(transport=double.transport(), base_url="http://creem.test", headers={"x-api-key": KEY}) as client:
            seen.append(client.get("/v1/transactions", params={"transaction_id": "tran_1"}).json()["status"])
        return 200

    double = CreemDouble(clock, deliver=asks)
    double.pay("tran_1", customer_id="cust_1", amount=900, announce=True)
    double.refund_in_dashboard("tran_1")
    assert double.tick() == 2
    assert seen == ["refunded", "refunded"]


def test_a_leap_of_the_clock_plays_everything_in_its_order() -> None:
    with a_world(Switches(settle_after=100, turns_early=False)) as world:
        world.endpoint.status = 500
        world.double.refund_in_dashboard("tran_1", 31)
        world.refund()
        assert world.pass_(days=2) == 1 + 4 + 5
        moments = [one.at for one in world.double.attempts]
        assert moments == sorted(moments)
        assert [one.number for one in world.double.attempts] == [1, 2, 1, 2, 3, 3, 4, 4, 5, 5]


# --- as a switch has it


def test_an_event_may_come_several_times_or_under_another_id() -> None:
    with a_world(Switches(webhook_copies=3)) as world:
        world.double.refund_in_dashboard("tran_1")
        world.double.tick()
        assert len(world.endpoint.bodies) == 3
        assert len(set(world.endpoint.bodies)) == 1
        assert len(world.double.events) == 1
    with a_world(Switches(webhook_new_id=True)) as world:
        world.double.refund_in_dashboard("tran_1")
        world.double.tick()
        first, second = world.endpoint.events
        assert first["id"] != second["id"]
        assert first["object"] == second["object"]


def test_an_event_may_be_late() -> None:
    with a_world(Switches(webhook_delay=691_200)) as world:
        world.double.refund_in_dashboard("tran_1")
        assert world.pass_(days=7) == 0
        assert world.pass_(days=1) == 1
        assert world.endpoint.events[0]["created_at"] == milliseconds(START)


def test_events_may_overtake_one_another_and_wait_at_most_a_minute_for_it() -> None:
    with a_world(Switches(webhook_swapped=True)) as world:
        for amount in (1, 2, 3):
            world.double.refund_in_dashboard("tran_1", amount)
        world.double.tick()
        assert [event["object"]["refund_amount"] for event in world.endpoint.events] == [2, 1]
        assert world.pass_(seconds=59) == 0
        assert world.pass_(seconds=1) == 1
        assert world.endpoint.events[-1]["object"]["refund_amount"] == 3
        world.double.refund_in_dashboard("tran_1", 4)
        assert world.double.tick() == 0, "it waits in its turn"


def test_events_may_be_dropped_the_first_few_or_all() -> None:
    with a_world(Switches(webhook_dropped=2)) as world:
        for amount in (1, 2, 3):
            world.double.refund_in_dashboard("tran_1", amount)
        world.double.tick()
        assert [event["object"]["refund_amount"] for event in world.endpoint.events] == [3]


@pytest.mark.parametrize("url", ["http://127.0.0.1:port", "nowhere", "127.0.0.1:8080", "ftp://host/", "http://", ""])
def test_an_endpoint_that_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(Misconfigured, match="--webhooks: expected an address like http://"):
        post_to(url)
