"""What a customer writes after a first mail of their own: it goes on with that one, whose time counts."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.requests.world import PeopleWorld, text_of
from worker.cases.requests.register import Taken
from worker.store.tables import notices

FIRST = "<mail-1@example.org>"


@pytest.mark.parametrize("answers", [{}, {"In_Reply_To": FIRST}], ids=["a mail of its own", "on top of the first"])
def test_customer_who_completes_a_parked_request_keeps_its_place(world: PeopleWorld, answers: dict[str, str]) -> None:
    """Once the second was declined as too late, and the first stayed parked."""
    world.bought_once(ago=timedelta(days=5))
    first = world.mail("I want my money back")
    world.clock.pass_(days=4)
    second = world.mail("Sorry, the order is ord_1.", message_id="<2@example.org>", **answers)
    assert (second.outcome, second.case_id, second.state) == (Taken.ATTACHED, first.case_id, "review")
    assert (world.case(first.case_id) or {})["decision"]["rule"] == "unused_purchase"
    assert world.queue() == [first.case_id]


@pytest.mark.parametrize("answers", [{}, {"In_Reply_To": FIRST}], ids=["a mail of its own", "on top of the first"])
def test_parked_request_gives_its_time_to_nothing_that_was_bought_after_it(world: PeopleWorld, answers: dict[str, str]) -> None:
    world.bought_once(ago=timedelta(days=5))
    first = world.mail("I want my money back")
    world.clock.pass_(days=20)
    world.bought_once("ord_2", ago=timedelta(days=9))
    second = world.mail("Please refund ord_2.", message_id="<2@example.org>", **answers)
    assert (second.outcome, second.state, world.state(first.case_id)) == (Taken.OPENED, "declined", "waiting")


def test_parked_request_gives_its_time_to_no_job_that_ran_after_it(world: PeopleWorld) -> None:
    world.bought_once(ago=timedelta(days=5))
    first = world.mail("What I got is blank")
    world.clock.pass_(days=3)
    world.happen(world.submitted("job_1"), world.succeeded("job_1"))
    second = world.mail("job_1 is blank", message_id="<2@example.org>")
    assert (second.outcome, world.state(first.case_id)) == (Taken.OPENED, "waiting")
    assert (world.case(second.case_id) or {})["job_id"] == "job_1"


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("Please refund ord_2.", {}),
        ("Please refund ord_2.", {"In_Reply_To": FIRST}),
        ("Any news on this?", {"In_Reply_To": FIRST}),
    ],
    ids=["names its own", "on top of the other's", "names nothing, on top of the other's"],
)
def test_mail_goes_on_with_none_of_another_account(world: PeopleWorld, text: str, answers: dict[str, str]) -> None:
    """Whoever has seen a mail of somebody else can write on top of it."""
    world.bought_once()
    world.bought_once("ord_2", "acc_2")
    first = world.mail("I want my money back")
    second = world.mail(text, sender="acc_2@example.org", message_id="<2@example.org>", **answers)
    assert (second.outcome, world.state(first.case_id)) == (Taken.OPENED, "waiting")
    assert [(world.case(taken.case_id) or {})["account_id"] for taken in (first, second)] == ["acc_1", "acc_2"]


def test_two_who_name_the_same_orders_that_nobody_knows_have_a_case_each(world: PeopleWorld) -> None:
    for order, account in (("ord_1", "acc_1"), ("ord_2", "acc_2")):
        world.bought_once(order, account)
    first, second, again = (
        world.mail(
            "Please refund order ord_98 and order ord_99.", sender=f"{account}@example.org", message_id=f"<{number}@x.example>"
        )
        for number, account in enumerate(("acc_1", "acc_2", "acc_2"))
    )
    assert [mail.outcome for mail in (first, second, again)] == [Taken.OPENED, Taken.OPENED, Taken.ATTACHED]
    assert again.case_id == second.case_id != first.case_id


@pytest.mark.parametrize("more", [{"verified": False}, {"sender": "x@else.example"}, {"Auto_Submitted": "auto-replied"}])
def test_mail_that_is_not_vouched_for_completes_nothing(world: PeopleWorld, more: dict[str, str]) -> None:
    world.bought_once()
    first = world.mail("I want my money back")
    other = world.mail("The order is ord_1.", message_id="<2@example.org>", In_Reply_To=FIRST, **more)
    assert (other.outcome, other.state, world.state(first.case_id)) == (Taken.OPENED, "waiting", "waiting")
    assert "lacks an order" in (world.case(first.case_id) or {})["decision"]["reason"]


@pytest.mark.parametrize("text", ["Who are you?", "The order is ord_1."])
def test_mail_of_a_stranger_is_confirmed_by_no_answer_to_it(world: PeopleWorld, text: str) -> None:
    """It went to the customer as well, who answers all."""
    world.bought_once()
    strange = world.mail("I want my money back", verified=False)
    answer = world.mail(text, message_id="<2@example.org>", In_Reply_To=FIRST)
    assert (answer.outcome, world.state(strange.case_id)) == (Taken.OPENED, "waiting")
    assert "a word from the account's own mailbox" in (world.case(strange.case_id) or {})["decision"]["reason"]


def test_question_about_a_mail_of_ones_own_goes_to_its_case(world: PeopleWorld) -> None:
    """Once it opened a second case, which a person could only decline when the money had gone."""
    world.bought_once()
    first = world.mail()
    world.clock.pass_(days=2)
    news = world.mail("Any news on this?", message_id="<2@example.org>", In_Reply_To=FIRST)
    assert (news.outcome, news.case_id, world.queue()) == (Taken.ATTACHED, first.case_id, [first.case_id])
    world.clock.pass_(minutes=5)
    assert not [letter for letter in world.written() if "Did you send us" in letter["Subject"]]
    world.decide(first.case_id)
    world.settle_down(days=2)
    world.clock.pass_(hours=2)
    assert [row.kind for row in world.rows(select(notices).where(notices.c.kind.in_(["declined", "money_sent"])))] == [
        "money_sent"
    ]


def test_question_about_a_mail_whose_money_was_sent_is_answered_that_it_was(world: PeopleWorld) -> None:
    world.bought_once()
    first = world.mail()
    world.decide(first.case_id)
    world.settle_down(days=2)
    news = world.mail("Any news on this?", message_id="<2@example.org>", In_Reply_To=FIRST)
    assert (news.outcome, news.state) == (Taken.OPENED, "nothing_owed")
    world.clock.pass_(hours=2)
    assert any("Nothing more is owed" in text_of(letter) for letter in world.written())


def test_question_about_a_mail_of_ones_own_that_was_declined_is_looked_at_by_a_person(world: PeopleWorld) -> None:
    world.bought_once(ago=timedelta(days=9))
    first = world.mail()
    news = world.mail("I do not agree with this.", message_id="<2@example.org>", In_Reply_To=FIRST)
    assert (news.case_id, world.queue()) == (first.case_id, [first.case_id])


def test_mail_on_top_of_another_that_names_another_order_is_about_that(world: PeopleWorld) -> None:
    world.bought_once()
    world.bought_once("ord_2")
    first = world.mail()
    second = world.mail("And please refund ord_2.", message_id="<2@example.org>", In_Reply_To=FIRST)
    assert (second.outcome, second.state) == (Taken.OPENED, "review")
    rules = [(world.case(taken.case_id) or {})["decision"]["rule"] for taken in (first, second)]
    assert rules == ["unused_purchase", "unused_purchase"]


@pytest.mark.parametrize("name", ["Ord_1", "ORD_1", "Tran_Ord_1"])
def test_order_in_other_capitals_is_the_accounts_own(world: PeopleWorld, name: str) -> None:
    """A telephone begins a line with a capital."""
    world.bought_once()
    taken = world.mail(f"{name} please refund")
    assert (taken.state, (world.case(taken.case_id) or {})["order_id"]) == ("review", "ord_1")


def test_answer_in_other_capitals_completes_the_request(world: PeopleWorld) -> None:
    world.bought_once()
    first = world.mail("I want my money back")
    [question] = world.written()
    answer = world.mail("Order Ord_1", subject=f"Re: {question['Subject']}", message_id="<2@example.org>")
    assert (answer.case_id, answer.state) == (first.case_id, "review")
    assert (world.case(first.case_id) or {})["decision"]["rule"] == "unused_purchase"


def test_job_in_other_capitals_is_the_accounts_own(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"))
    taken = world.mail("JOB_1 is blank")
    assert (world.case(taken.case_id) or {})["job_id"] == "job_1"


def test_id_in_other_capitals_that_fits_two_is_neither(world: PeopleWorld) -> None:
    world.bought_once()
    world.bought_once("ORD_1", ago=timedelta(days=9))
    taken = world.mail("Order Ord_1 please")
    assert taken.state == "waiting"
    exact = world.mail("Order ORD_1 please", message_id="<2@example.org>")
    assert (exact.state, (world.case(exact.case_id) or {})["order_id"]) == ("declined", "ORD_1")


def test_id_in_other_capitals_is_nothing_of_another_account(world: PeopleWorld) -> None:
    world.bought_once()
    world.bought_once("ord_2", "acc_2")
    taken = world.mail("Order ORD_2 please")
    assert (taken.account_id, taken.state) == ("acc_1", "waiting")
    nobody = world.mail("Order ORD_2 please", sender="x@else.example", message_id="<2@else.example>")
    assert nobody.account_id is None
