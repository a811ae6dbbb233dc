"""A mail becomes a request: whose it is, what it is about, what comes of it, and that nothing is lost or taken twice."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, TextClause, select, text, update

from tests.cases.test_editions import two_editions
from tests.cases.test_held import held
from tests.cases.world import HandClock, a_job, a_purchase, an_account, layers
from tests.requests.world import OUR_HOST, PNG, PeopleWorld, a_mail, text_of
from tests.servers import ON_POSTGRES, POSTGRES_AT_NIGHT, eventually
from worker.cases.book.decided import why
from worker.cases.requests.register import Taken, TakenMail
from worker.clock import written
from worker.errors import Refused
from worker.settings import DEFAULT_TERMS
from worker.store.engine import Store
from worker.store.tables import case_history, cases, evidence, notices, requests


def test_unused_purchase_is_proposed_for_money_and_goes_back_when_a_person_agrees(world: PeopleWorld) -> None:
    world.bought_once()
    taken = world.mail()
    assert (taken.outcome, taken.state, taken.account_id) == (Taken.OPENED, "review", "acc_1")
    case = world.case(taken.case_id)
    assert case is not None
    assert (case["kind"], case["order_id"], case["decision"]["outcome"]) == ("request", "ord_1", "refund_payment")
    assert case["decision"]["clause"] == "request-window"
    assert world.double.posts("tran_ord_1") == 0
    world.decide(taken.case_id, reason="nothing was used")
    world.settle_down(days=2)
    assert world.state(taken.case_id) == "refunded"
    assert (world.double.posts("tran_ord_1"), world.double.gone("tran_ord_1")) == (1, 900)
    assert world.account("acc_1")["lots"][0]["void"] == 50


def test_customer_is_told_it_is_looked_at_and_then_that_money_was_sent(world: PeopleWorld) -> None:
    world.bought_once()
    taken = world.mail()
    world.clock.pass_(minutes=5)
    [looked_at] = world.written()
    assert "A person will look at your case" in text_of(looked_at)
    world.decide(taken.case_id)
    world.settle_down(days=2)
    world.clock.pass_(hours=2)
    letters = world.written()
    assert len(letters) == 2
    assert letters[1]["To"] == "acc_1@example.org"
    assert "We sent 9.00 USD" in text_of(letters[1])
    world.clock.pass_(days=1)
    assert len(world.written()) == 2


def test_money_above_the_limit_needs_a_second_person(world: PeopleWorld) -> None:
    world.bought_once(amount=10001)
    taken = world.mail()
    assert world.choices(taken.case_id)["money"]["needs_second"]
    assert world.decide(taken.case_id, by="ann")["waits_for_second"]
    assert world.state(taken.case_id) == "review"
    assert world.claim("tran_ord_1") is None
    world.decide(taken.case_id, by="bob")
    world.settle_down(days=2)
    assert world.state(taken.case_id) == "refunded"


def test_money_at_the_limit_needs_one_person(world: PeopleWorld) -> None:
    world.bought_once(amount=10000)
    assert world.decide(world.mail().case_id)["done"]


def test_request_after_the_window_is_declined_with_the_clause_and_a_letter(world: PeopleWorld) -> None:
    world.bought_once(ago=timedelta(days=9))
    taken = world.mail()
    case = world.case(taken.case_id)
    assert case is not None
    assert (case["state"], case["decision"]["clause"]) == ("declined", "window-passed")
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    assert "Requests made after the 7 days are not refunded" in text_of(letter)


def test_used_pass_is_declined(world: PeopleWorld) -> None:
    world.bought_once(credits=0, kind="pass_24h", ago=timedelta(hours=3))
    for job in ("job_1", "job_2"):
        world.happen(world.submitted(job, credits=0, paid_with="pass"), world.succeeded(job), world.event("downloaded", job))
    taken = world.mail()
    assert (taken.state, world.case(taken.case_id)["decision"]["clause"]) == ("declined", "pass-used")  # type: ignore[index]


def test_output_that_was_edited_is_declined(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
    world.happen(world.event("edited", "job_1"))
    taken = world.mail("My job_1 is bad, please refund it.")
    assert (taken.state, world.case(taken.case_id)["decision"]["clause"]) == ("declined", "output-used")  # type: ignore[index]


@pytest.mark.parametrize(
    ("told", "used"),
    [
        (("downloaded 10:00", "edited 11:00"), True),
        (("downloaded 10:00", "edited 10:00"), True),
        (("edited 10:00", "downloaded 11:00"), False),
        (("edited 10:00", "downloaded 11:00", "edited 12:00"), True),
        (("edited 09:00", "downloaded 11:00", "downloaded 12:00"), False),
        (("edited 09:00", "edited 10:00", "downloaded 11:00"), False),
        (("edited 10:00",), False),
        # a history says how many downloads there were, and not when
        (("edited 10:00", "history 1"), True),
        (("edited 10:00", "downloaded 11:00", "history 2"), True),
        (("edited 10:00", "downloaded 11:00", "history 0"), False),
        (("edited 09:00", "downloaded 10:00", "history 0 11:00"), True),
        (("edited 12:00", "downloaded 10:00", "history 0 09:00"), True),
    ],
)
def test_output_that_was_edited_only_before_it_was_downloaded_was_not_used(
    world: PeopleWorld, told: tuple[str, ...], used: bool
) -> None:
    """policy.md: downloaded *and then* edited, in whatever order that is told. Once who had edited first was declined as well."""
    world.bought_once()
    for number, facts in enumerate(permutations(told)):
        job = f"job_{number}"
        world.happen(world.submitted(job, credits=1), world.succeeded(job))
        for kind, *said in (fact.split() for fact in facts):
            if kind == "history":
                edited = {"edited_at": the_day_before(world, said[1])} if said[1:] else {}
                world.load(a_job(job, credits=1, status="succeeded", layers_delivered=6, downloads=int(said[0]), **edited))
            else:
                world.happen(world.event(kind, job, id=f"{job}-{kind}-{said[0]}", at=the_day_before(world, said[0])))
        taken = world.mail(f"My {job} is bad, please refund it.", message_id=f"<{job}@example.org>")
        rule = world.case(taken.case_id)["decision"]["rule"]  # type: ignore[index]
        assert rule == ("output_used" if used else "job_delivered"), facts
    bought = world.mail(message_id="<bought@example.org>")
    rule = world.case(bought.case_id)["decision"]["rule"]  # type: ignore[index]
    assert rule == ("output_used" if used else "purchase_partly_used")


def test_download_after_one_whose_time_is_not_known_does_not_unsay_a_use(world: PeopleWorld) -> None:
    world.bought_once()
    edited_at = the_day_before(world, "10:00")
    world.load(a_job("job_1", status="succeeded", layers_delivered=6, downloads=1, edited_at=edited_at))
    world.happen(world.event("downloaded", "job_1", at=the_day_before(world, "11:00")))
    taken = world.mail("My job_1 is bad, please refund it.")
    assert (taken.state, world.case(taken.case_id)["decision"]["clause"]) == ("declined", "output-used")  # type: ignore[index]


def the_day_before(world: PeopleWorld, clock: str) -> str:
    """That time of it."""
    return f"{world.clock.now() - timedelta(days=1):%Y-%m-%d}T{clock}:00Z"


def test_partly_used_purchase_is_a_persons_and_money_voids_what_is_left(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"))
    taken = world.mail()
    assert world.case(taken.case_id)["decision"]["rule"] == "purchase_partly_used"  # type: ignore[index]
    assert "45 unspent credits of ord_1 become void, 5 stay spent" in world.choices(taken.case_id)["money"]["does"]
    world.decide(taken.case_id, "money", reason="goodwill")
    world.settle_down(days=2)
    assert world.double.gone("tran_ord_1") == 900
    assert world.account("acc_1")["lots"][0] == {
        "purchase_id": "ord_1", "granted": 50, "remaining": 0, "frozen": 0, "void": 45, "spent": 5,
    }  # fmt: skip


def test_delivered_job_is_a_persons_and_credits_come_back_once(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"))
    taken = world.mail("The layers of job_1 are blank.")
    assert (taken.state, world.credits()) == ("review", 45)
    world.decide(taken.case_id, "credits", reason="the file is blank indeed")
    assert world.credits() == 50
    # the pipeline says so as well, later: nothing comes back twice
    world.happen(world.failed("job_1", id="late", code="bad_output"))
    assert world.credits() == 50


@pytest.mark.parametrize(("verified", "reruns", "back"), [(True, 0, 50), (False, 1, 45)])
def test_customer_who_asked_for_the_credits_gets_them_instead_of_a_rerun(
    world: PeopleWorld, verified: bool, reruns: int, back: int
) -> None:
    """policy.md, "Which re-run"; a mail that anybody may have written asks for nothing."""
    world.bought_once()
    world.happen(world.submitted("job_1"))
    world.mail("My job_1 hangs, I want my credits back.", verified=verified)
    world.happen(world.failed("job_1", code="job_timeout"))
    assert (world.case("job_1") or {})["reruns"] == reruns
    assert world.credits() == back
    assert world.audit().ok


@pytest.mark.parametrize(("delivers", "back"), [(True, 45), (False, 50)])
def test_credits_asked_for_while_the_rerun_is_on_its_way_wait_for_its_end(world: PeopleWorld, delivers: bool, back: int) -> None:
    """Both would be a second remedy."""
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    taken = world.mail("My job_1 hangs, I want my credits back.")
    assert (taken.outcome, world.state("job_1"), world.credits()) == (Taken.ATTACHED, "rerunning", 45)
    if delivers:
        world.happen(world.succeeded("job_1", attempt=2))
    world.clock.pass_(days=1)
    world.sweep()
    assert (world.state("job_1"), world.credits()) == ("delivered" if delivers else "refunded", back)
    assert world.audit().ok


def test_mail_about_a_job_that_had_not_ended_ends_with_the_job(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.submitted("job_2"))
    failing, running = world.mail("job_1 hangs"), world.mail("job_2 hangs", message_id="<mail-2@example.org>")
    assert (failing.state, running.state) == ("review", "review")
    assert "not said how the job ended" in (failing.reason or "")
    world.happen(world.failed("job_1"))
    assert (world.state("job_1"), world.credits()) == ("refunded", 45)
    assert (world.case("job_1") or {})["kind"] == "job", "of a job its own case is shown"
    mail = world.case(failing.case_id) or {}
    assert (mail["state"], mail["decision"]["reason"]) == ("nothing_owed", "the credits of the job have already come back")
    assert world.queue() == [running.case_id]
    world.happen(world.succeeded("job_2"))
    assert (world.case(running.case_id) or {})["decision"]["rule"] == "job_delivered"


def test_approval_of_a_mail_about_a_job_means_its_credits_and_money_only_where_it_is_named(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.submitted("job_2"))
    world.decide(world.mail("The layers of job_1 are blank.").case_id)
    assert (world.credits(), world.claim("tran_ord_1")) == (45, None)
    taken = world.mail("job_2 hangs", message_id="<mail-2@example.org>")
    world.arrive(world.failed("job_2"))
    world.assessor.assess()
    assert world.choices(taken.case_id)["money"]["refused"] is None
    with pytest.raises(Refused, match="no remedy at hand"):
        world.decide(taken.case_id)
    assert (world.credits(), world.claim("tran_ord_1")) == (50, None)


def test_further_mail_about_the_same_joins_the_first_unless_anybody_may_have_written_it(world: PeopleWorld) -> None:
    world.bought_once()
    first = world.mail()
    again = world.mail("Any news about my order ord_1?", message_id="<mail-2@example.org>")
    assert (again.outcome, again.case_id) == (Taken.ATTACHED, first.case_id)
    other = world.mail("Where is my refund for ord_1?", message_id="<mail-3@example.org>", verified=False)
    assert (other.outcome, other.state) == (Taken.OPENED, "waiting")
    assert sorted(world.queue()) == sorted([first.case_id, other.case_id])


def test_mail_that_is_vouched_for_confirms_the_first_about_the_same_whose_time_counts(world: PeopleWorld) -> None:
    """policy.md, "Instant of a request": the moment it was received, and it keeps its place while its sender is asked."""
    world.bought_once()
    first = world.mail(verified=False)
    away = world.mail("ord_1", Auto_Submitted="auto-replied", message_id="<away@example.org>")
    world.clock.pass_(days=9)
    again = world.mail("I asked you a week ago: order ord_1", message_id="<again@example.org>")
    assert (again.outcome, again.case_id, again.state) == (Taken.ATTACHED, first.case_id, "review")
    assert (world.case(first.case_id) or {})["decision"]["rule"] == "unused_purchase"
    assert world.state(away.case_id) == "waiting"
    # what is said of it from now on is with the case that a person has
    third = world.mail("Any news of ord_1?", message_id="<third@example.org>")
    assert third.case_id == first.case_id


def test_parked_mail_about_something_else_or_of_another_account_is_not_confirmed(world: PeopleWorld) -> None:
    world.bought_once()
    world.bought_once("ord_2")
    world.bought_once("ord_3", "acc_3")
    parked = [
        world.mail("Refund ord_2", verified=False),
        world.mail("Refund ord_3", verified=False, sender="acc_3@example.org", message_id="<3@example.org>"),
        world.mail("Refund ord_1 and ord_2", verified=False, message_id="<both@example.org>"),
    ]
    vouched = world.mail("Refund ord_1", message_id="<1@example.org>")
    assert (vouched.outcome, vouched.state) == (Taken.OPENED, "review")
    assert {world.state(taken.case_id) for taken in parked} == {"waiting"}


def test_mail_about_a_job_with_an_open_case_goes_to_that_case(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1"), world.succeeded("job_1"))
    standing = world.case("job_1")
    assert standing is not None
    taken = world.mail("job_1 failed, please help")
    assert (taken.outcome, taken.case_id) == (Taken.ATTACHED, standing["case_id"])
    case = world.case("job_1")
    assert case is not None
    assert [mail["subject"] for mail in case["requests"]] == ["Refund"]
    assert "request.attached" in [row["event"] for row in case["history"]]


def test_mail_about_a_job_made_whole_is_answered_that_nothing_is_owed(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    taken = world.mail("job_1 failed, please refund")
    assert (taken.outcome, taken.state) == (Taken.OPENED, "nothing_owed")
    world.clock.pass_(hours=2)
    assert any("Nothing more is owed" in text_of(letter) for letter in world.written())
    assert world.credits() == 50


def test_duplicate_on_its_way_settles_the_request(world: PeopleWorld) -> None:
    world.twice_charged()
    taken = world.mail("I was charged twice, see ord_1")
    assert (taken.outcome, taken.state) == (Taken.ATTACHED, "refunding")


def test_short_id_counts_where_it_is_one_of_the_account_that_writes(world: PeopleWorld) -> None:
    """Ids have one to 128 characters; once the mail was parked, and its customer asked which order is meant."""
    world.bought_once("bG1")
    world.bought_once("4k", "acc_2")
    taken = world.mail("Please refund my order BG1, I never used it.")
    assert (taken.state, (world.case(taken.case_id) or {})["order_id"]) == ("review", "bG1")
    beside = world.mail("I bought it to order 4k prints.", message_id="<2@example.org>")
    stranger = world.mail("I want to order 4k prints.", sender="x@example.org", message_id="<3@example.org>")
    assert [(world.case(one.case_id) or {})["order_id"] for one in (beside, stranger)] == [None, None]
    assert (stranger.state, (world.case(stranger.case_id) or {})["account_id"]) == ("waiting", None)


def test_id_of_letters_alone_counts_where_it_is_one_of_the_account_that_writes(world: PeopleWorld) -> None:
    """Once its customer, who had named it, was asked for it, and asked again once it had been named again."""
    world.bought_once("kXqWzRtB")
    world.bought_once("please", "acc_2")
    taken = world.mail("Order id: kXqWzRtB. I never used it.")
    assert (taken.state, (world.case(taken.case_id) or {})["order_id"]) == ("review", "kXqWzRtB")
    beside = world.mail("Refund my order please.", message_id="<2@example.org>")
    stranger = world.mail("Refund my order please.", sender="x@example.org", message_id="<3@example.org>")
    assert [(world.case(one.case_id) or {})["order_id"] for one in (beside, stranger)] == [None, None]
    assert (stranger.state, (world.case(stranger.case_id) or {})["account_id"]) == ("waiting", None)


BOTH = "I was charged twice for the same pack: orders ord_0 and ord_1. Please refund one of them."


def test_mail_that_names_both_of_two_charges_is_about_the_duplicate(world: PeopleWorld) -> None:
    world.twice_charged()
    on_its_way = world.mail(BOTH)
    assert (on_its_way.outcome, on_its_way.case_id) == (Taken.ATTACHED, (world.case("ord_1") or {})["case_id"])
    world.settle_down(days=1)
    after = world.mail(BOTH, message_id="<after@example.org>")
    case = world.case(after.case_id) or {}
    assert (case["state"], case["order_id"]) == ("nothing_owed", "ord_1")
    assert "a refund of the charge is under way already" in case["decision"]["reason"]
    assert (world.double.gone("tran_0"), world.double.gone("tran_1")) == (0, 900)


def test_mail_that_names_both_of_two_charges_is_about_both_once_neither_is_a_duplicate(world: PeopleWorld) -> None:
    world.twice_charged(apart=timedelta(minutes=40))
    taken = world.mail(BOTH)
    assert (taken.outcome, taken.case_id) == (Taken.ATTACHED, (world.case("ord_1") or {})["case_id"])
    world.double.refund_in_dashboard("tran_0")
    world.settle_down(days=0.2)
    world.sweep()
    assert world.state(taken.case_id) == "nothing_owed"
    [alone] = world.queue()
    assert (world.case(alone) or {})["decision"]["rule"] == "request_names_several"


@pytest.mark.parametrize("apart", [5, 40], ids=["went back by itself", "waits for a person"])
def test_charge_that_stays_valid_is_not_proposed_for_money_beside_its_duplicate(world: PeopleWorld, apart: int) -> None:
    """n charges: n-1 refunds (policy.md, "Duplicate charge"); a mail that names only the first may mean either."""
    world.twice_charged(apart=timedelta(minutes=apart))
    world.settle_down(days=0.1)
    taken = world.mail("I was charged twice, see order ord_0.")
    case = world.case(taken.case_id) or {}
    assert (case["state"], case["decision"]["outcome"], case["decision"]["clause"]) == ("review", "review", "duplicate-charge")
    assert "ord_1" in case["decision"]["reason"]
    with pytest.raises(Refused, match="no remedy at hand"):
        world.decide(taken.case_id)
    # who reads that the customer wants neither says so
    assert world.choices(taken.case_id)["money"]["refused"] is None


def test_duplicate_that_a_person_said_is_none_takes_nothing_from_the_first(world: PeopleWorld) -> None:
    world.twice_charged(apart=timedelta(minutes=40))
    world.decide("ord_1", "decline", reason="two packs were meant")
    taken = world.mail("Please refund ord_0, I never used it.")
    assert (world.case(taken.case_id) or {})["decision"]["rule"] == "unused_purchase"
    both = world.mail(BOTH, message_id="<both@example.org>")
    assert (world.case(both.case_id) or {})["decision"]["rule"] == "request_names_several"


def a_renewal(world: PeopleWorld) -> dict[str, Any]:
    """A subscription that renewed yesterday, not known to have been cancelled; what the product's history says of it."""
    paid_at = world.clock.now() - timedelta(days=1)
    known: dict[str, Any] = {"customer_id": "cust_1", "product_id": "prod_month", "transaction_id": "tran_1"}
    world.double.pay("tran_1", customer_id="cust_1", amount=900, order_id="ord_1", paid_at=paid_at, product_id="prod_month")
    renewal = {"kind": "subscription", "billing": "renewal", "period_start": written(paid_at)}
    told = a_purchase("ord_1", paid_at=written(paid_at), **known) | renewal
    world.load(an_account(), told)
    return told


@pytest.mark.parametrize(("days_before", "state"), [(2, "review"), (-0.5, "declined")], ids=["in time", "after it renewed"])
def test_no_to_a_renewal_is_a_persons_again_once_it_is_known_to_have_been_cancelled(
    world: PeopleWorld, days_before: float, state: str
) -> None:
    """The no rested on what had not reached us yet; the customer was right (policy.md, "Renewal")."""
    told = a_renewal(world)
    taken = world.mail()
    assert (taken.state, (world.case(taken.case_id) or {})["decision"]["rule"]) == ("declined", "renewal_not_cancelled")
    world.clock.pass_(hours=1)
    cancelled_at = datetime.fromisoformat(told["paid_at"]) - timedelta(days=days_before)
    world.load(told | {"cancelled_at": written(cancelled_at)})
    world.sweep()
    assert (world.state(taken.case_id), world.queue()) == (state, [taken.case_id] if state == "review" else [])
    if state == "review":
        world.decide(taken.case_id)
        world.settle_down(days=2)
        assert world.double.gone("tran_1") == 900


@pytest.mark.parametrize(("days_before", "state"), [(2, "review"), (-0.5, "declined")], ids=["in time", "after it renewed"])
def test_no_to_a_renewal_whose_cancellation_a_release_before_this_heard_of_is_found_by_reconcile(
    world: PeopleWorld, days_before: float, state: str
) -> None:
    told = a_renewal(world)
    taken = world.mail()
    cancelled_at = datetime.fromisoformat(told["paid_at"]) - timedelta(days=days_before)
    world.load(told | {"cancelled_at": written(cancelled_at)})
    # to that release a case that was declined is over: its sweep forgets when it was to be looked at
    world.store.write(lambda tx: tx.connection.execute(update(cases).values(next_action_at=None)).rowcount)
    mended = world.reconciler().reconcile().repaired
    world.sweep()
    assert [one["check"] for one in mended] == (["renewal"] if state == "review" else [])
    assert world.state(taken.case_id) == state
    assert world.reconciler().reconcile().repaired == []


@pytest.mark.parametrize("meanwhile", ["edited", "refunded"])
@pytest.mark.parametrize("heard", ["now", "by a release before this"])
def test_no_to_a_renewal_that_stands_for_another_reason_is_judged_anew_once(
    world: PeopleWorld, meanwhile: str, heard: str
) -> None:
    """Once every reconcile said that it mended it."""
    told = a_renewal(world)
    if meanwhile == "edited":
        world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
        world.happen(world.event("edited", "job_1"))
    taken = world.mail()
    if meanwhile == "refunded":
        world.double.refund_in_dashboard("tran_1")
        world.settle_down(days=0.1)
    world.load(told | {"cancelled_at": written(datetime.fromisoformat(told["paid_at"]) - timedelta(days=2))})
    if heard != "now":
        world.store.write(lambda tx: tx.connection.execute(update(cases).values(next_action_at=None)).rowcount)
    mended = []
    for _ in range(3):
        world.clock.pass_(days=1)
        mended.append(len(world.reconciler().reconcile().repaired))
        world.sweep()
    # and what is told of the purchase once more says it no second time
    world.load(told | {"cancelled_at": written(datetime.fromisoformat(told["paid_at"]) - timedelta(days=3))})
    world.sweep()
    case = world.case(taken.case_id) or {}
    assert (case["state"], case["decision"]["rule"], mended) == (
        "declined", "renewal_not_cancelled", [int(heard != "now"), 0, 0],
    )  # fmt: skip
    assert [line["event"] for line in case["history"]].count("request.judged_anew") == 1


def test_no_to_a_renewal_is_a_persons_again_when_creem_tells_late_of_the_cancellation(world: PeopleWorld) -> None:
    world.bought_once("ord_0", "acc_0", kind="subscription", product_id="prod_month")
    world.load(an_account())
    for number, ago in enumerate((31, 1)):
        paid_at = world.clock.now() - timedelta(days=ago)
        bought: dict[str, Any] = {"product_id": "prod_month", "subscription_id": "sub_1", "email": "acc_1@example.org"}
        bought |= {"period_start": paid_at, "period_end": paid_at + timedelta(days=30)}
        world.double.pay(f"tran_m{number}", customer_id="cust_1", amount=900, paid_at=paid_at, announce=True, **bought)
    world.double.tick()
    world.sweep()
    taken = world.mail("Please refund tran_m1.")
    assert (world.case(taken.case_id) or {})["decision"]["rule"] == "renewal_not_cancelled"
    now, world.clock.at = world.clock.now(), world.clock.now() - timedelta(days=2)
    world.double.cancel_subscription("sub_1")
    world.clock.at = now
    world.double.tick()
    world.sweep()
    world.sweep()
    assert (world.state(taken.case_id), world.queue()) == ("review", [taken.case_id])


def test_no_of_a_person_to_a_renewal_stands(world: PeopleWorld) -> None:
    """What a person decided is overturned by a fault alone that is proved by itself (decision 19)."""
    told = a_renewal(world)
    taken = world.mail()
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    world.mail("But I did cancel!", message_id="<did@example.org>", In_Reply_To=str(letter["Message-ID"]))
    world.decide(taken.case_id, "decline", reason="we looked at the log: it was not")
    world.load(told | {"cancelled_at": written(world.clock.now() - timedelta(days=3))})
    world.sweep()
    assert world.state(taken.case_id) == "declined"


def test_disputed_purchase_is_held(world: PeopleWorld) -> None:
    world.double.dispute(world.bought_once())
    world.double.tick()
    world.sweep()
    taken = world.mail()
    assert world.case(taken.case_id)["decision"]["clause"] == "dispute-hold"  # type: ignore[index]
    assert "under dispute" in world.choices(taken.case_id)["money"]["refused"]


@pytest.mark.parametrize(
    ("sender", "verified"),
    [("acc_1@example.org", False), ("someone@else.example", True), ("someone@else.example", False)],
    ids=["nobody_vouches", "another_address", "another_address_unvouched"],
)
def test_unconfirmed_sender_is_parked_and_the_accounts_own_address_is_asked(
    world: PeopleWorld, sender: str, verified: bool
) -> None:
    world.bought_once()
    taken = world.mail(sender=sender, verified=verified)
    assert taken.state == "waiting"
    assert world.queue() == [taken.case_id]
    [question] = world.written()
    assert question["To"] == "acc_1@example.org"
    assert "Did you send us an email?" in question["Subject"]
    assert not [word for word in ("ord_1", "9.00", "someone@else") if word in question.as_string()]


@pytest.mark.parametrize("named", ["Reply_To", "X_Original_From"])
def test_account_that_a_form_or_a_group_writes_for_is_asked(world: PeopleWorld, named: str) -> None:
    """Once the mail was nobody's: only a person could find out whose it was, and no question went out."""
    world.bought_once()
    headers = {named: "Ann <acc_1@example.org>"}
    taken = world.mail("I want my money back, nothing works.", sender="support@layers.example", **headers)
    assert (taken.state, taken.account_id, world.queue()) == ("waiting", "acc_1", [taken.case_id])
    [question] = world.written()
    assert (question["To"], "Did you send us an email?" in question["Subject"]) == ("acc_1@example.org", True)
    world.mail("Yes, ord_1.", subject=f"Re: {question['Subject']}", verified=False, message_id="<2@example.org>")
    assert world.state(taken.case_id) == "review"


@pytest.mark.parametrize("account", ["ann@bücher.example", "Ann@xn--bcher-kva.example"])
def test_account_with_a_domain_beyond_ascii_is_known_by_what_its_host_writes_and_is_told(
    world: PeopleWorld, account: str
) -> None:
    """Once its owner's own mails were a stranger's, and no letter was ever sent there."""
    world.bought_once()
    world.load({**an_account("acc_1"), "email": account})
    taken = world.mail(sender="ann@xn--bcher-kva.example")
    assert (taken.state, taken.account_id) == ("review", "acc_1")
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    assert (letter["To"].lower(), letter["In-Reply-To"]) == ("ann@xn--bcher-kva.example", "<mail-1@example.org>")


def test_account_that_the_text_names_goes_before_that_of_the_reply_to(world: PeopleWorld) -> None:
    world.bought_once()
    world.bought_once("ord_2", "acc_2")
    more = {"sender": "someone@else.example", "Reply_To": "acc_1@example.org"}
    assert world.mail("The account is acc_2@example.org.", **more).account_id == "acc_2"


def test_answer_with_the_reference_confirms_the_request_which_keeps_its_place(world: PeopleWorld) -> None:
    world.bought_once()
    first = world.mail(verified=False)
    world.clock.pass_(hours=1)
    world.bought_once("ord_2", "acc_2")
    second = world.mail("Refund ord_2", sender="acc_2@example.org", message_id="<other@example.org>")
    [question] = [mail for mail in world.written() if "Did you send us" in mail["Subject"]]
    world.clock.pass_(hours=1)
    answer = world.mail(
        "Yes, it was me.", subject=f"Re: {question['Subject']}", verified=False, message_id="<answer@example.org>"
    )
    assert (answer.outcome, answer.case_id, answer.state) == (Taken.ATTACHED, first.case_id, "review")
    assert world.queue() == [first.case_id, second.case_id]
    assert world.case(first.case_id)["decision"]["rule"] == "unused_purchase"  # type: ignore[index]


def test_answer_may_name_what_the_first_mail_did_not(world: PeopleWorld) -> None:
    world.bought_once()
    taken = world.mail("I want my money back")
    assert (taken.state, taken.account_id) == ("waiting", "acc_1")
    [question] = world.written()
    answer = world.mail("It is order ord_1", subject=f"Re: {question['Subject']}", message_id="<answer@example.org>")
    assert (answer.case_id, answer.state) == (taken.case_id, "review")


@pytest.mark.parametrize(
    ("bought", "outcome", "rule"),
    # days after the first mail; the answer comes after a hundred
    [(-1, "refund_payment", "unused_purchase"), (40, "decline", "window_passed"), (99, "refund_payment", "unused_purchase")],
)
def test_mail_that_names_nothing_keeps_its_time_for_what_was_bought_by_then_alone(
    world: PeopleWorld, bought: int, outcome: str, rule: str
) -> None:
    """Once it opened the window for whatever was bought in the months after it."""
    world.load(an_account())
    first = world.mail("I want my money back")
    [question] = world.written()
    world.clock.pass_(days=100)
    world.bought_once("ord_9", ago=timedelta(days=100 - bought))
    answered_at = world.clock.now()
    words = {"subject": f"Re: {question['Subject']}", "verified": False, "message_id": "<answer@example.org>"}
    world.mail("It is order ord_9", **words)
    decision = (world.case(first.case_id) or {})["decision"]
    assert (decision["outcome"], decision["rule"]) == (outcome, rule)
    # it stays with that, whoever looks again
    world.clock.pass_(days=2)
    world.sweep()
    assert (world.case(first.case_id) or {})["decision"] == decision
    [facts] = [row.facts for row in world.rows(select(cases.c.facts).where(cases.c.case_id == first.case_id))]
    assert (datetime.fromisoformat(facts["received_at"]) == answered_at) is (bought > 0)
    world.evidence.sweep()


@pytest.mark.parametrize("text", ["It is order ord_9", "Order Ord_9", "See below.\n\n> Your order ord_9"])
@pytest.mark.parametrize(("days", "rule"), [(3, "unused_purchase"), (100, "window_passed")])
def test_later_purchase_was_asked_about_by_the_answer_that_names_it_in_whatever_way(
    world: PeopleWorld, text: str, days: int, rule: str
) -> None:
    """Once only by one that spelled it as our books do: for the others no window passed, nor was one kept."""
    world.load(an_account())
    first = world.mail("I want my money back")
    [question] = world.written()
    world.clock.pass_(days=2)
    world.bought_once("ord_9", ago=timedelta(hours=1))
    world.clock.pass_(days=days)
    world.mail(text, subject=f"Re: {question['Subject']}", message_id="<answer@example.org>")
    assert (world.case(first.case_id) or {})["decision"]["rule"] == rule
    world.evidence.sweep()


def test_word_of_a_stranger_is_not_when_a_later_purchase_was_asked_about(world: PeopleWorld) -> None:
    world.load(an_account())
    first = world.mail("I want my money back")
    [question] = world.written()
    world.clock.pass_(days=40)
    world.bought_once("ord_9")
    stranger = world.mail("refund ord_9", sender="acc_1@example.org", verified=False, message_id="<s@evil.example>")
    assert stranger.case_id != first.case_id
    world.clock.pass_(days=60)
    answer = {"subject": f"Re: {question['Subject']}", "message_id": "<answer@example.org>"}
    world.mail("It is order ord_9", **answer)
    assert world.state(first.case_id) == "declined"
    world.evidence.sweep()


@pytest.mark.parametrize("known", [True, False], ids=["account known", "account not known yet"])
def test_order_that_is_named_before_it_was_paid_is_a_persons(world: PeopleWorld, known: bool) -> None:
    world.load(*([an_account()] if known else []))
    taken = world.mail("Please refund order ord_9")
    world.clock.pass_(days=30)
    world.bought_once("ord_9", ago=timedelta(days=20))
    world.sweep()
    case = world.case(taken.case_id) or {}
    assert (case["state"], case["decision"]["rule"]) == ("review", "requested_before_purchase")
    with pytest.raises(Refused, match="no remedy at hand"):
        world.decide(taken.case_id)
    # nor does asking again end what was asked first
    world.mail("I mean order ord_9, which I bought three weeks ago", message_id="<2@example.org>")
    world.clock.pass_(days=2)
    world.sweep()
    assert (world.state(taken.case_id), world.queue()) == ("review", [taken.case_id])
    world.evidence.sweep()


@pytest.mark.parametrize(
    "written_as", ["acc_1@example.org (Anna)", '"Anna" < acc_1@example.org >', "Anna (ACME; Berlin) <acc_1@example.org> (Sales)"]
)
def test_sender_beside_a_comment_is_the_sender(world: PeopleWorld, written_as: str) -> None:
    world.bought_once()
    assert world.mailroom.take(written_from(written_as), origin="maildir").state == "review"


@pytest.mark.parametrize(
    "written_as",
    ["acc_1@example.org <acc_1@example.org>", "Müller, Anna <acc_1@example.org>", "Anna [ACME] <acc_1@example.org>"],
)
def test_sender_who_is_not_written_as_one_is_asked_and_confirms_nothing(world: PeopleWorld, written_as: str) -> None:
    """Common mailers write so; once nobody was ever asked."""
    world.bought_once()
    taken = world.mailroom.take(written_from(written_as, "I want my money back"), origin="maildir")
    assert (taken.state, taken.account_id) == ("waiting", "acc_1")
    [question] = world.written()
    assert str(question["To"]) == "acc_1@example.org"
    answer = world.mailroom.take(written_from(written_as, "It is ord_1", "<2@example.org>"), origin="maildir")
    assert (answer.state, world.state(taken.case_id)) == ("waiting", "waiting")


def test_two_accounts_in_one_from_are_nobody(world: PeopleWorld) -> None:
    world.bought_once()
    world.bought_once("ord_2", "acc_2")
    both = "acc_1@example.org, acc_2@example.org"
    taken = world.mailroom.take(written_from(both, "I want my money back"), origin="maildir")
    assert (taken.account_id, world.written()) == (None, [])


def written_from(value: str, text: str = "Please refund my order ord_1.", message_id: str = "<1@example.org>") -> bytes:
    """A mail, vouched for, whose From stands exactly so."""
    mail = a_mail(text, sender="x@example.org", message_id=message_id)
    return mail.replace(b"From: x@example.org", b"From: " + value.encode())


def test_address_of_a_deleted_account_is_that_of_the_account_which_is_there(world: PeopleWorld) -> None:
    world.load({**an_account("acc_0"), "email": "acc_1@example.org", "status": "deleted"})
    world.bought_once()
    taken = world.mail("I want my money back")
    assert (taken.account_id, len(world.written())) == ("acc_1", 1)


@pytest.mark.parametrize("verified", [True, False])
def test_mail_from_the_address_of_two_accounts_that_names_nothing_is_nobodys_and_says_why(
    world: PeopleWorld, verified: bool
) -> None:
    """A guess would put it to an account that may be the other; whoever looks has to see why nobody was asked."""
    world.bought_once()
    world.load({**an_account("acc_2"), "email": "acc_1@example.org"})
    taken = world.mail("I want my money back", verified=verified)
    assert (taken.account_id, world.queue(), world.written()) == (None, [taken.case_id], [])
    world.clock.pass_(days=3)
    world.sweep()
    case = world.case(taken.case_id)
    assert case
    said = [line["detail"]["why"] for line in case["history"] if line["event"] == "request.not_asked"]
    assert said == ["acc_1@example.org is the address of 2 accounts: acc_1, acc_2"]
    # what names one of their things is that account's
    assert world.mail("I mean ord_1", message_id="<2@example.org>").account_id == "acc_1"


def test_order_of_a_deleted_account_is_that_accounts_though_another_has_its_address(world: PeopleWorld) -> None:
    world.bought_once()
    world.load({**an_account("acc_0"), "email": "acc_1@example.org"}, a_purchase("ord_0", "acc_0", 50))
    world.load({**an_account("acc_0"), "email": "acc_1@example.org", "status": "deleted"})
    assert world.mail("Please refund ord_0").account_id == "acc_0"


HANDED_ON = [{"List_Id": "<support.layers.example>", "Precedence": "list"}, {"X_Auto_Response_Suppress": "All"}]


@pytest.mark.parametrize("headers", HANDED_ON, ids=["group", "suppressed"])
def test_mail_that_a_group_hands_on_is_a_persons_word(world: PeopleWorld, headers: dict[str, str]) -> None:
    """Where support@ is a group, every mail has passed it."""
    world.bought_once()
    assert world.mail(**headers).state == "review"


@pytest.mark.parametrize("headers", HANDED_ON, ids=["group", "suppressed"])
def test_mail_that_a_group_hands_on_unvouched_is_asked_about_and_its_answer_counts(
    world: PeopleWorld, headers: dict[str, str]
) -> None:
    world.bought_once()
    parked = world.mail(verified=False, **headers)
    [question] = world.written()
    yes = {"subject": f"Re: {question['Subject']}", "message_id": "<yes@example.org>"}
    world.mail("Yes.", verified=False, **yes, **headers)
    assert world.state(parked.case_id) == "review"


@pytest.mark.parametrize("machine", [{"Precedence": "bulk"}, {"X_Autoreply": "yes"}, {"Auto_Submitted": "auto-replied"}])
def test_machine_behind_a_group_is_a_machine(world: PeopleWorld, machine: dict[str, str]) -> None:
    world.bought_once()
    parked = world.mail(verified=False)
    [question] = world.written()
    away = {"subject": f"Re: {question['Subject']}", "message_id": "<away@example.org>", "List_Id": "<support.layers.example>"}
    world.mail("I am away.", **away, **machine)
    assert world.state(parked.case_id) == "waiting"


def test_guessed_reference_confirms_nothing(world: PeopleWorld) -> None:
    world.bought_once()
    first = world.mail(verified=False)
    guess = world.mail("It was me", subject="Re: [R-2222222222222222]", sender="x@evil.example", message_id="<g@x.example>")
    assert guess.case_id != first.case_id
    assert world.state(first.case_id) == "waiting"


def test_flood_in_somebodys_name_makes_one_question_a_day(world: PeopleWorld) -> None:
    world.bought_once()
    for number in range(20):
        world.mail(verified=False, message_id=f"<{number}@evil.example>")
    assert len(world.written()) == 1
    world.clock.pass_(days=1, minutes=1)
    world.mail(verified=False, message_id="<next-day@evil.example>")
    assert len(world.written()) == 2


def test_second_request_of_a_day_is_asked_about_the_day_after(world: PeopleWorld) -> None:
    """policy.md, "Request without job id, or from another address than the account's": parked with a question."""
    world.bought_once()
    world.bought_once("ord_2")
    first = world.mail(verified=False)
    second = world.mail("Please refund ord_2", verified=False, message_id="<2@example.org>")
    [question] = world.written()
    world.mail("Yes.", subject=f"Re: {question['Subject']}", verified=False, message_id="<yes@example.org>")
    assert (world.state(first.case_id), world.state(second.case_id)) == ("review", "waiting")
    world.clock.pass_(days=1)
    world.sweep()
    [question] = [letter for letter in world.written() if "Did you send us" in letter["Subject"]][1:]
    answer = world.mail("Yes.", subject=f"Re: {question['Subject']}", verified=False, message_id="<yes-2@example.org>")
    assert (answer.case_id, answer.state) == (second.case_id, "review")
    world.clock.pass_(days=9)
    world.sweep()
    assert len([letter for letter in world.written() if "Did you send us" in letter["Subject"]]) == 2


def test_question_that_had_no_address_is_asked_once_there_is_one(world: PeopleWorld) -> None:
    """The account's own event was ten minutes behind the mail: once nothing was asked any more."""
    world.happen(world.submitted("job_1"), world.succeeded("job_1"))
    taken = world.mail("job_1 is blank", sender="x@else.example")
    assert world.written() == []
    world.clock.pass_(minutes=10)
    world.load(an_account())
    for _ in range(4):
        world.clock.pass_(days=1)
        world.sweep()
    [question] = world.written()
    world.mail("Yes, mine.", subject=f"Re: {question['Subject']}", message_id="<yes@example.org>")
    assert (world.state(taken.case_id), world.queue()) == ("review", [taken.case_id])


def test_question_that_was_never_written_keeps_no_other_from_being_asked(world: PeopleWorld) -> None:
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.submitted("job_2"), world.succeeded("job_2"))
    world.mail("job_1 is blank", sender="x@else.example")
    assert world.written() == []
    world.load(an_account())
    world.mail("job_2 is blank", sender="y@else.example", message_id="<2@else.example>")
    assert [letter["To"] for letter in world.written()] == ["acc_1@example.org"]


def test_flood_of_one_hour_is_asked_about_no_longer_than_its_promise_runs(world: PeopleWorld) -> None:
    """Once a day, earliest first, and not for a month: what is left then is a person's."""
    world.bought_once()
    taken = []
    for number in range(20):
        world.clock.pass_(seconds=1)
        taken.append(world.mail(verified=False, message_id=f"<{number}@evil.example>"))
    for _ in range(15):
        world.clock.pass_(days=1)
        world.sweep()
    asked = select(notices.c.case_id).where(notices.c.kind == "question").order_by(notices.c.created_at)
    assert [row.case_id for row in world.rows(asked)] == [mail.case_id for mail in taken[:4]]
    assert len(world.queue()) == 20


@pytest.mark.parametrize("verified", [True, False])
def test_mailbox_that_answers_each_question_with_a_mail_of_its_own_is_not_asked_for_ever(
    world: PeopleWorld, verified: bool
) -> None:
    """Once it was, a letter and a case a day: nothing in its mails says that a machine wrote them, or what they answer."""
    world.bought_once()
    world.mail("I want my money back.", verified=verified)
    for day in range(12):
        world.written()
        world.clock.pass_(hours=25)
        world.sweep()
        said = f"Thank you for your message. Your ticket is no {day}."
        world.mail(said, subject="Ticket received", verified=verified, message_id=f"<ticket-{day}@example.org>")
    assert [mail["Subject"].partition("] ")[2] for mail in world.written()] == ["Did you send us an email?"] * 5
    # whatever it writes, people have it
    assert len(world.queue()) == 13
    # and who says no to some of it lets the next be asked about
    world.decide(world.queue()[0], "decline", reason="a machine wrote it")
    world.clock.pass_(hours=25)
    world.mail("What about my money?", verified=verified, message_id="<next@example.org>")
    assert len([mail for mail in world.written() if "Did you send us" in mail["Subject"]]) == 6


@pytest.mark.parametrize(
    "headers",
    [{"Auto_Submitted": "auto-replied"}, {"Precedence": "bulk"}, {"Return_Path": "<>"}],
    ids=lambda headers: next(iter(headers)),
)
def test_mail_that_no_person_wrote_is_never_answered(world: PeopleWorld, headers: dict[str, str]) -> None:
    world.bought_once()
    taken = world.mail(verified=False, **headers)
    assert taken.state == "waiting"
    assert world.written() == []


def a_bounce(of: EmailMessage) -> bytes:
    """What a mail host sends back of a letter that it could not deliver: it quotes the whole of it."""
    report = EmailMessage()
    report["From"], report["To"], report["Subject"] = "MAILER-DAEMON@mx.example.org", "support@layers.example", "Undelivered"
    report["Date"], report["Message-ID"] = "Mon, 02 Mar 2026 10:00:00 +0000", "<bounce@mx.example.org>"
    report["Return-Path"] = "<>"
    report.set_content("The mail system: <acc_1@example.org>: mailbox unavailable")
    report.add_attachment(of)
    report.replace_header("Content-Type", 'multipart/report; report-type="delivery-status"; boundary="b"')
    report.set_boundary("b")
    return report.as_bytes(policy=policy.SMTP)


def by_a_machine(world: PeopleWorld, letter: EmailMessage) -> TakenMail:
    """An answering machine answers this letter of ours."""
    answers = {"Auto_Submitted": "auto-replied", "In_Reply_To": str(letter["Message-ID"]), "message_id": "<away@example.org>"}
    return world.mail("I am away until Monday.", subject=f"Automatic reply: {letter['Subject']}", **answers)


@pytest.mark.parametrize("machine", ["vacation", "bounce"])
def test_answer_that_no_person_wrote_confirms_nothing_and_stays_on_record(world: PeopleWorld, machine: str) -> None:
    """Whoever makes a mailbox answer by itself does not own it (decision 17)."""
    world.bought_once()
    parked = world.mail(verified=False)
    [question] = world.written()
    bounced = machine == "bounce"
    answer = world.mailroom.take(a_bounce(question), origin="maildir") if bounced else by_a_machine(world, question)
    assert (answer.outcome, answer.case_id, answer.state) == (Taken.ATTACHED, parked.case_id, "waiting")
    assert [row.confirmed_at for row in world.rows(select(requests))] == [None, None]
    assert len((world.case(parked.case_id) or {})["requests"]) == 2
    # the owner's own word counts as before
    world.mail("Yes.", subject=f"Re: {question['Subject']}", verified=False, message_id="<yes@example.org>")
    assert world.state(parked.case_id) == "review"


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "its_headers"])
def test_letter_that_did_not_arrive_is_noted_on_its_case(world: PeopleWorld, whole: bool) -> None:
    """Once each report was a case of its own, in the queue of people."""
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    report = a_bounce(letter)
    if not whole:
        head = f"Content-Disposition: attachment\r\n\r\nMessage-ID: {letter['Message-ID']}\r\n".encode()
        report = a_bounce(EmailMessage()).replace(b"message/rfc822", b"text/rfc822-headers")
        report = report.replace(b"Content-Disposition: attachment\r\n\r\n", head)
    answer = world.mailroom.take(report, origin="maildir")
    case = world.case("job_1") or {}
    assert (answer.outcome, answer.case_id, world.queue()) == (Taken.ATTACHED, case["case_id"], [])
    assert [line["detail"]["why"] for line in case["history"] if line["event"] == "notice.returned"] == ["Undelivered"]


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize(
    ("actions", "returned"),
    [
        (["failed"], True),
        (["Failed"], True),
        (["delivered", "failed"], True),
        ([], True),
        (["delayed"], False),
        (["delivered"], False),
        (["relayed", "expanded"], False),
    ],
)
def test_letter_is_noted_as_returned_only_where_the_report_says_that_it_failed(
    world: PeopleWorld, actions: list[str], returned: bool
) -> None:
    world.bought_once()
    taken = world.mail()
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    status = "Reporting-MTA: dns; mx.example.org\r\n"
    for action in actions:
        status += f"\r\nFinal-Recipient: rfc822; acc_1@example.org\r\nAction: {action}\r\nStatus: 4.4.1\r\n"
    part = f"\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n{status}\r\n--b--".encode()
    answer = world.mailroom.take(a_bounce(letter).replace(b"\r\n--b--", part), origin="maildir")
    assert (answer.outcome, answer.case_id) == (Taken.ATTACHED, taken.case_id)
    events = [line["event"] for line in (world.case(taken.case_id) or {})["history"]]
    assert ("notice.returned" in events, "request.attached" in events) == (returned, True)


def a_receipt(of: EmailMessage, type: str, said: str) -> bytes:
    """What a mailbox, or its host, reports of a letter that arrived there."""
    head = "From: acc_1@example.org\r\nTo: support@layers.example\r\nSubject: Read\r\nMessage-ID: <read@example.org>\r\n"
    report = f'{head}Content-Type: multipart/report; report-type={type.partition("/")[2]}; boundary="b"\r\n\r\n'
    text = f"--b\r\nContent-Type: text/plain\r\n\r\nAbout your mail {of['Subject']}.\r\n\r\n"
    return f"{report}{text}--b\r\nContent-Type: {type}\r\n\r\n{said}\r\n\r\n--b--\r\n".encode()


@pytest.mark.parametrize("kind", ["receipt", "complaint"])
def test_report_about_a_letter_that_arrived_is_put_to_its_case_and_does_not_say_that_it_came_back(
    world: PeopleWorld, kind: str
) -> None:
    """Once who looked at the case read that its customer was never told."""
    world.bought_once()
    taken = world.mail()
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    if kind == "receipt":
        said = f"Original-Message-ID: {letter['Message-ID']}\r\nDisposition: manual-action/MDN-sent-manually; displayed"
        report = a_receipt(letter, "message/disposition-notification", said)
    else:
        whole = f"Feedback-Type: abuse\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{letter.as_string()}"
        report = a_receipt(letter, "message/feedback-report", whole)
    answer = world.mailroom.take(report, origin="maildir")
    assert (answer.outcome, answer.case_id) == (Taken.ATTACHED, taken.case_id)
    events = [line["event"] for line in (world.case(taken.case_id) or {})["history"]]
    assert ("notice.returned" in events, "request.attached" in events) == (False, True)


@pytest.mark.parametrize("vouched", [True, False])
def test_letter_of_ours_that_is_sent_on_to_us_is_put_to_its_case_and_asks_for_nothing(world: PeopleWorld, vouched: bool) -> None:
    """Once each was a request about the job that it told of, in the queue until a person said no to it."""
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    if vouched:
        letter["Authentication-Results"] = f"{OUR_HOST}; dmarc=pass header.from=layers.example"
    taken = world.mailroom.take(letter.as_bytes(policy=policy.SMTP), origin="maildir")
    assert (taken.outcome, taken.case_id) == (Taken.ATTACHED, (world.case("job_1") or {})["case_id"])
    world.clock.pass_(hours=2)
    assert (world.state("job_1"), world.queue(), len(world.written())) == ("refunded", [], 1)


def test_report_of_a_mail_host_that_names_nothing_of_ours_is_on_record_and_asks_nobody(world: PeopleWorld) -> None:
    world.bought_once()
    letter = EmailMessage()
    letter["Message-ID"], letter["Subject"] = "<other@layers.example>", "News"
    taken = world.mailroom.take(a_bounce(letter), origin="maildir")
    world.clock.pass_(minutes=5)
    world.sweep()
    assert (taken.outcome, world.state(taken.case_id), world.queue(), world.written()) == (Taken.OPENED, "nothing_owed", [], [])
    assert [file["name"] for file in (world.case(taken.case_id) or {})["evidence"]] != []


def test_person_who_writes_as_postmaster_is_in_the_queue(world: PeopleWorld) -> None:
    taken = world.mail("I want my money back.", sender="postmaster@example.org")
    assert (taken.state, world.queue()) == ("waiting", [taken.case_id])


def test_answer_that_no_person_wrote_is_no_objection_to_a_no(world: PeopleWorld) -> None:
    case_id, _ = the_no(world)
    [letter] = world.written()
    answer = by_a_machine(world, letter)
    assert (answer.outcome, answer.case_id, answer.state) == (Taken.ATTACHED, case_id, "declined")
    assert world.queue() == []


def test_answer_that_no_person_wrote_to_a_letter_about_a_finished_job_asks_for_nothing(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    answer = by_a_machine(world, letter)
    assert (answer.outcome, answer.case_id) == (Taken.ATTACHED, (world.case("job_1") or {})["case_id"])
    assert world.queue() == []


def test_machine_that_is_made_to_write_from_the_accounts_own_mailbox_asks_for_nothing(world: PeopleWorld) -> None:
    """A stranger's "refund ord_1" comes back to us vouched for, out of the mailbox that answers it by itself."""
    world.bought_once()
    taken = world.mail("I am away.", subject="Automatic reply: refund ord_1", Auto_Submitted="auto-replied")
    assert (taken.state, taken.account_id) == ("waiting", "acc_1")
    assert [row.confirmed_at for row in world.rows(select(requests))] == [None]


def test_unknown_sender_is_in_the_queue_and_nobody_is_written_to(world: PeopleWorld) -> None:
    world.bought_once()
    taken = world.mail("Please refund everything", sender="stranger@else.example")
    assert (taken.state, taken.account_id) == ("waiting", None)
    assert world.queue() == [taken.case_id]
    case = world.case(taken.case_id)
    assert case is not None
    assert case["account_id"] is None
    assert world.written() == []
    world.decide(taken.case_id, "decline", reason="nobody we know")
    assert world.queue() == []
    assert world.written() == []


def test_same_answer_goes_out_whether_or_not_the_account_exists(world: PeopleWorld) -> None:
    """Nothing that leaves tells a stranger who is a customer: nothing leaves to the stranger at all."""
    world.bought_once()
    world.mail("order ord_1 of acc_1@example.org", sender="stranger@else.example")
    world.mail("order ord_77 of nobody@example.org", sender="stranger@else.example", message_id="<2@x.example>")
    assert {letter["To"] for letter in world.written()} == {"acc_1@example.org"}


def test_order_that_is_known_only_later_is_looked_up_again(world: PeopleWorld) -> None:
    world.bought_once()
    taken = world.mail("Please refund ord_9")
    assert taken.state == "waiting"
    world.bought_once("ord_9")
    world.clock.pass_(days=1, minutes=1)
    world.sweep()
    assert (world.state(taken.case_id), world.case(taken.case_id)["order_id"]) == ("review", "ord_9")  # type: ignore[index]


def test_mail_that_comes_before_its_account_is_matched_within_minutes(world: PeopleWorld) -> None:
    taken = world.mail()
    assert (taken.state, taken.account_id) == ("waiting", None)
    world.bought_once()
    world.clock.pass_(minutes=5)
    world.sweep()
    case = world.case(taken.case_id) or {}
    assert (case["account_id"], case["order_id"], case["decision"]["rule"]) == ("acc_1", "ord_1", "unused_purchase")
    world.clock.pass_(minutes=5)
    assert [letter["To"] for letter in world.written()] == ["acc_1@example.org"]
    world.decide(taken.case_id)
    world.settle_down(days=2)
    assert world.double.gone("tran_ord_1") == 900


def test_mail_of_another_address_that_is_matched_later_is_asked_about(world: PeopleWorld) -> None:
    """And what no person wrote is matched as well, and is nobody's word."""
    strange = world.mail("Please refund ord_1", sender="somebody@else.example")
    away = world.mail("I am away", Auto_Submitted="auto-replied", message_id="<away@example.org>")
    world.bought_once()
    world.clock.pass_(days=1)
    world.sweep()
    for taken in (strange, away):
        case = world.case(taken.case_id) or {}
        assert (case["state"], case["account_id"]) == ("waiting", "acc_1")
    assert "an order or a job" not in (world.case(strange.case_id) or {})["decision"]["reason"]
    [question] = world.written()
    assert (question["To"], "Did you send us an email?" in question["Subject"]) == ("acc_1@example.org", True)
    world.mail("Yes.", subject=f"Re: {question['Subject']}", verified=False, message_id="<yes@example.org>")
    assert world.state(strange.case_id) == "review"


@ON_POSTGRES
def test_mail_whose_account_somebody_holds_is_matched_another_time_and_nothing_waits(world: PeopleWorld) -> None:
    taken = world.mail()
    world.bought_once()
    world.clock.pass_(minutes=5)
    with held(world.store, "acc_1"):
        world.sweep()
    assert (world.case(taken.case_id) or {})["account_id"] is None
    world.clock.pass_(minutes=5)
    world.sweep()
    assert (world.case(taken.case_id) or {})["account_id"] == "acc_1"


def test_mail_of_a_stranger_is_looked_up_less_and_less_often(world: PeopleWorld) -> None:
    taken, looks = world.mail(), 0
    until = world.clock.now() + timedelta(days=3)
    while (at := due_again(world, taken.case_id)) < until:
        world.clock.at, looks = at, looks + 1
        world.sweep()
    assert looks < 15
    assert at - world.clock.now() == timedelta(days=1)


def due_again(world: PeopleWorld, case_id: str) -> datetime:
    """When the sweep looks at this case next."""
    [row] = world.rows(select(cases.c.next_action_at).where(cases.c.case_id == case_id))
    at: datetime = row.next_action_at
    return at


def test_foreign_order_and_foreign_job_are_not_found(world: PeopleWorld) -> None:
    world.bought_once()
    world.bought_once("ord_2", "acc_2")
    taken = world.mail("Refund ord_2 please")
    assert (taken.account_id, taken.state) == ("acc_1", "waiting")


def test_mail_that_names_two_orders_ends_neither_by_itself(world: PeopleWorld) -> None:
    """The older is out of the window, the newer is not and was not used: no answer fits both."""
    world.bought_once(ago=timedelta(days=9))
    world.bought_once("ord_2")
    taken = world.mail("Please refund my orders ord_1 and ord_2, I have used neither.")
    assert (taken.state, world.queue()) == ("review", [taken.case_id])
    assert "ord_1 and ord_2" in (taken.reason or "")
    with pytest.raises(Refused, match="no remedy at hand"):
        world.decide(taken.case_id)
    again = world.mail("Any news about orders ord_1 and ord_2?", message_id="<again@example.org>")
    assert (again.outcome, again.case_id) == (Taken.ATTACHED, taken.case_id)


@pytest.mark.parametrize("bought", [True, False], ids=["known_later", "never_known"])
def test_mail_that_names_an_order_not_yet_known_beside_an_old_one_is_not_declined(world: PeopleWorld, bought: bool) -> None:
    """The second order is two minutes behind its mail: once the mail was declined for the age of the first, and it was never
    looked up.
    """
    world.bought_once(ago=timedelta(days=9))
    taken = world.mail("Please refund my orders ord_1 and ord_2.")
    assert (taken.state, (world.case(taken.case_id) or {})["decision"]["rule"]) == ("review", "request_names_unknown")
    with pytest.raises(Refused, match="no remedy at hand"):
        world.decide(taken.case_id)
    world.clock.pass_(minutes=2)
    if bought:
        world.bought_once("ord_2", ago=timedelta(minutes=5))
    world.clock.pass_(minutes=3)
    world.sweep()
    case = world.case(taken.case_id) or {}
    rule, said = ("request_names_several", "ord_1 and ord_2") if bought else ("request_names_unknown", "ord_2")
    assert (case["state"], case["decision"]["rule"]) == ("review", rule)
    assert said in case["decision"]["reason"]
    assert world.queue() == [taken.case_id]


def test_mail_that_names_what_is_not_known_beside_what_is_owed_is_proposed_for_money(world: PeopleWorld) -> None:
    """Many name an invoice of which our books know nothing."""
    world.bought_once()
    taken = world.mail("Please refund my order ord_1 (invoice INV-2026-7).")
    assert (world.case(taken.case_id) or {})["decision"]["rule"] == "unused_purchase"


@pytest.mark.parametrize(
    "text",
    [
        "Please refund my purchase 24-Hour Pass (ord_1).",
        "Please refund ord_1, my purchase 24h-pass.",
        "I want my purchase (1000 credits) back, ord_1",
        "Please refund ord_1, a purchase: 100-credits pack",
        "Please refund order ord_1 and 5000 credits.",
    ],
)
def test_what_was_bought_is_no_order_that_our_books_do_not_know(world: PeopleWorld, text: str) -> None:
    world.bought_once(ago=timedelta(days=9))
    taken = world.mail(text)
    assert (taken.state, (world.case(taken.case_id) or {})["decision"]["rule"]) == ("declined", "window_passed")


@pytest.mark.parametrize(
    "name",
    [
        "order number 24-Hour",
        "order 5000",
        "order 2026-11-B",
        "invoice #2000",
        "order ord_77",
        "and order\nord_77",
        "that is:\n\norders\n- ord_1\n- ord_77",
    ],
)
def test_what_is_called_an_order_by_its_id_or_looks_like_one_is_not_known_yet(world: PeopleWorld, name: str) -> None:
    world.bought_once(ago=timedelta(days=9))
    taken = world.mail(f"Please refund ord_1, {name}.")
    assert (world.case(taken.case_id) or {})["decision"]["rule"] == "request_names_unknown"


def test_mail_about_a_job_joins_its_case_whatever_it_says_was_bought(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    taken = world.mail("My job_1 hangs. My purchase: 24-Hour Pass")
    assert (taken.outcome, taken.case_id) == (Taken.ATTACHED, (world.case("job_1") or {})["case_id"])


def test_transaction_that_is_known_later_as_that_of_the_order_makes_no_second_thing(world: PeopleWorld) -> None:
    world.load(
        an_account(), a_purchase("ord_1", "acc_1", 50, written(world.clock.now() - timedelta(days=9)), transaction_id=None)
    )
    taken = world.mail("Please refund order ord_1, transaction tran_9.")
    assert taken.state == "review"
    world.load(a_purchase("ord_1", "acc_1", 50, written(world.clock.now() - timedelta(days=9)), transaction_id="tran_9"))
    world.clock.pass_(minutes=5)
    world.sweep()
    assert (world.case(taken.case_id) or {})["decision"]["rule"] == "window_passed"


def test_mail_about_a_job_and_an_order_not_yet_known_joins_no_case_about_the_job(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    taken = world.mail("My job_1 hangs. Also please refund my order ord_2.")
    assert (taken.outcome, taken.state) == (Taken.OPENED, "review")
    world.bought_once("ord_2", ago=timedelta(hours=3))
    world.happen(world.succeeded("job_1", attempt=2))
    world.clock.pass_(minutes=5)
    world.sweep()
    assert "job_1 and ord_2" in (world.case(taken.case_id) or {})["decision"]["reason"]
    assert world.queue() == [taken.case_id]


def test_order_not_yet_known_is_not_lost_behind_an_earlier_mail_that_a_person_has(world: PeopleWorld) -> None:
    world.bought_once()
    first = world.mail()
    second = world.mail("Please refund order ord_1 and order ord_2.", message_id="<two@example.org>")
    again = world.mail("Any news of order ord_1 and order ord_2?", message_id="<again@example.org>")
    assert (second.outcome, again.outcome, again.case_id) == (Taken.OPENED, Taken.ATTACHED, second.case_id)
    world.bought_once("ord_2")
    world.decide(first.case_id)
    world.settle_down(days=2)
    world.clock.pass_(days=1)
    world.sweep()
    assert (world.state(first.case_id), world.queue()) == ("refunded", [second.case_id])
    assert "ord_1 and ord_2" in (world.case(second.case_id) or {})["decision"]["reason"]


def test_order_not_yet_known_is_not_lost_behind_an_earlier_mail_about_the_job(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"))
    first = world.mail("The layers of job_1 are blank.")
    second = world.mail("job_1 is blank. Also refund order ord_2.", message_id="<two@example.org>")
    assert (second.outcome, second.case_id == first.case_id) == (Taken.OPENED, False)
    world.bought_once("ord_2")
    world.decide(first.case_id, "credits", reason="blank")
    world.clock.pass_(minutes=5)
    world.sweep()
    assert world.queue() == [second.case_id]
    assert "job_1 and ord_2" in (world.case(second.case_id) or {})["decision"]["reason"]


def test_mails_about_orders_of_which_none_is_known_are_one_request_where_they_name_the_same(world: PeopleWorld) -> None:
    world.bought_once()
    first = world.mail("Please refund order ord_8.")
    other = world.mail("Please refund order ord_9.", message_id="<other@example.org>")
    same = world.mail("And order ord_8?", message_id="<same@example.org>")
    assert (other.outcome, same.outcome, same.case_id) == (Taken.OPENED, Taken.ATTACHED, first.case_id)
    world.bought_once("ord_8", ago=timedelta(days=9))
    world.bought_once("ord_9")
    world.clock.pass_(minutes=5)
    world.sweep()
    assert (world.state(first.case_id), world.state(other.case_id)) == ("declined", "review")


@pytest.mark.parametrize("asked", ["I want my money back", "Please refund ord_1"], ids=["nothing", "one"])
def test_order_that_an_answer_names_before_it_is_known_is_looked_up_as_well(world: PeopleWorld, asked: str) -> None:
    world.bought_once(ago=timedelta(days=9))
    parked = world.mail(asked, verified=False)
    [question] = world.written()
    world.mail("It is order ord_2.", subject=f"Re: {question['Subject']}", message_id="<answer@example.org>")
    assert world.queue() == [parked.case_id]
    world.bought_once("ord_2", ago=timedelta(minutes=5))
    world.clock.pass_(minutes=5)
    world.sweep()
    assert (world.state(parked.case_id), world.queue()) == ("review", [parked.case_id])
    rule = (world.case(parked.case_id) or {})["decision"]["rule"]
    assert rule == ("request_names_several" if "ord_1" in asked else "unused_purchase")


def test_mail_that_names_two_jobs_is_settled_about_neither(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1"), world.submitted("job_2"), world.succeeded("job_2"))
    taken = world.mail("Jobs job_1 and job_2 both gave blank layers.")
    assert (taken.state, world.queue()) == ("review", [taken.case_id])
    assert "job_1 and job_2" in (taken.reason or "")


def test_mail_about_two_jobs_is_not_lost_on_the_open_case_of_one(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1"), world.succeeded("job_1"))
    world.happen(world.submitted("job_2"), world.succeeded("job_2"))
    taken = world.mail("job_1 and job_2 failed")
    assert (taken.outcome, taken.state) == (Taken.OPENED, "review")


@pytest.mark.parametrize(
    "text",
    [
        "My job_1, of order ord_1, came out blank.",
        "job_1 came out blank. The receipt says order ord_1, transaction tran_ord_1.",
        "job_1 came out blank.\n\n> Your credits came back for jobs job_1 and job_2.",
    ],
    ids=["its order beside it", "its order by two names", "another only in what is quoted"],
)
def test_mail_about_one_thing_is_judged_as_that(world: PeopleWorld, text: str) -> None:
    world.bought_once()
    for job in ("job_1", "job_2"):
        world.happen(world.submitted(job), world.succeeded(job))
    taken = world.mail(text)
    case = world.case(taken.case_id) or {}
    assert (case["job_id"], case["decision"]["rule"]) == ("job_1", "job_delivered")


def test_mail_about_a_job_and_an_order_that_did_not_pay_for_it_is_not_lost_on_the_case_of_the_job(world: PeopleWorld) -> None:
    """Once it joined the job's case, the re-run delivered, and nobody ever saw the order."""
    world.bought_once()
    world.bought_once("ord_2", ago=timedelta(hours=3))
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    taken = world.mail("My job_1 hangs. Also please refund my order ord_2, I do not need it.")
    assert (taken.outcome, taken.state, world.queue()) == (Taken.OPENED, "review", [taken.case_id])
    assert "job_1 and ord_2" in (taken.reason or "")
    world.happen(world.succeeded("job_1", attempt=2))
    world.settle_down(days=1)
    assert world.queue() == [taken.case_id]
    world.decide(taken.case_id, "money")
    world.settle_down(days=2)
    assert (world.double.gone("tran_ord_2"), world.double.gone("tran_ord_1")) == (900, 0)


@pytest.mark.parametrize(
    ("paid", "joins"), [("tran_ord_1", True), ("ord_1 and ord_2", False), ("ord_2", False)], ids=["its own", "both", "another"]
)
def test_mail_about_a_job_joins_its_case_beside_no_order_but_that_which_paid_for_it(
    world: PeopleWorld, paid: str, joins: bool
) -> None:
    world.bought_once(credits=0, kind="pass_24h", ago=timedelta(hours=2))
    world.bought_once("ord_2", ago=timedelta(hours=3))
    world.happen(world.submitted("job_1", credits=0, paid_with="pass"), world.failed("job_1", code="job_timeout"))
    taken = world.mail(f"My job_1 hangs. I bought {paid}.")
    assert (taken.outcome, taken.state) == ((Taken.ATTACHED, "rerunning") if joins else (Taken.OPENED, "review"))


def test_answer_about_another_order_to_a_letter_about_a_finished_job_is_about_both(world: PeopleWorld) -> None:
    world.bought_once()
    world.bought_once("ord_2", ago=timedelta(hours=3))
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    taken = world.mail("Thanks. And please refund ord_2.", message_id="<re@example.org>", In_Reply_To=str(letter["Message-ID"]))
    assert (taken.state, world.queue()) == ("review", [taken.case_id])
    assert "job_1 and ord_2" in (taken.reason or "")


def test_answer_that_names_another_order_makes_it_two(world: PeopleWorld) -> None:
    world.bought_once(ago=timedelta(days=9))
    world.bought_once("ord_2")
    parked = world.mail("Please refund ord_1", verified=False)
    [question] = world.written()
    answer = world.mail("Yes, and ord_2 too.", subject=f"Re: {question['Subject']}", message_id="<answer@example.org>")
    assert (answer.case_id, answer.state) == (parked.case_id, "review")
    assert "ord_1 and ord_2" in (answer.reason or "")


def test_mail_taken_twice_is_one_request(world: PeopleWorld) -> None:
    world.bought_once()
    first, again = world.mail(), world.mail()
    assert (again.outcome, again.case_id, again.request_id) == (Taken.KNOWN, first.case_id, first.request_id)
    forwarded = world.mailroom.take(b"Received: from x by y; Mon, 2 Mar 2026 10:00:00 +0000\r\n" + a_mail(), origin="file")
    assert forwarded.outcome is Taken.KNOWN
    assert len(world.rows(select(requests))) == 1
    assert len(world.lying()) == 1


UNVOUCHED: dict[str, dict[str, Any]] = {"a host that vouches for nobody": {"verified": False}}
BY_A_LIST: dict[str, dict[str, Any]] = {
    "a list": {"verified": False, "Precedence": "bulk"},
    "a vouched list": {"Precedence": "bulk"},
}


@pytest.mark.parametrize("first", [*UNVOUCHED.values(), *BY_A_LIST.values()], ids=[*UNVOUCHED, *BY_A_LIST])
def test_copy_of_a_mail_that_its_own_mailbox_is_vouched_for_is_the_word_that_the_first_lacks(
    world: PeopleWorld, first: dict[str, Any]
) -> None:
    """Once it was dropped as known: the customer was asked, or, where the first came by a list, never answered."""
    world.bought_once()
    parked = world.mail(**first)
    assert parked.state == "waiting"
    world.clock.pass_(days=9)
    world.sweep()
    vouched = world.mail()
    assert (vouched.outcome, vouched.case_id, vouched.state) == (Taken.ATTACHED, parked.case_id, "review")
    assert (world.case(parked.case_id) or {})["decision"]["rule"] == "unused_purchase"
    for again in (world.mail(), world.mail(**first)):
        assert (again.outcome, again.case_id) == (Taken.KNOWN, parked.case_id)
    world.clock.pass_(minutes=5)
    assert "A person will look at your case" in world.written()[-1]["Subject"]
    assert world.queue() == [parked.case_id]
    assert world.audit().breaches == []


def test_copy_that_is_vouched_for_gives_its_word_for_no_other_mail_that_waits_for_one(world: PeopleWorld) -> None:
    world.bought_once()
    world.bought_once("ord_x", "acc_x")
    parked = world.mail(verified=False)
    others = world.mail("Please refund my order ord_x.", sender="acc_x@example.org", verified=False)
    assert world.mail().state == "review"
    r = requests.c
    first = {row.case_id: row.confirmed_at for row in world.rows(select(r.case_id, r.confirmed_at).order_by(r.request_id.desc()))}
    assert (first[parked.case_id] is not None, first[others.case_id]) == (True, None)


@pytest.mark.parametrize("first", [*UNVOUCHED.values(), *BY_A_LIST.values()], ids=[*UNVOUCHED, *BY_A_LIST])
def test_copy_that_says_less_than_the_first_changes_nothing(world: PeopleWorld, first: dict[str, Any]) -> None:
    world.bought_once()
    taken = world.mail()
    again = world.mail(**first)
    assert (again.outcome, again.request_id, again.state) == (Taken.KNOWN, taken.request_id, "review")


@pytest.mark.parametrize("first", [*UNVOUCHED.values(), *BY_A_LIST.values()], ids=[*UNVOUCHED, *BY_A_LIST])
def test_copy_of_a_strangers_mail_that_is_vouched_for_confirms_nothing(world: PeopleWorld, first: dict[str, Any]) -> None:
    world.bought_once()
    parked = world.mail(sender="mallory@else.example", **first)
    again = world.mail(sender="mallory@else.example")
    assert (again.outcome, again.request_id, again.state) == (Taken.KNOWN, parked.request_id, "waiting")


def test_copy_of_an_answer_that_a_list_made_a_machines_is_the_customers(world: PeopleWorld) -> None:
    world.bought_once(ago=timedelta(days=9))
    taken = world.mail()
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    said = {"text": "It was yours.", "In_Reply_To": str(letter["Message-ID"]), "message_id": "<answer@example.org>"}
    assert world.mail(**said, Precedence="bulk").state == "declined"
    assert world.mail(**said, verified=False).state == "review"
    assert (world.mail(**said).outcome, world.queue()) == (Taken.KNOWN, [taken.case_id])


def test_copy_that_is_vouched_for_after_the_first_was_declined_is_a_request_of_its_own(world: PeopleWorld) -> None:
    world.bought_once()
    world.decide(world.mail(verified=False).case_id, "decline")
    world.clock.pass_(minutes=5)
    vouched = world.mail()
    assert (vouched.outcome, vouched.state) == (Taken.OPENED, "review")
    assert world.mail().outcome is Taken.KNOWN


def test_what_cannot_be_read_is_in_the_queue_with_its_bytes(world: PeopleWorld) -> None:
    taken = world.mailroom.take(b"\x00\xff\xfe no mail at all", origin="maildir")
    case = world.case(taken.case_id)
    assert case is not None
    assert case["state"] in {"review", "waiting"}
    assert world.queue() == [taken.case_id]
    [file] = case["evidence"]
    _, content = world.evidence.look(file["evidence_id"], by="ann", reason="what is it")
    assert content == b"\x00\xff\xfe no mail at all"


def test_process_that_dies_before_the_commit_leaves_the_mail_and_no_row(world: PeopleWorld, tmp_path: Path) -> None:
    world.bought_once()
    world.files.keep(b"a file whose row was never committed")
    [orphan] = world.lying()
    assert world.evidence.sweep().orphans == 0
    world.clock.pass_(hours=1)
    old = world.clock.now().timestamp() - 7200
    os.utime(orphan, (old, old))
    assert world.evidence.sweep().orphans == 1
    assert world.lying() == []


def test_history_says_how_the_mail_came(world: PeopleWorld) -> None:
    world.bought_once()
    taken = world.mail(files={"a.png": PNG})
    rows = world.rows(select(case_history).where(case_history.c.case_id == taken.case_id).order_by(case_history.c.id))
    assert [row.event for row in rows] == ["case.opened", "case.decided", "effect.held", "case.moved"]
    assert rows[0].detail["verdict"] == "verified"
    assert {row.name for row in world.rows(select(evidence))} == {"mail.eml", "a.png"}


def the_no(world: PeopleWorld) -> tuple[str, str]:
    """A request that was declined, and the id of the letter that said so."""
    world.bought_once(ago=timedelta(days=9))
    case_id = world.mail().case_id
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    return case_id, str(letter["Message-ID"])


def test_answer_to_a_no_is_looked_at_by_a_person_and_stays_with_one(world: PeopleWorld) -> None:
    case_id, letter = the_no(world)
    answer = world.mail("I was ill.", verified=False, message_id="<ill@example.org>", In_Reply_To=letter)
    assert (answer.outcome, answer.case_id, answer.state) == (Taken.ATTACHED, case_id, "review")
    world.clock.pass_(days=3)
    world.sweep()
    assert world.queue() == [case_id]
    world.decide(case_id, "money", reason="a hospital's word for it")
    world.settle_down(days=2)
    assert (world.state(case_id), world.double.gone("tran_ord_1")) == ("refunded", 900)


def test_answer_to_a_letter_about_a_finished_job_is_a_request_of_its_own(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    told = {"verified": False, "message_id": "<more@example.org>", "In_Reply_To": str(letter["Message-ID"])}
    answer = world.mail("And the lost time?", **told)
    assert (answer.outcome, answer.account_id, answer.state) == (Taken.OPENED, "acc_1", "nothing_owed")
    assert world.case(answer.case_id)["job_id"] == "job_1"  # type: ignore[index]


def test_answer_after_the_money_was_sent_reaches_a_person(world: PeopleWorld) -> None:
    """Once it stayed with the case that was over, where nobody saw it."""
    world.bought_once()
    taken = world.mail()
    world.decide(taken.case_id)
    world.settle_down(days=2)
    world.clock.pass_(hours=2)
    [letter] = [letter for letter in world.written() if "We sent" in text_of(letter)]
    late = world.mail("It has not shown up.", message_id="<late@example.org>", In_Reply_To=str(letter["Message-ID"]))
    assert (late.outcome, late.state, world.state(taken.case_id)) == (Taken.OPENED, "review", "refunded")
    world.mail("Still not there.", message_id="<later@example.org>", In_Reply_To=str(letter["Message-ID"]))
    assert world.queue() == [late.case_id]


@pytest.mark.parametrize(
    ("hours", "gone", "rules"),
    [
        (23, False, ["pass_used", "unused_purchase"]),
        (25, False, ["unused_purchase", "pass_used"]),
        (23, True, ["requested_already_refunded", "pass_used"]),
    ],
    ids=["under both", "under the second", "under both, the first given back"],
)
def test_job_runs_under_the_first_pass_that_lasts_and_counts_for_it_alone(
    world: PeopleWorld, hours: int, gone: bool, rules: list[str]
) -> None:
    """Once it counted for both: the second was declined as used though nothing had run under it alone."""
    for order, ago in (("ord_1", hours), ("ord_2", 2)):
        world.bought_once(order, credits=0, kind="pass_24h", ago=timedelta(hours=ago))
    if gone:
        world.double.refund_in_dashboard("tran_ord_1")
        world.settle_down(days=0.01)
    for job in ("job_1", "job_2"):
        paid = world.submitted(job, credits=0, paid_with="pass")
        world.happen(paid, world.succeeded(job), world.event("downloaded", job))
    mails = [world.mail(f"Please refund my order ord_{n}.", message_id=f"<mail-{n}@example.org>") for n in (1, 2)]
    found = [world.case(taken.case_id) for taken in mails]
    assert [each["decision"]["rule"] for each in found if each is not None] == rules


def test_job_that_fails_while_its_purchase_is_going_back_is_not_made_good_twice(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.submitted("job_2"))
    taken = world.mail()
    world.decide(taken.case_id, "money", reason="goodwill")
    world.happen(world.failed("job_1"))
    assert (world.state("job_1"), world.credits(), world.account("acc_1")["frozen"]) == ("refunded", 0, 45)
    assert world.audit().breaches == []
    world.settle_down(days=2)
    assert world.double.gone("tran_ord_1") == 900
    assert world.account("acc_1")["lots"][0]["void"] == 45
    world.happen(world.failed("job_2"))
    assert (world.state("job_2"), world.credits()) == ("nothing_owed", 0)


def test_job_that_fails_while_a_refund_comes_to_nothing_has_its_credits_in_the_end(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"))
    taken = world.mail()
    world.decide(taken.case_id, "money", reason="goodwill")
    world.happen(world.failed("job_1"))
    world.double.refund_in_dashboard("tran_ord_1", 90)
    world.settle_down(days=2)
    assert world.double.posts("tran_ord_1") == 0
    lot = world.account("acc_1")["lots"][0]
    assert (lot["remaining"], lot["frozen"], lot["void"], lot["spent"]) == (45, 0, 5, 0)
    # what went back by another hand is a person's to weigh against the request
    assert world.queue() == [taken.case_id]


def under_a_pass(world: PeopleWorld, *, code: str = "") -> None:
    world.bought_once(credits=0, kind="pass_24h", ago=timedelta(hours=3))
    end = world.failed("job_1", code=code) if code else world.succeeded("job_1")
    world.happen(world.submitted("job_1", credits=0, paid_with="pass"), end)


@pytest.mark.parametrize("days", [0, 60])
def test_mail_about_a_failed_job_that_took_no_credits_ends_as_its_own_case_did(world: PeopleWorld, days: int) -> None:
    """Once a person had it, for whom every choice but no was refused."""
    under_a_pass(world, code="model_error")
    world.happen(world.submitted("job_2", credits=0, paid_with="free"), world.failed("job_2", code="bad_output"))
    world.clock.pass_(days=days)
    for job in ("job_1", "job_2"):
        case = world.case(world.mail(f"{job} failed", message_id=f"<{job}@example.org>").case_id) or {}
        own = world.case(job) or {}
        assert (case["kind"], case["state"], own["state"]) == ("request", "nothing_owed", "nothing_owed")
        assert case["decision"]["reason"] == own["decision"]["reason"]
        assert case["decision"]["clause"] == own["decision"]["clause"]
    assert world.queue() == []
    assert world.audit().ok


def test_mail_that_came_before_its_job_failed_under_a_pass_ends_with_the_job(world: PeopleWorld) -> None:
    world.bought_once(credits=0, kind="pass_24h", ago=timedelta(hours=3))
    world.happen(world.submitted("job_1", credits=0, paid_with="pass"))
    taken = world.mail("job_1 hangs")
    assert taken.state == "review"
    world.happen(world.failed("job_1", code="model_error"))
    assert [(world.case(name) or {})["state"] for name in ("job_1", taken.case_id)] == ["nothing_owed"] * 2


@pytest.mark.parametrize(("days", "state"), [(0, "review"), (60, "declined")])
def test_window_of_a_job_under_a_pass_is_that_of_the_pass(world: PeopleWorld, days: int, state: str) -> None:
    under_a_pass(world)
    world.clock.pass_(days=days)
    taken = world.mail("job_1 is blank")
    case = world.case(taken.case_id) or {}
    rule = "job_delivered" if state == "review" else "window_passed"
    assert (case["state"], case["decision"]["rule"], case["order_id"]) == (state, rule, "ord_1")


def test_person_who_reads_of_a_job_under_a_pass_may_give_its_money_and_only_by_that_name(world: PeopleWorld) -> None:
    under_a_pass(world, code="model_error")
    taken = world.mail("job_1 of order ord_1 failed, I want my money back")
    assert (taken.state, world.choices(taken.case_id)["money"]["refused"]) == ("review", None)
    with pytest.raises(Refused, match="choose one of money"):
        world.decide(taken.case_id)
    alone = world.mail("job_1 failed", message_id="<alone@example.org>")
    assert alone.case_id == taken.case_id, "it joins what a person has of the same job"


def test_mail_about_a_disputed_charge_is_answered_with_what_was_paid(world: PeopleWorld) -> None:
    """Once with the price that the product knew, beside a dispute of what was paid with tax."""
    world.load(*world.history_of_charges(1, tax=171))
    world.double.dispute("tran_0")
    world.double.tick()
    world.sweep()
    found = world.case(world.mail("Please refund my order ord_0.").case_id)
    assert found is not None
    assert found["decision"]["reason"] == "the charge of 10.71 USD is under dispute at the bank, so nothing is sent beside it"


def test_answer_about_a_job_that_was_judged_cites_the_edition_of_that(store: Store, tmp_path: Path) -> None:
    """Once it cited the edition of the purchase, by which the same failure would have given the credits back."""
    shutil.copytree(DEFAULT_TERMS, tmp_path / "terms")
    two_editions(tmp_path / "terms", 1000)
    world = PeopleWorld(store, tmp_path, clock=HandClock(datetime(2026, 12, 31, tzinfo=UTC)), terms_dir=tmp_path / "terms")
    world.load(an_account(), a_purchase(paid_at="2026-12-30T12:00:00Z"))
    world.happen(world.submitted("job_1"))
    world.clock.pass_(days=2)
    world.happen(world.failed("job_1"))
    taken = world.mail("My job job_1 failed")
    own, asked = world.case("job_1"), world.case(taken.case_id)
    assert own is not None
    assert asked is not None
    assert (asked["state"], asked["decision"]["terms"]) == (own["state"], own["decision"]["terms"]) == ("declined", "2027-01-01")
    row = world.rows(select(cases).where(cases.c.case_id == taken.case_id))[0]
    found = why(row, world.bench.editions)
    assert found is not None
    assert found["same_again"]
    world.close()


def test_answer_about_a_job_whose_output_was_incomplete_cites_the_clause_of_that(world: PeopleWorld) -> None:
    """Once it said of a job that delivered five of six layers that nothing was delivered."""
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.incomplete("job_1"))
    world.happen(world.incomplete("job_1", attempt=2, delivered=5))
    taken = world.mail("My job job_1 is incomplete, please refund it")
    found = world.case(taken.case_id)
    assert found is not None
    assert (found["decision"]["rule"], found["decision"]["clause"]) == ("requested_job_made_whole", "incomplete-output")


@pytest.mark.parametrize(("other", "clause"), [(None, "incomplete-output"), ("job_timeout", "failed-job")])
def test_mail_about_a_purchase_cites_the_clause_of_its_jobs_where_it_is_one(
    world: PeopleWorld, other: str | None, clause: str
) -> None:
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.incomplete("job_1"))
    if other is not None:
        world.happen(world.submitted("job_2"), world.failed("job_2", code=other))
    found = world.case(world.mail().case_id)
    assert found is not None
    assert (found["decision"]["rule"], found["decision"]["clause"]) == ("requested_failed_jobs", clause)


def test_job_that_failed_by_its_own_input_is_no_proven_fault_of_the_purchase(world: PeopleWorld) -> None:
    world.bought_once(ago=timedelta(days=60))
    world.happen(world.submitted("job_1"), world.succeeded("job_1"))
    world.happen(world.submitted("job_2"), world.failed("job_2", code="invalid_image"))
    case = world.case(world.mail().case_id)
    assert case is not None
    assert (case["state"], case["decision"]["clause"]) == ("declined", "window-passed")


def job_fails_whose_newer_purchase_went_back(world: PeopleWorld) -> None:
    """Two of its credits are of an order whose money stays, the others of one that was refunded by hand while it ran."""
    world.load(an_account(), a_purchase("ord_0", credits=2, paid_at="2026-02-27T09:00:00Z"))
    transaction = world.bought_once()
    world.happen(world.submitted("job_1"))
    world.double.refund_in_dashboard(transaction)
    world.settle_down(days=0.1)
    world.happen(world.failed("job_1"))


def test_credits_of_a_failed_job_are_not_owed_once_the_money_of_their_purchase_went_back(world: PeopleWorld) -> None:
    job_fails_whose_newer_purchase_went_back(world)
    assert world.account("acc_1")["lots"][0]["remaining"] == 2, "the other purchase has its share of the job back"
    case = world.case(world.mail().case_id)
    assert case is not None
    assert (case["state"], case["decision"]["rule"]) == ("nothing_owed", "requested_already_refunded")


def test_customer_is_told_why_fewer_credits_come_back_than_the_job_took(world: PeopleWorld) -> None:
    job_fails_whose_newer_purchase_went_back(world)
    world.clock.pass_(minutes=10)
    [letter] = world.written()
    said = " ".join(text_of(letter).split())
    assert "We put 2 credits back on your account" in said
    assert "the other 3 credits that it took were of a purchase whose money went back" in said


@pytest.mark.parametrize("text", ["Please refund job_1.", "Please refund job_1 of order ord_1."])
@pytest.mark.parametrize(
    ("ended", "state", "rule"),
    [
        (None, "review", "job_not_ended"),
        ("succeeded", "review", "job_delivered"),
        ("failed", "declined", "requested_job_was_judged"),
    ],
)
def test_job_that_two_purchases_paid_for_is_not_settled_by_the_money_of_one(
    world: PeopleWorld, text: str, ended: str | None, state: str, rule: str
) -> None:
    """Of its five credits two are of a purchase that stands: the customer was told that nothing more was owed for the job."""
    world.load(an_account(), a_purchase("ord_0", credits=2, paid_at="2026-02-27T09:00:00Z"))
    transaction = world.bought_once()
    world.happen(world.submitted("job_1"))
    if ended is not None:
        world.happen(world.succeeded("job_1") if ended == "succeeded" else world.failed("job_1", code="invalid_image"))
    world.double.refund_in_dashboard(transaction)
    world.settle_down(days=0.1)
    taken = world.mail(text)
    case = world.case(taken.case_id)
    assert case is not None
    assert (case["state"], case["decision"]["rule"]) == (state, rule)
    if state == "review":
        assert world.choices(taken.case_id)["credits"]["does"] == "2 credits come back to be spent (2 to ord_0)"


@pytest.mark.parametrize("text", ["Please refund job_1.", "Please refund job_1 of order ord_1."])
@pytest.mark.parametrize(
    ("code", "bought_days_ago", "afterwards"),
    [(None, 20, "window_passed"), ("invalid_image", 1, "requested_job_was_judged")],
)
def test_job_whose_older_purchase_is_disputed_waits_for_the_bank(
    world: PeopleWorld, text: str, code: str | None, bought_days_ago: int, afterwards: str
) -> None:
    """Two of its five credits are of a charge that the bank has: the mail was declined for what was known of the newer one."""
    disputed = world.bought_once("ord_0", ago=timedelta(days=30), credits=2)
    world.bought_once(ago=timedelta(days=bought_days_ago))
    world.happen(world.submitted("job_1"), world.failed("job_1", code=code) if code else world.succeeded("job_1"))
    world.double.dispute(disputed)
    world.settle_down(days=0.1)
    taken = world.mail(text)
    case = world.case(taken.case_id)
    assert case is not None
    assert (case["state"], case["decision"]["rule"]) == ("review", "requested_under_dispute")
    assert "ord_0, which paid for the job as well, is under dispute" in case["decision"]["reason"]
    world.double.win_dispute(disputed)
    world.decide(disputed, "won")
    world.sweep()
    case = world.case(taken.case_id)
    assert case is not None
    assert (case["state"], case["decision"]["rule"]) == ("declined", afterwards)


@pytest.mark.parametrize("which", ["", " of order ord_0", " of order ord_1"])
@pytest.mark.parametrize(("newer_days_ago", "state", "rule"), [(1, "review", "job_delivered"), (20, "declined", "window_passed")])
def test_window_of_a_job_that_two_purchases_paid_for_is_that_of_the_newer_whichever_is_named(
    world: PeopleWorld, which: str, newer_days_ago: int, state: str, rule: str
) -> None:
    """Who named the job's older order beside it was declined, and who named none was heard."""
    world.bought_once("ord_0", ago=timedelta(days=30), credits=2)
    world.bought_once(ago=timedelta(days=newer_days_ago))
    world.happen(world.submitted("job_1"), world.succeeded("job_1"))
    case = world.case(world.mail(f"Please refund job_1{which}.").case_id)
    assert case is not None
    assert (case["state"], case["decision"]["rule"]) == (state, rule)


def test_request_with_a_person_keeps_up_with_its_jobs_and_is_told_of_once(world: PeopleWorld) -> None:
    """The figures were those of the day the mail came, as long as the same rule put it to a person."""
    world.bought_once()
    world.happen(*(world.submitted(job) for job in ("job_1", "job_2")))
    world.happen(*(world.failed(job, output=layers(6)) for job in ("job_1", "job_2")))
    taken = world.mail()
    reasons = []
    for job in ("job_1", "job_2"):
        case = world.case(taken.case_id)
        assert case is not None
        reasons.append((case["reason"], case["credits_owed"]))
        world.decide(job, "credits")
        world.sweep()
    assert reasons == [
        ("2 failed jobs of this purchase still hold 10 credits", 10),
        ("1 failed job of this purchase still holds 5 credits", 5),
    ]
    case = world.case(taken.case_id)
    assert case is not None
    assert (case["state"], case["decision"]["rule"], case["credits_owed"]) == ("review", "unused_purchase", 0)
    told = [one["data"]["case_id"] for one in world.announced() if one["type"] == "refund.in_review"]
    assert told.count(taken.case_id) == 1


@pytest.mark.parametrize(("ends", "rule"), [("delivers", "purchase_partly_used"), ("is silent", "unused_purchase")])
def test_request_with_a_person_is_judged_anew_when_a_job_of_its_purchase_ends(world: PeopleWorld, ends: str, rule: str) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1", code="gpu_out_of_memory"))
    taken = world.mail()
    world.clock.pass_(minutes=61)
    if ends == "delivers":
        world.happen(world.succeeded("job_1", attempt=2))
    world.sweep()
    world.sweep()
    case = world.case(taken.case_id)
    assert case is not None
    assert (case["state"], case["decision"]["rule"]) == ("review", rule)


@pytest.mark.parametrize(
    ("became", "used"),
    [
        ("", "1 job still running"),
        ("run again", "1 job still running"),
        ("run again, taken", "1 job still running, 1 download of incomplete output"),
        ("failed, taken", "1 download of incomplete output"),
    ],
)
def test_pass_under_which_a_job_runs_or_some_output_was_taken_is_not_unused(world: PeopleWorld, became: str, used: str) -> None:
    """Its money was proposed for a refund while the re-run was on its way, and the customer kept the output."""
    world.bought_once(credits=0, kind="pass_24h", ago=timedelta(hours=3))
    world.happen(world.submitted("job_1", credits=0, paid_with="pass"))
    if "again" in became:
        world.happen(world.succeeded("job_1", delivered=5))
    if "failed" in became:
        world.happen(world.failed("job_1", output=layers(5)))
    if "taken" in became:
        world.happen(world.event("downloaded", "job_1"))
    case = world.case(world.mail().case_id)
    assert case is not None
    assert (case["state"], case["reason"]) == (
        "review",
        f"the purchase was used for {used}, and only a whole charge can go back",
    )


@pytest.mark.parametrize(
    ("money", "again", "why"),
    [
        ("stands", True, ""),
        ("went back", False, "the pass that covered it was itself given back"),
        ("is disputed", False, "what paid for it is under dispute at the bank"),
        ("went back, and another lasts", True, ""),
    ],
)
def test_job_under_a_pass_is_run_again_only_while_the_pass_stands(world: PeopleWorld, money: str, again: bool, why: str) -> None:
    """Once it was: of the money of what had paid for it only lots of credits were asked."""
    transaction = world.bought_once(credits=0, kind="pass_24h", ago=timedelta(hours=3))
    if "another" in money:
        world.bought_once("ord_2", credits=0, kind="pass_24h", ago=timedelta(hours=2))
    world.happen(world.submitted("job_1", credits=0, paid_with="pass"))
    if "went back" in money:
        world.double.refund_in_dashboard(transaction)
    if "disputed" in money:
        world.double.dispute(transaction)
    world.settle_down(days=0.1)
    world.happen(world.failed("job_1", code="gpu_out_of_memory"))
    case = world.case("job_1")
    assert case is not None
    assert (case["state"], len(world.pipeline.orders)) == (("rerunning", 1) if again else ("nothing_owed", 0))
    assert why in case["reason"]


@ON_POSTGRES
def test_event_that_waits_for_the_account_of_a_mail_has_its_request_judged_anew(world: PeopleWorld) -> None:
    """What a statement reads beside the lock that it waits for is of the time before it waited."""
    world.bought_once(credits=0, kind="pass_24h", ago=timedelta(hours=3))
    used = world.submitted("job_1", credits=0, paid_with="pass"), world.succeeded("job_1"), world.event("downloaded", "job_1")
    waiting = text("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
    with ThreadPoolExecutor(2) as others, world.store.engine.connect() as holder, world.store.engine.connect() as looker:
        # the mail has its account by then, and keeps it
        holder.execute(text("lock table requests in share mode"))
        mailed = others.submit(world.mail)
        assert eventually(lambda: _scalar(looker, waiting) == 1)
        happened = others.submit(world.happen, *used)
        assert eventually(lambda: _scalar(looker, waiting) == 2)
        holder.rollback()
        taken = mailed.result(30)
        happened.result(30)
    world.sweep()
    case = world.case(taken.case_id)
    assert case is not None
    assert (case["state"], case["decision"]["rule"]) == ("review", "purchase_partly_used")


def _scalar(connection: Connection, asked: TextClause) -> int:
    count = int(connection.execute(asked).scalar_one())
    # the next look is of its own time
    connection.rollback()
    return count
