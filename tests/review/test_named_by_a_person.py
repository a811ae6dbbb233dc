"""Which order a mail means that names none: a person says it, on record, of the account's own orders; nothing leaves by that."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.requests.world import PeopleWorld, text_of
from worker.cases.documents.document import find, find_alone, of_the_order
from worker.errors import Refused
from worker.store.tables import requests


def without_an_order(world: PeopleWorld) -> str:
    """A mail that is confirmed and names nothing, and the case that it is parked with."""
    return world.mail("I want my money back. I do not know the number, I paid nine dollars.").case_id


def test_order_that_a_person_names_is_what_the_mail_is_judged_by(world: PeopleWorld) -> None:
    """Once it could only be declined."""
    world.bought_once()
    case_id = without_an_order(world)
    assert world.choices(case_id)["money"]["refused"] == "no charge is known that the case is about"
    [order] = world.reviewer.look(case_id, by="ann")["orders_to_name"]
    assert (order["purchase_id"], order["order_id"], order["amount"]) == ("ord_1", "ord_1", 900)
    planned = world.reviewer.plan_name(case_id, "ord_1", by="ann", reason="her only order")
    assert world.state(case_id) == "waiting"
    world.bought_once("ord_2", "acc_2")
    other = world.mail("I want my money back, too.", sender="acc_2@example.org").case_id
    told = world.reviewer.name(case_id, "ord_1", by="ann", reason="her only order")
    assert told == planned
    named = world.rows(select(requests.c.case_id, requests.c.purchase_id))
    assert {row.case_id: row.purchase_id for row in named} == {case_id: "ord_1", other: None}
    assert (told["state"], "nothing of the purchase" in told["told"]) == ("review", True)
    case = world.case(case_id) or {}
    assert (case["order_id"], case["decision"]["rule"]) == ("ord_1", "unused_purchase")
    [line] = [line for line in case["history"] if line["event"] == "request.order_named"]
    assert (line["by"], line["detail"]) == ("ann", {"purchase_id": "ord_1", "reason": "her only order"})
    assert world.reviewer.look(case_id, by="ann")["orders_to_name"] == []
    world.decide(case_id, "money")
    world.settle_down(days=2)
    assert (world.state(case_id), world.double.gone("tran_ord_1")) == ("refunded", 900)


def test_order_that_was_bought_too_long_ago_is_declined_by_the_policy(world: PeopleWorld) -> None:
    world.bought_once(ago=timedelta(days=9))
    case_id = without_an_order(world)
    assert world.reviewer.name(case_id, "tran_ord_1", by="ann", reason="her only order")["state"] == "declined"
    world.sweep()
    world.clock.pass_(hours=2)
    assert any("more than 7 calendar days" in text_of(sent) for sent in world.written())
    with pytest.raises(Refused, match="does not wait for a person"):
        world.reviewer.name(case_id, "ord_1", by="ann", reason="once more")


@pytest.mark.parametrize("order", ["ord_2", "tran_ord_2", "ord_77"])
def test_only_an_order_of_the_account_can_be_named(world: PeopleWorld, order: str) -> None:
    world.bought_once()
    world.bought_once("ord_2", "acc_2")
    case_id = without_an_order(world)
    with pytest.raises(Refused, match=f"{order} is no order of acc_1"):
        world.reviewer.name(case_id, order, by="ann", reason="perhaps")
    assert world.state(case_id) == "waiting"


def test_mail_that_nobody_confirmed_still_lacks_the_accounts_word(world: PeopleWorld) -> None:
    world.bought_once()
    case_id = world.mail("I want my money back.", verified=False).case_id
    told = world.reviewer.name(case_id, "ord_1", by="ann", reason="her only order")
    assert (told["state"], told["told"].endswith("lacks a word from the account's own mailbox")) == ("waiting", True)


def test_what_the_mail_names_is_not_named_again_nor_by_who_does_not_have_the_case(world: PeopleWorld) -> None:
    world.bought_once()
    world.bought_once("ord_2")
    case_id = without_an_order(world)
    world.reviewer.take(case_id, by="bob")
    with pytest.raises(Refused, match="is with bob"):
        world.reviewer.name(case_id, "ord_1", by="ann", reason="her order")
    world.reviewer.name(case_id, "ord_1", by="bob", reason="her order")
    with pytest.raises(Refused, match="the mail is about ord_1"):
        world.reviewer.name(case_id, "ord_2", by="bob", reason="or that one")
    with pytest.raises(Refused, match="a reason is required"):
        world.reviewer.name(case_id, "ord_2", by="bob", reason=" ")


def test_mail_of_no_account_and_a_case_that_is_no_mail_name_no_order(world: PeopleWorld) -> None:
    stranger = world.mail("Money back!", sender="who@else.example").case_id
    assert world.reviewer.look(stranger, by="ann")["orders_to_name"] == []
    with pytest.raises(Refused, match="of no account that is known"):
        world.reviewer.name(stranger, "ord_1", by="ann", reason="perhaps")
    world.twice_charged(apart=timedelta(minutes=40))
    with pytest.raises(Refused, match="only a mail may lack an order"):
        world.reviewer.name("ord_1", "ord_0", by="ann", reason="perhaps")


def test_id_that_is_a_jobs_and_an_orders_changes_neither_case(world: PeopleWorld) -> None:
    """Once the case of the job of another account was put back, and that of the order could not be reached by it."""
    world.bought_once("same_1", "acc_1")
    world.bought_once("ord_2", "acc_2")
    of_order = world.mail("Please refund my order same_1.").case_id
    assert world.store.read(lambda tx: find_alone(tx, "same_1")).case_id == of_order
    world.happen(world.submitted("same_1", "acc_2"), world.failed("same_1", "acc_2"))
    of_job = world.store.read(lambda tx: find(tx, "same_1"))
    assert (of_job.kind, of_job.account_id) == ("job", "acc_2")
    assert world.store.read(lambda tx: of_the_order(tx, of_job, "same_1")) == [of_order]
    said = rf"same_1 is a job, of {of_job.case_id}, and an order, of {of_order}: name the case"
    with pytest.raises(Refused, match=said):
        world.decide("same_1", "decline")
    with pytest.raises(Refused, match=said):
        world.reviewer.plan("same_1", "decline", by="ann")
    with pytest.raises(Refused, match=said):
        world.reviewer.take("same_1", by="ann")
    with pytest.raises(Refused, match=said):
        world.reviewer.withdraw("same_1", by="ann", reason="none")
    with pytest.raises(Refused, match=said):
        world.requeuer.plan("same_1")
    with pytest.raises(Refused, match=said):
        world.requeuer.requeue("same_1", by="ann", reason="again")
    world.decide(of_order, "decline")
    assert world.state(of_order) == "declined"
