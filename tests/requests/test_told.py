"""What customers are told of their cases: in words made for them, to the end, and nothing that is no longer so."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlalchemy import select, update

from policy import Clause, clause_text
from tests.cases.world import a_purchase, an_account
from tests.policy.build import TERMS
from tests.requests.world import PNG, PeopleWorld, text_of
from tests.servers import POSTGRES_AT_NIGHT
from worker.cases.money import limits
from worker.cases.requests.register import Taken
from worker.errors import Refused
from worker.sandbox.creem.words import RefundAnswer
from worker.store.engine import Store
from worker.store.tables import case_history, cases, effects, notices


def letters(world: PeopleWorld) -> list[str]:
    """The texts of all letters, once those of the last hour are out as well."""
    world.clock.pass_(minutes=5)
    world.written()
    world.clock.pass_(hours=1)
    return [text_of(letter) for letter in world.written()]


def stopped_by_a_person(world: PeopleWorld) -> str:
    said = "we suspect a colleague of stealing"
    world.store.write(lambda tx: limits.stop(tx, by="ann", reason=said, now=world.clock.now()))
    world.twice_charged()
    world.pay()
    world.clock.pass_(days=1)
    world.pay()
    return said


def of_another_customer(world: PeopleWorld) -> str:
    charged = world.history_of_charges(2)
    paid_at = world.clock.now() - timedelta(minutes=55)
    world.double.pay("tran_x", customer_id="cust_secret", amount=900, paid_at=paid_at)
    charged[2]["transaction_id"] = "tran_x"
    world.load(*charged)
    world.settle_down(days=0.2)
    return "cust_secret"


@pytest.mark.parametrize("held_up", [stopped_by_a_person, of_another_customer])
def test_what_holds_money_up_is_for_the_person_and_never_for_the_customer(
    world: PeopleWorld, held_up: Callable[[PeopleWorld], str]
) -> None:
    """Whom a colleague suspects and whose transaction it is once went into the letter."""
    internal = held_up(world)
    [case_id] = world.queue()
    assert internal in world.reviewer.look(case_id, by="ann")["case"]["decision"]["reason"]
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    assert internal not in letter.as_string()
    assert "Why: the same 9.00 USD was charged 5 minutes after ord_0, which stays valid" in text_of(letter)
    world.sweep()
    [said] = world.announced()
    assert (said["type"], internal in said["data"]["reason"]) == ("refund.in_review", False)


def test_reason_of_a_persons_decision_outlives_a_hand_over_in_between(world: PeopleWorld) -> None:
    """Once the case and the letter about the money gave what had held it up: not proved within 24 hours."""
    world.bought_once()
    taken = world.mail()
    world.double.switches = replace(world.double.switches, settle_after=2 * 86_400.0, turns_early=False)
    world.decide(taken.case_id, reason="never used, and asked for in time")
    for _ in range(4):
        world.pay()
        world.clock.pass_(days=1)
    case = world.case(taken.case_id)
    assert case is not None
    assert "case.handed_over" in [row["event"] for row in case["history"]]
    assert (case["state"], case["decision"]["reason"]) == ("refunded", "never used, and asked for in time")
    [sent] = [said for said in map(text_of, world.written()) if "We sent 9.00 USD" in said]
    assert "Why: never used, and asked for in time" in sent


def delivered_by_itself(world: PeopleWorld) -> str:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1"), world.succeeded("job_1"))
    world.mail("job_1 failed, please help")
    world.happen(world.succeeded("job_1", attempt=2))
    return "Nothing more is owed for it.\n\nThis is about job job_1.\n\nWhy: attempt 2 delivered complete output"


def declined_once_it_was_known(world: PeopleWorld) -> str:
    world.load(an_account())
    world.happen(world.submitted("job_1"), world.failed("job_1", code="invalid_image"))
    assert world.mail("job_1 failed, please refund it").state == "waiting"
    world.bought_once()
    world.sweep()
    return "We looked at your request and cannot grant it."


def refunded_in_the_dashboard(world: PeopleWorld) -> str:
    world.bought_once()
    taken = world.mail()
    world.clock.pass_(minutes=5)
    world.written()
    world.hears = False
    world.double.refund_in_dashboard("tran_ord_1")
    world.decide(taken.case_id)
    world.pay()
    return "Nothing more is owed for it.\n\nThis is about order ord_1.\n\nWhy: the money has already been refunded"


def lost_at_the_bank(world: PeopleWorld) -> str:
    world.bought_once()
    world.happen(world.submitted("job_1"))
    world.double.dispute("tran_ord_1")
    world.double.tick()
    world.happen(world.failed("job_1"))
    world.clock.pass_(minutes=5)
    assert "A person will look at your case" in text_of(world.written()[0])
    world.decide("tran_ord_1", "lost", reason="the bank said so")
    world.sweep()
    return "We looked at your case. Nothing more is owed for it.\n\nThis is about job job_1."


def lose_at_the_bank(world: PeopleWorld, transaction_id: str) -> None:
    world.double.dispute(transaction_id)
    world.double.tick()
    world.sweep()
    world.decide(transaction_id, "lost", reason="the bank said so")
    world.sweep()


BY_THE_BANK = "\n\nThis is about order ord_1.\n\nWhy: the bank gave the 9.00 USD back after the charge was disputed there\n"


def asked_for_and_lost_at_the_bank(world: PeopleWorld) -> str:
    world.bought_once()
    world.mail()
    lose_at_the_bank(world, "tran_ord_1")
    return f"Nothing more is owed for it.{BY_THE_BANK}"


def charged_twice_and_lost_at_the_bank(world: PeopleWorld) -> str:
    world.load(*world.history_of_charges(apart=timedelta(hours=1)))
    world.clock.pass_(minutes=5)
    assert "A person will look at your case" in text_of(world.written()[0])
    lose_at_the_bank(world, "tran_1")
    return f"Nothing more is owed for it.{BY_THE_BANK}"


ENDS = [
    delivered_by_itself,
    declined_once_it_was_known,
    refunded_in_the_dashboard,
    lost_at_the_bank,
    asked_for_and_lost_at_the_bank,
    charged_twice_and_lost_at_the_bank,
]


@pytest.mark.parametrize("end", ENDS)
def test_whoever_waits_for_an_answer_hears_how_the_case_ended(world: PeopleWorld, end: Callable[[PeopleWorld], str]) -> None:
    """Who wrote, and who was told that a person looks; once a case that ended by itself said nothing to either."""
    said = end(world)
    assert [letter for letter in letters(world) if said in letter] != []
    before = len(world.written())
    world.clock.pass_(days=2)
    world.sweep()
    assert len(letters(world)) == before


def test_case_that_ended_before_anybody_was_told_of_it_ends_in_silence(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1"), world.succeeded("job_1"))
    assert world.state("job_1") == "review"
    world.happen(world.succeeded("job_1", attempt=2))
    assert world.state("job_1") == "nothing_owed"
    assert [letter for letter in letters(world) if "Nothing more is owed" in letter] == []


def test_mail_that_asks_for_more_than_the_case_it_was_put_to_is_judged_by_itself(world: PeopleWorld) -> None:
    """Once it stayed with a charge that was no duplicate after all, and nobody ever saw it."""
    world.bought_once("ord_x", "acc_x")
    others = world.mail("Please refund my order ord_x.", sender="acc_x@example.org", files={"shot.png": PNG})
    world.load(*world.history_of_charges(2, apart=timedelta(minutes=40)))
    taken = world.mail("I bought ord_1 by accident and never used it, please refund it", files={"shot.png": PNG})
    assert (taken.outcome, {*world.queue()}) == (Taken.ATTACHED, {taken.case_id, others.case_id})
    left = world.case(others.case_id)
    world.clock.pass_(hours=1)
    world.double.refund_in_dashboard("tran_0")
    world.settle_down(days=0.1)
    world.sweep()
    assert world.state(taken.case_id) == "nothing_owed"
    [case_id] = {*world.queue()} - {others.case_id}
    case = world.case(case_id)
    assert case is not None
    assert (case["kind"], case["decision"]["rule"], case["order_id"]) == ("request", "unused_purchase", "ord_1")
    assert world.case(others.case_id) == left
    assert [mail["request_id"] for mail in case["requests"]] == [taken.request_id]
    assert [file["name"] for file in case["evidence"] if file["name"] != "message.eml"] != []
    assert case["opened_at"] == case["requests"][0]["received_at"]
    world.decide(case_id)
    world.pay()
    assert world.double.gone("tran_1") == 900


def a_charge_in_doubt(world: PeopleWorld) -> EmailMessage:
    """A charge that may be a duplicate is with a person, and its customer was told so: the letter."""
    world.twice_charged(apart=timedelta(minutes=30))
    world.clock.pass_(minutes=10)
    [letter] = world.written()
    world.mail("I am away.", message_id="<away@x.org>", Auto_Submitted="auto-replied", In_Reply_To=str(letter["Message-ID"]))
    return letter


def the_first_goes_back(world: PeopleWorld) -> None:
    """By somebody's hand, so that the charge in doubt is no duplicate."""
    world.double.refund_in_dashboard("tran_0")
    world.settle_down(days=0.2)
    world.reconciler().reconcile()
    world.sweep()


def test_what_only_machines_answered_becomes_no_request_when_its_case_ends(world: PeopleWorld) -> None:
    """Once it was a request for the money, which a person was to answer and nobody had asked for."""
    a_charge_in_doubt(world)
    the_first_goes_back(world)
    assert [row.kind for row in world.rows(select(cases))] == ["duplicate_charge"]
    assert world.queue() == []


@pytest.mark.parametrize("verified", [True, False], ids=["vouched", "unvouched"])
def test_customers_mail_is_not_hidden_behind_a_machines_when_its_case_ends(world: PeopleWorld, verified: bool) -> None:
    """Once the machine's was the first and the request was its own: nobody was asked whether the customer had written."""
    a_charge_in_doubt(world)
    world.clock.pass_(minutes=1)
    written = world.mail("Please refund ord_1.", message_id="<hum@x.org>", verified=verified)
    the_first_goes_back(world)
    world.clock.pass_(minutes=5)
    [case_id] = world.queue()
    case = world.case(case_id) or {}
    assert [mail["request_id"] for mail in case["requests"]][1:] == [written.request_id]
    assert case["opened_at"] == case["requests"][1]["received_at"]
    assert case["state"] == ("review" if verified else "waiting")
    asked = [letter for letter in world.written() if "Did you send us" in letter["Subject"]]
    assert len(asked) == (0 if verified else 1)


def test_no_that_a_person_says_again_is_told_again_and_each_time_once(world: PeopleWorld) -> None:
    """The customer answered a no; once the second never reached anybody, nor the product."""
    world.bought_once(ago=timedelta(days=9))
    taken = world.mail()
    for number, word in enumerate(("the rule stands even so", "and it still does")):
        world.clock.pass_(hours=2)
        last = max(world.written(), key=lambda letter: letter["Date"].datetime)
        world.mail(f"But {number}", message_id=f"<but-{number}@example.org>", In_Reply_To=str(last["Message-ID"]))
        assert world.state(taken.case_id) == "review"
        world.decide(taken.case_id, "decline", reason=word)
        world.sweep()
        world.clock.pass_(hours=2)
        assert sum(word in letter for letter in letters(world)) == 1
    assert [letter["Subject"] for letter in world.written()] == ["Your refund request was declined"] * 3
    assert [said["type"] for said in world.announced()] == ["refund.declined"] * 3
    assert len({said["id"] for said in world.announced()}) == 3


def test_audit_finds_a_no_that_was_told_more_often_than_it_was_said(store: Store, tmp_path: Path) -> None:
    world = PeopleWorld(store, tmp_path)
    world.bought_once(ago=timedelta(days=9))
    taken = world.mail()
    letters(world)
    world.sweep()
    assert world.audit().breaches == []
    sent = {"case_id": taken.case_id, "at": world.clock.now(), "event": "notice.sent", "by": "worker"}
    world.store.write(lambda tx: tx.insert(case_history, [sent | {"detail": {"kind": "declined", "detail": "again"}}]))
    [breach] = world.audit().breaches
    assert (breach["check"], breach["problem"]) == ("customers_are_told_once", "was told of 2 times: declined")
    world.close()


def test_letter_is_held_against_the_case_when_it_is_written(world: PeopleWorld) -> None:
    """What is gathered for an hour may have been decided meanwhile: once it said that nothing was, after the decline."""
    world.bought_once()
    world.bought_once("ord_2")
    world.mail()
    world.clock.pass_(minutes=5)
    assert len(world.written()) == 1
    other = world.mail("Please refund ord_2", message_id="<mail-2@example.org>")
    world.clock.pass_(minutes=5)
    world.written()
    world.decide(other.case_id, "decline", reason="bought twice on purpose")
    said = letters(world)
    assert [letter for letter in said if "order ord_2" in letter and "has been decided" in letter] == []
    assert [letter for letter in said if "bought twice on purpose" in letter] != []
    states = {row.kind: row.state for row in world.rows(select(notices).where(notices.c.case_id == other.case_id))}
    assert states == {"in_review": "dropped", "declined": "sent"}


def test_letter_that_somebody_looks_waits_while_money_is_on_its_way_and_goes_when_somebody_looks(world: PeopleWorld) -> None:
    world.bought_once()
    taken = world.mail()
    world.double.switches = replace(world.double.switches, answer=RefundAnswer.FAILED)
    world.decide(taken.case_id)
    assert letters(world) == []
    world.pay()
    assert world.state(taken.case_id) == "review"
    [said] = letters(world)
    assert "A person will look at your case" in said


@pytest.mark.parametrize(("answer", "gone", "spendable"), [(RefundAnswer.SUCCEEDED, 900, 0), (RefundAnswer.FAILED, 0, 5)])
@pytest.mark.parametrize("code", ["internal_error", "gpu_out_of_memory"])
def test_credits_that_come_back_frozen_are_told_of_once_they_can_be_spent(
    world: PeopleWorld, code: str, answer: RefundAnswer, gone: int, spendable: int
) -> None:
    """The money of their purchase is on its way: once the letter said that they were there, and then they were void. Nor is the
    job run again meanwhile: the money that goes back would pay for what is delivered.
    """
    world.bought_once(credits=5)
    world.happen(world.submitted("job_1", credits=5))
    world.double.switches = replace(world.double.switches, answer=answer)
    world.decide(world.mail().case_id, "money", reason="goodwill")
    world.happen(world.failed("job_1", code=code))
    assert (world.state("job_1"), world.credits(), world.pipeline.orders) == ("refunded", 0, [])
    [said] = [one["data"] for one in world.announced() if one["type"] == "refund.credits_reversed"]
    assert (said["credits"], said["credits_frozen"]) == (5, 5)
    assert [letter for letter in letters(world) if "back on your account" in letter] == []
    world.pay()
    assert (world.double.gone("tran_ord_1"), world.credits()) == (gone, spendable)
    assert sum("We put 5 credits back on your account" in letter for letter in letters(world)) == (spendable == 5)


def test_credits_that_can_be_spent_again_are_told_of_to_nobody_whose_purchase_is_still_held(world: PeopleWorld) -> None:
    for number, answer in ((1, RefundAnswer.PENDING), (2, RefundAnswer.FAILED)):
        world.bought_once(f"ord_{number}", f"acc_{number}", credits=5)
        world.happen(world.submitted(f"job_{number}", f"acc_{number}", credits=5))
        asked = world.mail(f"Please refund my order ord_{number}.", sender=f"acc_{number}@example.org")
        world.decide(asked.case_id, "money", reason="goodwill")
        world.happen(world.failed(f"job_{number}", f"acc_{number}"))
        world.double.switches = replace(world.double.switches, answer=answer)
        world.pay()
    assert [world.account(f"acc_{number}")["lots"][0]["frozen"] for number in (1, 2)] == [5, 0]
    world.clock.pass_(minutes=5)
    told = [mail["To"] for mail in world.written() if "We put 5 credits back on your account" in text_of(mail)]
    assert told == ["acc_2@example.org"]


def test_credits_that_come_back_frozen_to_several_jobs_are_told_of_as_frozen_each_time(world: PeopleWorld) -> None:
    """What is announced of many cases by one intent says what their rows say, and those do not say what of it is frozen."""
    world.bought_once(credits=10)
    world.happen(world.submitted("job_1", credits=5), world.submitted("job_2", credits=5))
    world.decide(world.mail().case_id, "money", reason="goodwill")
    world.happen(world.failed("job_1"), world.failed("job_2"))
    unrecorded = update(effects).values(state="claimed", due_at=world.clock.now())
    world.store.write(lambda tx: tx.connection.execute(unrecorded))
    world.sweep()
    said = [one["data"] for one in world.announced() if one["type"] == "refund.credits_reversed"]
    assert [(one["credits"], one["credits_frozen"]) for one in said] == [(5, 5)] * 4


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("partly", [False, True])
def test_credits_that_a_dispute_kept_frozen_are_told_of_when_it_was_won(world: PeopleWorld, partly: bool) -> None:
    """Once nobody was: the claim that had held them ended under the dispute, and freed nothing."""
    transaction = world.bought_once(credits=5)
    world.happen(world.submitted("job_1", credits=5))
    world.decide(world.mail().case_id, "money", reason="goodwill")
    world.happen(world.failed("job_1"))
    world.double.dispute(transaction)
    world.settle_down(days=0.1)
    if partly:
        world.double.refund_in_dashboard(transaction, 300)
        world.settle_down(days=0.1)
    assert (world.lot("ord_1"), [letter for letter in letters(world) if "back on your account" in letter]) == ((0, 5, 0), [])
    for _ in range(2):
        world.decide(transaction, "won", reason="the bank said so")
        assert world.credits() == (4 if partly else 5)
        # what a part of the money took along is told by nobody, as where a claim ends
        assert sum("We put 5 credits back on your account" in letter for letter in letters(world)) == (not partly)
        world.clock.pass_(days=10)
        world.double.dispute(transaction)
        world.double.tick()
        world.sweep()


def test_clause_of_the_case_stays_and_is_quoted_only_where_it_bears_the_decision_out(world: PeopleWorld) -> None:
    """Goodwill after the 7 days, and two packs that were meant, on a charge of which nobody ever wrote."""
    world.bought_once("ord_9", "acc_9", ago=timedelta(days=9))
    taken = world.mail("Please refund my order ord_9.", sender="acc_9@example.org")
    [no] = letters(world)
    assert clause_text(Clause.WINDOW_PASSED, TERMS) in no
    [letter] = world.written()
    told = {"sender": "acc_9@example.org", "message_id": "<ill@example.org>", "In_Reply_To": str(letter["Message-ID"])}
    world.mail("I was ill.", **told)
    world.decide(taken.case_id, "money", reason="goodwill")
    world.load(*world.history_of_charges(2, apart=timedelta(minutes=40)))
    world.decide("ord_1", "decline", reason="two packs were meant")
    world.pay()
    world.clock.pass_(minutes=1)
    world.pay()
    said = letters(world)
    [sent] = [letter for letter in said if "goodwill" in letter]
    [kept] = [letter for letter in said if "two packs were meant" in letter]
    assert "What our refund policy says" not in sent + kept
    assert "No refund is due for it." in kept
    clauses = [(world.case(name) or {})["decision"]["clause"] for name in (taken.case_id, "ord_1")]
    assert clauses == ["window-passed", "duplicate-charge"]


@pytest.mark.parametrize("code", ["invalid_image", "image_too_large"])
def test_mail_about_a_job_that_failed_by_its_input_is_told_what_the_policy_says_of_that(world: PeopleWorld, code: str) -> None:
    """Once it waited for a person, who had nothing else to say."""
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1", code=code))
    taken = world.mail("job_1 failed though my image is fine. Refund please")
    own, case = world.case("job_1") or {}, world.case(taken.case_id) or {}
    assert (case["state"], case["decision"]["clause"], case["decision"]["reason"]) == (
        "declined",
        "failed-job",
        own["decision"]["reason"],
    )
    world.clock.pass_(minutes=5)
    [letter] = [" ".join(text_of(message).split()) for message in world.written()]
    assert f"the job failed with {code}" in letter
    assert "reply to this email" in letter
    again = world.mail("job_1: my image is fine, look at it!", message_id="<again@example.org>")
    assert again.state == "review", "whoever answers a no is read by a person"


def test_mail_after_a_letter_about_the_jobs_own_case_is_read_by_a_person(world: PeopleWorld) -> None:
    """That letter promises one to whoever answers it."""
    declined_once_it_was_known(world)
    world.clock.pass_(minutes=5)
    assert "A person will look at it again" in " ".join(text_of(world.written()[-1]).split())
    taken = world.mail("job_1: my image is fine, look at it!", message_id="<again@example.org>")
    assert ((world.case(taken.case_id) or {})["decision"]["rule"], taken.state) == ("request_answers_a_no", "review")


@pytest.mark.parametrize("what", ["a job", "an order"])
def test_letter_that_said_no_about_one_thing_said_none_about_another(world: PeopleWorld, what: str) -> None:
    """Nor does the mail that a no is about answer that no."""
    for order in ("ord_1", "ord_2"):
        world.bought_once(order, ago=timedelta(days=9))
    for job in ("job_1", "job_2"):
        world.happen(world.submitted(job), world.failed(job, code="invalid_image"))
    names = ("job_1", "job_2") if what == "a job" else ("ord_1", "ord_2")
    for name in names:
        taken = world.mail(f"{name}, please refund it", message_id=f"<{name}@x.example>")
        assert taken.state == "declined"
        world.clock.pass_(hours=2)
        assert "cannot grant" in text_of(world.written()[-1])
    again = world.mail(f"{names[1]}, look at it!", message_id="<again@x.example>")
    assert ((world.case(again.case_id) or {})["decision"]["rule"], again.state) == ("request_answers_a_no", "review")


def test_letter_that_the_money_of_one_order_was_sent_is_none_about_another(world: PeopleWorld) -> None:
    world.bought_once("ord_1")
    world.bought_once("ord_2", ago=timedelta(days=9))
    world.bought_once("ord_3", "acc_2", ago=timedelta(days=9))
    world.decide(world.mail().case_id, "money", reason="nothing was used")
    world.settle_down(days=1)
    world.clock.pass_(minutes=2)
    assert any("We sent you a refund" in letter["Subject"] for letter in world.written())
    other = world.mail("Please refund ord_2", message_id="<2@x.example>")
    third = world.mail("Please refund ord_3", sender="acc_2@example.org", message_id="<3@x.example>")
    assert [mail.state for mail in (other, third)] == ["declined", "declined"]


@pytest.mark.parametrize("text", ["Nothing of it has come in ten days.", "The refund of ord_1 never came."])
def test_person_reads_that_the_money_did_not_show_up(world: PeopleWorld, text: str) -> None:
    world.bought_once()
    early = world.mail().case_id
    world.decide(early, "money", reason="nothing was used")
    world.settle_down(days=1)
    world.clock.pass_(minutes=2)
    [letter] = [mail for mail in world.written() if "We sent you a refund" in mail["Subject"]]
    world.clock.pass_(days=10)
    thread = {"In_Reply_To": str(letter["Message-ID"])} if "ord_1" not in text else {}
    taken = world.mail(text, message_id="<late@example.org>", **thread)
    case = world.case(taken.case_id)
    assert case is not None
    assert (case["state"], case["decision"]["rule"]) == ("review", "request_answers_a_payment")
    assert "a letter said that the money was sent" in case["reason"]
    with pytest.raises(Refused, match="one claim on a charge, for ever"):
        world.decide(taken.case_id, "money")


def test_what_a_person_said_of_a_job_no_mail_is_declined_with(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1"), world.succeeded("job_1"))
    world.decide("job_1", "decline", reason="the file opens here")
    taken = world.mail("job_1 failed")
    assert taken.state == "review"


def test_letter_about_a_review_gives_the_reason_of_the_day_it_is_sent(world: PeopleWorld) -> None:
    """Once it told of a dispute that was over, and of a job without an end an hour after its end."""
    transaction = world.bought_once()
    world.double.dispute(transaction)
    world.settle_down(days=0.05)
    taken = world.mail()
    case = world.case(taken.case_id)
    assert case is not None
    assert case["decision"]["clause"] == "dispute-hold"
    world.clock.pass_(seconds=30)
    world.decide(transaction, "won", reason="the bank said so")
    world.clock.pass_(days=1)
    world.sweep()
    [letter] = [text_of(letter) for letter in world.written() if "A person will look" in text_of(letter)]
    case = world.case(taken.case_id)
    assert case is not None
    assert case["state"] == "review"
    assert "dispute" not in letter
    assert " ".join(case["reason"].split()) in " ".join(letter.split())


def test_letter_about_what_cost_nothing_says_no_more_than_that(world: PeopleWorld) -> None:
    world.load(an_account(), {**a_purchase(), "amount": 0})
    taken = world.mail()
    assert world.state(taken.case_id) == "nothing_owed"
    world.clock.pass_(minutes=5)
    [letter] = map(text_of, world.written())
    assert "Nothing more is owed for it." in letter
    assert "Why: the purchase cost nothing" in letter
    assert "settled" not in letter
    assert "calendar days" not in letter


def test_letter_about_credits_after_a_rerun_tells_what_the_rerun_came_to(world: PeopleWorld) -> None:
    """Once it said that nothing was delivered to whoever had five layers, or had been told that the output was ready."""
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1", code="gpu_out_of_memory"))
    world.happen(world.succeeded("job_1", attempt=2))
    assert "the new output is ready" in letters(world)[-1]
    world.happen(world.failed("job_1", code="corrupted_download", attempt=2, output=None))
    letter = " ".join(letters(world)[-1].split())
    assert "the output of its re-run is incomplete (corrupted_download)" in letter
    assert clause_text(Clause.INCOMPLETE_OUTPUT, TERMS) in letter


def test_letter_about_credits_says_that_the_files_of_a_rerun_may_be_kept(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1", code="gpu_out_of_memory"))
    world.happen(world.incomplete("job_1", attempt=2, delivered=5))
    letter = " ".join(letters(world)[-1].split())
    assert "it delivered 5 of 6 layers; the files that the re-run delivered may be kept" in letter
    assert clause_text(Clause.INCOMPLETE_OUTPUT, TERMS) in letter
