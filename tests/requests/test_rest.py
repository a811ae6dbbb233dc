"""What a mail asks for beside what a person decided of it: each other thing is a request of its own, asked for when it was."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.requests.world import PNG, PeopleWorld, text_of
from worker.cases.documents.document import find
from worker.cases.requests.register import Taken, TakenMail
from worker.errors import Refused
from worker.store.tables import requests

BOTH = "Please refund orders ord_1 and ord_9, I have used neither."


def two_orders(world: PeopleWorld, text: str = BOTH, **more: Any) -> TakenMail:
    world.bought_once()
    world.bought_once("ord_9")
    return world.mail(text, **more)


def of_the_rest(world: PeopleWorld, name: str = "ord_9") -> dict[str, Any]:
    found = world.case(name)
    assert found is not None, f"{name} has no case"
    return found


@pytest.mark.parametrize("choice", ["money", "decline"])
def test_other_order_of_a_mail_is_judged_by_itself_as_asked_for_when_the_mail_came(world: PeopleWorld, choice: str) -> None:
    """Once it was forgotten, and declined as late when its customer asked what had become of it."""
    taken = two_orders(world)
    received = of_the_rest(world, taken.case_id)["opened_at"]
    world.clock.pass_(days=8)
    world.sweep()
    world.decide(taken.case_id, choice)
    assert len(world.queue()) == 1
    world.sweep()
    case = of_the_rest(world)
    assert (case["state"], case["decision"]["rule"], case["opened_at"]) == ("review", "unused_purchase", received)
    assert [mail["text"].strip() for mail in case["requests"]] == [BOTH]
    world.decide(case["case_id"], "money")
    world.settle_down(days=2)
    assert (world.state(case["case_id"]), world.double.gone("tran_ord_9"), world.queue()) == ("refunded", 900, [])
    assert world.audit().breaches == []


def test_rest_of_one_mail_takes_nothing_of_anothers_along(world: PeopleWorld) -> None:
    taken = two_orders(world)
    world.bought_once("ord_x", "acc_x")
    others = world.mail("Please refund my order ord_x.", sender="acc_x@example.org", files={"shot.png": PNG}).case_id
    about = select(requests).where(requests.c.case_id == others)
    before = (of_the_rest(world, others), world.rows(about))
    world.decide(taken.case_id, "decline", reason="ord_1 was used")
    assert (of_the_rest(world, others), world.rows(about)) == before


def test_letter_about_the_one_order_says_nothing_of_the_other_which_has_its_own(world: PeopleWorld) -> None:
    taken = two_orders(world)
    world.decide(taken.case_id, "decline", reason="ord_1 was used")
    world.sweep()
    world.decide("ord_9", "decline", reason="ord_9 was used")
    world.clock.pass_(hours=2)
    told = "\n".join(text_of(letter) for letter in world.written())
    assert "ord_1 was used" in told
    assert "ord_9 was used" in told


def test_each_of_many_things_is_judged_by_itself_a_job_with_the_order_that_paid_for_it(world: PeopleWorld) -> None:
    world.bought_once()
    for job in ("job_1", "job_2"):
        world.happen(world.submitted(job, credits=5))
        world.happen(world.succeeded(job))
    world.bought_once("ord_9")
    taken = world.mail("job_1 and job_2 of order ord_1 came out broken, credits back please; and ord_9 was not used.")
    world.decide(taken.case_id, "credits")
    world.sweep()
    rest = [of_the_rest(world, case_id) for case_id in world.queue()]
    assert {(case["job_id"], case["order_id"], case["decision"]["rule"]) for case in rest} == {
        ("job_2", "ord_1", "job_delivered"),
        (None, "ord_9", "unused_purchase"),
    }
    assert world.audit().breaches == []


def test_order_that_did_not_pay_for_the_job_leaves_it_to_be_judged_by_itself(world: PeopleWorld) -> None:
    world.bought_once(ago=timedelta(days=3))
    world.happen(world.submitted("job_1", credits=5))
    world.happen(world.succeeded("job_1"))
    world.bought_once("ord_9")
    taken = world.mail("job_1 came out broken, and please refund order ord_9.")
    world.decide(taken.case_id, "money")
    decided = of_the_rest(world, taken.case_id)
    assert (decided["job_id"], decided["order_id"]) == (None, "ord_9")
    world.sweep()
    [case_id] = world.queue()
    case = of_the_rest(world, case_id)
    assert (case["job_id"], case["decision"]["rule"]) == ("job_1", "job_delivered")
    world.settle_down(days=2)
    assert world.double.gone("tran_ord_9") == 900
    assert world.audit().breaches == []


def test_rest_is_opened_once_however_often_its_mail_is_decided(world: PeopleWorld) -> None:
    taken = two_orders(world)
    world.decide(taken.case_id, "decline", reason="it was used")
    world.clock.pass_(hours=2)
    [letter] = [sent for sent in world.written() if "was declined" in sent["Subject"]]
    again = world.mail("It was not!", subject=f"Re: {letter['Subject']}", In_Reply_To=letter["Message-ID"], message_id="<2@x>")
    assert again.case_id == taken.case_id
    world.decide(taken.case_id, "decline", reason="it was indeed")
    world.sweep()
    assert world.queue() == [of_the_rest(world)["case_id"]]
    assert world.mail(BOTH).outcome is Taken.KNOWN


def test_rest_joins_the_open_request_about_it_and_brings_its_time_along(world: PeopleWorld) -> None:
    """What was asked in time is not late because it was asked again."""
    taken = two_orders(world)
    world.clock.pass_(days=9)
    world.sweep()
    again = world.mail("Order ord_9 has not been refunded yet.", message_id="<again@example.org>")
    case = of_the_rest(world, again.case_id)
    assert (case["state"], case["decision"]["rule"]) == ("review", "unused_purchase")
    world.decide(taken.case_id, "decline")
    world.sweep()
    assert world.queue() == [again.case_id]
    assert len(of_the_rest(world, again.case_id)["requests"]) == 2
    world.clock.pass_(days=1)
    world.sweep()
    assert of_the_rest(world, again.case_id)["decision"]["rule"] == "unused_purchase"


def test_rest_that_an_answer_named_was_asked_for_when_the_answer_came(world: PeopleWorld) -> None:
    """An old mail leaves no window open for an order that a later one names first."""
    world.bought_once()
    world.happen(world.submitted("job_1", credits=5))
    world.bought_once("ord_9")
    taken = world.mail()
    assert taken.state == "review"
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    world.clock.pass_(days=9)
    told = world.mail("And ord_9.", subject=f"Re: {letter['Subject']}", In_Reply_To=letter["Message-ID"], message_id="<2@x>")
    assert told.case_id == taken.case_id
    world.decide(taken.case_id, "decline")
    world.sweep()
    case = of_the_rest(world)
    assert (case["state"], case["decision"]["rule"]) == ("declined", "window_passed")


def test_what_came_with_the_mail_stays_for_as_long_as_something_of_it_is_undecided(world: PeopleWorld) -> None:
    taken = two_orders(world, files={"proof.png": PNG})
    world.decide(taken.case_id, "decline")
    world.sweep()
    world.clock.pass_(hours=30)
    world.evidence.sweep()
    case = of_the_rest(world)
    assert [file["state"] for file in case["evidence"]] == ["kept", "kept"]
    world.sweep()
    assert world.audit().breaches == []
    world.decide(case["case_id"], "decline")
    world.clock.pass_(hours=30)
    world.evidence.sweep()
    assert {file["state"] for file in of_the_rest(world)["evidence"]} == {"deleted"}


def test_files_of_a_mail_go_along_to_what_is_left_of_it_until_all_of_it_is_decided(world: PeopleWorld) -> None:
    """The no to the first of two things that were left once deleted them under the second."""
    world.bought_once("ord_7")
    taken = two_orders(world, "Please refund orders ord_1, ord_7 and ord_9.", files={"proof.png": PNG})
    world.decide(taken.case_id, "decline")
    world.sweep()
    with_files, other = sorted(world.queue(), key=lambda name: not of_the_rest(world, name)["evidence"])
    world.decide(with_files, "decline")
    world.evidence.sweep()
    for _ in range(3):
        world.clock.pass_(hours=10)
        world.evidence.sweep()
    case = of_the_rest(world, other)
    assert [(file["name"], file["state"]) for file in case["evidence"]] == [("mail.eml", "kept"), ("proof.png", "kept")]
    assert of_the_rest(world, with_files)["evidence"] == []
    world.sweep()
    assert world.audit().breaches == []
    world.decide(other, "decline")
    world.clock.pass_(hours=13)
    assert world.evidence.sweep().deleted == 2


def test_file_of_another_mail_goes_in_time_whatever_its_account_has_open(world: PeopleWorld) -> None:
    taken = two_orders(world)
    world.decide(taken.case_id, "decline")
    world.sweep()
    world.bought_once("ord_7")
    done = world.mail("Please refund ord_7.", message_id="<7@example.org>", files={"proof.png": PNG})
    world.decide(done.case_id, "decline")
    world.clock.pass_(hours=13)
    assert world.evidence.sweep().deleted == 2


def test_no_to_what_nobody_of_the_account_asked_for_opens_nothing(world: PeopleWorld) -> None:
    """A stranger who names a hundred orders makes one case."""
    taken = two_orders(world, verified=False)
    assert taken.state == "waiting"
    world.decide(taken.case_id, "decline")
    assert world.queue() == []


def test_rest_of_what_a_person_gave_without_the_accounts_word_waits_for_that(world: PeopleWorld) -> None:
    taken = two_orders(world, verified=False)
    world.decide(taken.case_id, "money")
    world.sweep()
    case = of_the_rest(world)
    assert (case["state"], case["decision"]["reason"]) == ("waiting", "the request lacks a word from the account's own mailbox")


def test_charge_that_stays_valid_is_no_other_thing_beside_its_duplicate(world: PeopleWorld) -> None:
    world.twice_charged(apart=timedelta(minutes=40))
    world.bought_once("ord_9")
    taken = world.mail("I was charged twice, ord_0 and ord_1, and ord_9 was not used.")
    duplicate = of_the_rest(world, "ord_1")["case_id"]
    assert set(world.queue()) == {taken.case_id, duplicate}
    world.decide(taken.case_id, "decline")
    world.sweep()
    assert set(world.queue()) == {duplicate, of_the_rest(world)["case_id"]}


@pytest.mark.parametrize("name", ["ord_9", "job_9"])
def test_who_looks_up_the_other_thing_of_a_mail_that_waits_is_told_of_the_mail(world: PeopleWorld, name: str) -> None:
    for job in ("job_1", "job_9"):
        world.happen(world.submitted(job, credits=0), world.succeeded(job))
    taken = two_orders(world, BOTH if name == "ord_9" else "job_1 and job_9 came out broken.")
    with pytest.raises(Refused, match=f"the mail of {taken.case_id} asks for it beside"):
        world.store.read(lambda tx: find(tx, name))
