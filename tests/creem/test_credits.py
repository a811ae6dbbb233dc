"""Customer credits at Creem: only its own word about this very entry ends it, all else means the same call once more."""

import json
from typing import Any

import httpx
import pytest

from tests.creem.world import KEY, Here, an_error, here, saying
from worker.creem.credits import Booked, CreditAnswer, Entry
from worker.errors import TryLater

ENTRY = Entry("reversal:job_1:ord_1", "cust_1", 5, "case_1")
TAKING = Entry("freeze:ord_1:pay_1.0", "cust_1", -7, "case_1")


def an_account(**changes: Any) -> dict[str, Any]:
    return {"id": "cca_1", "customer_id": "cust_1", "name": "default", "status": "active"} | changes


def accounts(*found: Any, more: bool = False) -> httpx.Response:
    return saying({"object": "list", "data": list(found), "has_more": more})


def booked(status: int = 201, **changes: Any) -> httpx.Response:
    return saying({"id": "cct_1", "idempotency_key": ENTRY.key, "reference": "case_1", "entries": []} | changes, status)


def an_objection(status: int, code: str | None, message: str = "Balance too low for this debit") -> httpx.Response:
    kind = "invalid_request_error"
    return saying({"error": {"type": kind, "code": code, "message": message, "param": None, "request_id": "req_1"}}, status)


def asked(world: Here, entry: Entry = ENTRY, name: str = "Default") -> CreditAnswer:
    return world.creem.credits.book(entry, name)


def test_entry_is_sent_with_its_key_to_the_customers_account() -> None:
    world = here(accounts(an_account()), booked(), booked())
    assert asked(world) == CreditAnswer(Booked.DONE, "cct_1 at Creem", "cct_1")
    assert asked(world).booked is Booked.DONE
    found, first, second = world.sent
    assert (found.method, found.url.path, dict(found.url.params)) == (
        "GET",
        "/v1/customer-credits/accounts",
        {"customer_id": "cust_1", "limit": "100"},
    )
    for call in (first, second):
        assert (call.method, call.url.path) == ("POST", "/v1/customer-credits/accounts/cca_1/credit")
        assert json.loads(call.content) == {"amount": "5", "reference": "case_1", "idempotency_key": "reversal:job_1:ord_1"}


def test_taking_is_a_debit_and_a_long_key_is_sent_as_its_digest() -> None:
    long = Entry("freeze:" + "x" * 200, "cust_1", -7, "case_1")
    world = here(accounts(an_account()), booked(idempotency_key="?"))
    asked(world, long)
    call = world.sent[1]
    said = json.loads(call.content)
    assert (call.url.path.rpartition("/")[2], said["amount"], len(said["idempotency_key"])) == ("debit", "7", 64)


def test_account_is_looked_for_on_every_page_and_by_its_name() -> None:
    first = accounts(an_account(id="cca_1", name="bonus"), an_account(id="cca_2", name="gifts"), more=True)
    world = here(first, accounts(an_account(id="cca_3", name="DEFAULT")), booked())
    assert asked(world).booked is Booked.DONE
    assert world.sent[1].url.params["starting_after"] == "cca_2"
    assert world.sent[2].url.path.endswith("/cca_3/credit")


@pytest.mark.parametrize(
    "page", [accounts(), accounts(an_account(name="bonus")), accounts(more=True), saying(an_error(404), 404)]
)
def test_no_account_of_the_name_is_no_reason_to_give_up(page: httpx.Response) -> None:
    world = here(page)
    assert asked(world) == CreditAnswer(Booked.LATER, "Creem has no credits account 'Default' of cust_1")
    assert len(world.sent) == 1


@pytest.mark.parametrize(
    "page",
    [
        accounts(an_account(customer_id="cust_2")),
        accounts(an_account(id=None)),
        accounts(an_account(name=7)),
        accounts("cca_1"),
        saying({"data": {}}),
        *(accounts(an_account(id=name)) for name in ("../../refunds", "..", "a?b", "a#b", "a/b")),
    ],
)
def test_page_that_cannot_be_meant_is_not_believed(page: httpx.Response) -> None:
    world = here(page)
    with pytest.raises(TryLater):
        asked(world)
    assert {call.method for call in world.sent} == {"GET"}


def test_pages_that_never_end_are_left() -> None:
    with pytest.raises(TryLater, match="from one page to the same"):
        asked(here(accounts(an_account(name="bonus"), more=True)))
    turned = [accounts(an_account(id=f"cca_{number}", name="bonus"), more=True) for number in range(101)]
    with pytest.raises(TryLater, match="go on after 100 pages"):
        asked(here(*turned))


@pytest.mark.parametrize(
    ("reply", "heard"),
    [
        (httpx.ReadTimeout("slow"), False),
        (httpx.ConnectError("refused"), False),
        (saying(an_error(500), 500), True),
        (saying(an_error(429), 429), True),
        (httpx.Response(502, text="<html>"), False),
        (httpx.Response(201, text="<html>"), False),
        (booked(idempotency_key="another"), True),
        (booked(id=None), True),
        (booked(id=7), True),
        (an_objection(409, "idempotency_conflict", "The key was used with other content"), True),
        (an_objection(409, "account_not_active", "The account is frozen"), True),
        (an_objection(422, None), True),
        (an_objection(400, "insufficient_balance"), True),
        (saying({"error": "insufficient_balance"}, 422), False),
    ],
)
def test_everything_else_means_the_same_call_once_more(reply: httpx.Response | Exception, heard: bool) -> None:
    answer = asked(here(accounts(an_account()), reply), TAKING)
    assert (answer.booked, answer.transaction_id, answer.heard) == (Booked.LATER, None, heard)


def test_only_a_debit_can_be_too_much() -> None:
    short = an_objection(422, "insufficient_balance")
    assert asked(here(accounts(an_account()), short), TAKING).booked is Booked.SHORT
    assert asked(here(accounts(an_account()), short), ENTRY).booked is Booked.LATER


@pytest.mark.parametrize("reply", [an_objection(409, None, f"no, {KEY}"), httpx.ReadError(KEY), saying(an_error(400, KEY), 400)])
def test_key_is_in_no_answer(reply: httpx.Response | Exception) -> None:
    assert KEY not in repr(asked(here(accounts(an_account()), reply)))
