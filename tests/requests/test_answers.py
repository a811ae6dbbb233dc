"""What answers a letter of ours: which of the cases that it told of is meant, and what else is asked in it."""

from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage

import pytest

from tests.requests.world import PeopleWorld, text_of
from worker.cases.requests.register import Taken, TakenMail
from worker.clock import written
from worker.errors import Refused


def answer(world: PeopleWorld, letter: EmailMessage, text: str, number: int = 1, **more: str) -> TakenMail:
    """The customer answers this letter, and quotes it."""
    quoted = "\n".join(f"> {line}" for line in text_of(letter).splitlines())
    said = f"{text}\n\nOn Mon, 2 Mar 2026 at 10:00, Image to Layers <support@layers.example> wrote:\n{quoted}"
    headers = {"In_Reply_To": str(letter["Message-ID"]), **more}
    return world.mail(said, subject=f"Re: {letter['Subject']}", message_id=f"<answer-{number}@example.org>", **headers)


def two_noes(world: PeopleWorld) -> tuple[list[TakenMail], EmailMessage]:
    """Two requests that were declined, and the one letter that said so."""
    taken = []
    for number, days in ((1, 9), (2, 20)):
        world.bought_once(f"ord_{number}", ago=timedelta(days=days))
        taken.append(world.mail(f"Please refund ord_{number}", message_id=f"<{number}@example.org>"))
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    assert [mail.state for mail in taken] == ["declined", "declined"]
    return taken, letter


def two_looked_at(world: PeopleWorld) -> tuple[list[TakenMail], EmailMessage]:
    """Two requests that a person has, and the one letter that said so."""
    taken = []
    for number in (1, 2):
        world.bought_once(f"ord_{number}")
        taken.append(world.mail(f"Please refund ord_{number}", message_id=f"<{number}@example.org>"))
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    return taken, letter


def test_wrong_no_to_a_job_turns_when_the_pipeline_says_what_was_wrong(world: PeopleWorld) -> None:
    """The first way of the runbook, "A wrong no"."""
    world.bought_once()
    world.happen(world.submitted("job_1"), world.failed("job_1", code="invalid_image"))
    assert (world.state("job_1"), world.credits()) == ("declined", 45)
    assert world.requeuer.plan("job_1").nothing
    with pytest.raises(Refused, match='it is declined; the runbook, "A wrong no", has what turns that'):
        world.decide("job_1", "credits")
    world.happen(world.failed("job_1", code="model_error", id="corrected"))
    assert (world.state("job_1"), world.credits()) == ("refunded", 50)


@pytest.mark.parametrize("first", ["policy", "person"])
def test_wrong_no_to_a_job_is_a_persons_once_the_customer_answers_it(world: PeopleWorld, first: str) -> None:
    """The second way of the runbook, "A wrong no"."""
    world.bought_once()
    world.happen(world.submitted("job_1"))
    if first == "policy":
        world.happen(world.failed("job_1", code="invalid_image"))
        assert world.mail("Please look at job_1: my picture was fine.").state == "declined"
    else:
        world.happen(world.failed("job_1"), world.succeeded("job_1"))
        world.decide("job_1", "decline", reason="the output was whole")
    world.clock.pass_(minutes=5)
    assert world.queue() == []
    told = answer(world, world.written()[-1], "Please look again, my picture was fine.")
    assert world.queue() == [told.case_id]
    assert world.choices(told.case_id)["credits"]["refused"] is None
    world.decide(told.case_id, "credits", reason="the picture was fine")
    assert world.credits() == 50
    assert world.audit().breaches == []


@pytest.mark.parametrize("first", ["policy", "person"])
def test_promise_of_an_answered_no_runs_from_the_answer_and_the_customer_is_told_until_when(
    world: PeopleWorld, first: str
) -> None:
    """Once it was overdue at once, and nobody said when a person would have looked."""
    if first == "policy":
        taken, letter = the_no(world)
    else:
        world.bought_once()
        taken = world.mail()
        world.clock.pass_(hours=2)
        assert "A person will look at your case" in world.written()[-1]["Subject"]
        world.decide(taken.case_id, "decline", reason="it was used")
        world.clock.pass_(hours=2)
        letter = world.written()[-1]
    world.clock.pass_(days=21)
    answer(world, letter, "It was not used.")
    world.sweep()
    case = world.case(taken.case_id) or {}
    assert (case["state"], case["failed_at"]) == ("review", written(world.clock.now()))
    assert case["due_at"] > written(world.clock.now() + timedelta(days=2))
    assert "promise.breached" not in [line["event"] for line in case["history"]]
    world.clock.pass_(minutes=5)
    told = text_of(world.written()[-1])
    assert "A person will look at your case" in told
    assert "You will hear from us by" in told
    assert "you answered what we had decided" in told
    # who goes on writing moves nothing
    world.clock.pass_(days=1)
    letters = len(world.written())
    answer(world, letter, "Hello?", 2)
    world.clock.pass_(hours=2)
    assert (len(world.written()), (world.case(taken.case_id) or {})["due_at"]) == (letters, case["due_at"])
    world.sweep()
    assert world.audit().breaches == []


@pytest.mark.parametrize("text", ["I disagree, please look at both again.", "Please look at ord_1 and ord_2 again."])
def test_answer_to_two_noes_has_a_person_look_at_both(world: PeopleWorld, text: str) -> None:
    taken, letter = two_noes(world)
    told = answer(world, letter, text)
    assert (told.outcome, told.state) == (Taken.ATTACHED, "review")
    assert sorted(world.queue()) == sorted(mail.case_id for mail in taken)
    # whoever opens the other finds the mail
    [other] = [mail.case_id for mail in taken if mail.case_id != told.case_id]
    assert told.case_id in (world.case(other) or {})["decision"]["reason"] + str((world.case(other) or {})["history"])
    world.clock.pass_(days=3)
    world.sweep()
    assert len(world.queue()) == 2


@pytest.mark.parametrize("number", [1, 2])
def test_answer_that_names_one_of_two_noes_has_a_person_look_at_that(world: PeopleWorld, number: int) -> None:
    """Once it was the other that came back, with the other's money to be sent."""
    taken, letter = two_noes(world)
    told = answer(world, letter, f"Please look at ord_{number} again: it was a double click.")
    assert (told.case_id, told.state) == (taken[number - 1].case_id, "review")
    assert world.queue() == [taken[number - 1].case_id]
    assert world.state(taken[2 - number].case_id) == "declined"
    world.decide(told.case_id, "money", reason="a double click")
    world.settle_down(days=2)
    assert [world.double.gone(f"tran_ord_{n}") for n in (1, 2)] == [900 * (n == number) for n in (1, 2)]


@pytest.mark.parametrize("text", ["About ord_2: keep the money.", "Thanks!", "Thanks for looking at ord_1 and ord_2."])
def test_answer_about_one_of_two_that_a_person_has_leaves_the_other_as_it_is(world: PeopleWorld, text: str) -> None:
    """Once what was owed for the first became a mail that names several."""
    taken, letter = two_looked_at(world)
    told = answer(world, letter, text)
    assert told.outcome is Taken.ATTACHED
    if "About" in text:
        assert told.case_id == taken[1].case_id
    for mail in taken:
        assert (world.case(mail.case_id) or {})["decision"]["rule"] == "unused_purchase"
        assert "request.answered" in [line["event"] for line in (world.case(mail.case_id) or {})["history"]] or "About" in text


def test_answer_to_a_letter_that_a_machine_wrote_brings_none_of_its_noes_back(world: PeopleWorld) -> None:
    taken, letter = two_noes(world)
    answer(world, letter, "I am away.", Auto_Submitted="auto-replied")
    assert (world.queue(), {world.state(mail.case_id) for mail in taken}) == ([], {"declined"})


def the_no(world: PeopleWorld) -> tuple[TakenMail, EmailMessage]:
    """A request that was declined, and the letter that said so."""
    world.bought_once(ago=timedelta(days=9))
    taken = world.mail()
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    return taken, letter


def test_answer_to_an_old_no_that_names_another_order_is_a_request_about_that(world: PeopleWorld) -> None:
    """Once it went with the old case, whose only money was that of the old order, and its own window ran out."""
    taken, letter = the_no(world)
    world.clock.pass_(days=20)
    world.bought_once("ord_2", ago=timedelta(hours=2))
    told = answer(world, letter, "I bought again by mistake. Please refund order ord_2.")
    assert (told.outcome, told.state) == (Taken.OPENED, "review")
    assert (world.case(told.case_id) or {})["decision"]["rule"] == "unused_purchase"
    assert sorted(world.queue()) == sorted([taken.case_id, told.case_id])
    world.decide(taken.case_id, "decline", reason="nothing was said of it")
    world.decide(told.case_id)
    world.settle_down(days=2)
    assert (world.double.gone("tran_ord_2"), world.double.gone("tran_ord_1")) == (900, 0)


def a_job_that_is_run_again(world: PeopleWorld) -> str:
    world.bought_once("ord_2", ago=timedelta(days=20))
    world.happen(world.submitted("job_2"), world.failed("job_2", code="worker_crashed"))
    return "job_2 failed as well"


def a_duplicate_that_is_paid(world: PeopleWorld) -> str:
    world.load(*world.history_of_charges(2))
    return "you charged tran_1 twice"


def a_request_that_the_dashboard_answers(world: PeopleWorld) -> str:
    world.bought_once("ord_2")
    world.double.refund_in_dashboard("tran_ord_2")
    return "what of ord_2?"


def a_request_that_is_declined(world: PeopleWorld) -> str:
    world.bought_once("ord_0", ago=timedelta(days=30))
    return "you did refund ord_0 to others after a month!"


@pytest.mark.parametrize(
    "another",
    [a_job_that_is_run_again, a_duplicate_that_is_paid, a_request_that_the_dashboard_answers, a_request_that_is_declined],
)
def test_person_looks_at_an_answer_to_a_no_whatever_becomes_of_what_else_it_names(
    world: PeopleWorld, another: Callable[[PeopleWorld], str]
) -> None:
    """The letter promised it. Once nobody did where the other thing ended later, and by itself."""
    world.bought_once("ord_9", ago=timedelta(days=9))
    taken = world.mail("Please refund ord_9")
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    told = answer(world, letter, f"I do not accept this, please have somebody look. And {another(world)}.")
    assert told.case_id != taken.case_id
    assert told.case_id in str((world.case(taken.case_id) or {})["decision"]["reason"])
    world.settle_down(days=2)
    world.clock.pass_(days=2)
    world.sweep()
    assert world.state(told.case_id) in {"refunded", "nothing_owed", "declined"}
    assert world.queue() == [taken.case_id]


def test_answer_to_a_no_that_names_its_order_and_another_is_about_each(world: PeopleWorld) -> None:
    taken, letter = the_no(world)
    world.bought_once("ord_2", ago=timedelta(hours=2))
    told = answer(world, letter, "Please look at ord_1 again, and refund order ord_2 too.")
    assert (told.outcome, world.state(taken.case_id), world.state(told.case_id)) == (Taken.OPENED, "review", "review")
    assert (world.case(told.case_id) or {})["decision"]["rule"] == "unused_purchase"
    assert sorted(world.queue()) == sorted([taken.case_id, told.case_id])


def test_answer_to_a_no_that_names_an_order_which_a_person_has_goes_to_that_case(world: PeopleWorld) -> None:
    taken, letter = the_no(world)
    world.bought_once("ord_2")
    standing = world.mail("Please refund ord_2", message_id="<2@example.org>")
    told = answer(world, letter, "And what of ord_2?")
    assert (told.outcome, told.case_id) == (Taken.ATTACHED, standing.case_id)
    assert sorted(world.queue()) == sorted([taken.case_id, standing.case_id])


def test_second_answer_to_a_no_that_names_another_order_is_a_request_about_that_too(world: PeopleWorld) -> None:
    """The no is a person's again by then, and stays the old order's."""
    taken, letter = the_no(world)
    for number in (2, 3):
        world.bought_once(f"ord_{number}")
        told = answer(world, letter, f"Please refund ord_{number}", number)
        assert (told.outcome, (world.case(told.case_id) or {})["decision"]["rule"]) == (Taken.OPENED, "unused_purchase")
    assert (world.state(taken.case_id), len(world.queue())) == ("review", 3)


def test_answer_to_a_no_that_names_what_is_not_known_is_looked_at_by_a_person(world: PeopleWorld) -> None:
    taken, letter = the_no(world)
    told = answer(world, letter, "See invoice number INV-2026-7.")
    assert (told.case_id, world.queue()) == (taken.case_id, [taken.case_id])


def test_order_that_paid_for_the_job_of_a_no_is_no_other_thing(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
    world.happen(world.event("edited", "job_1"))
    taken = world.mail("job_1 is blank")
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    told = answer(world, letter, "job_1 was blank, of order ord_1.")
    assert (taken.state, told.case_id, world.queue()) == ("declined", taken.case_id, [taken.case_id])


def test_answer_to_a_no_taken_twice_is_one_answer(world: PeopleWorld) -> None:
    _, letter = two_noes(world)
    first = answer(world, letter, "Please look again.")
    assert answer(world, letter, "Please look again.").outcome is Taken.KNOWN
    assert len(world.queue()) == 2
    assert first.outcome is Taken.ATTACHED


def a_duplicate_in_doubt(world: PeopleWorld) -> tuple[str, EmailMessage]:
    """A charge that a person has as a duplicate, tran_1 for ord_1 beside ord_0, and the letter that said so."""
    world.twice_charged(apart=timedelta(minutes=40))
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    [case_id] = world.queue()
    return case_id, letter


def the_duplicate_is_approved(world: PeopleWorld, case_id: str) -> None:
    world.decide(case_id)


def the_dashboard_refunds_the_duplicate(world: PeopleWorld, case_id: str) -> None:
    world.double.refund_in_dashboard("tran_1")


@pytest.mark.parametrize("ends", [the_duplicate_is_approved, the_dashboard_refunds_the_duplicate])
@pytest.mark.parametrize(
    "text", ["Please refund ord_9 too, I never used it.", "Yes, ord_1 was double, ord_0 I keep. Please also refund ord_9."]
)
def test_answer_about_a_duplicate_that_names_another_order_is_a_request_about_that(
    world: PeopleWorld, text: str, ends: Callable[[PeopleWorld, str], None]
) -> None:
    """Once it ended with the duplicate, and nobody had to see the other order."""
    case_id, letter = a_duplicate_in_doubt(world)
    world.bought_once("ord_9")
    told = answer(world, letter, text)
    case = world.case(told.case_id) or {}
    assert (told.outcome, case["order_id"], case["decision"]["rule"]) == (Taken.OPENED, "ord_9", "unused_purchase")
    # whoever opens the duplicate finds the answer
    answered = [line for line in (world.case(case_id) or {})["history"] if line["event"] == "request.answered"]
    assert [line["detail"] for line in answered] == [{"request_id": told.request_id, "put_to": told.case_id}]
    ends(world, case_id)
    world.settle_down(days=2)
    assert world.state(case_id) in {"refunded", "external"}
    assert world.queue() == [told.case_id]


def test_answer_about_a_duplicate_that_names_what_is_not_known_yet_is_a_persons_whatever_ends(world: PeopleWorld) -> None:
    case_id, letter = a_duplicate_in_doubt(world)
    told = answer(world, letter, "Please refund order ord_9 as well, unused.")
    assert (told.outcome, told.state) == (Taken.OPENED, "review")
    world.bought_once("ord_9")
    world.double.refund_in_dashboard("tran_1")
    world.settle_down(days=2)
    world.clock.pass_(days=2)
    world.sweep()
    assert (world.state(case_id), world.queue()) == ("external", [told.case_id])
    assert "ord_9" in (world.case(told.case_id) or {})["decision"]["reason"]


@pytest.mark.parametrize("text", ["Thanks!", "Yes, ord_1 was double.", "I pressed twice: ord_0 and ord_1 are the same."])
def test_answer_about_a_duplicate_that_names_nothing_else_stays_with_it(world: PeopleWorld, text: str) -> None:
    case_id, letter = a_duplicate_in_doubt(world)
    assert answer(world, letter, text).case_id == case_id
    assert world.queue() == [case_id]


def test_answer_about_a_request_on_its_way_that_names_another_order_is_a_request_about_that(world: PeopleWorld) -> None:
    """Once it ended when the money had gone."""
    taken, letter = two_looked_at(world)
    world.bought_once("ord_9")
    for mail in taken:
        world.decide(mail.case_id)
    told = answer(world, letter, "Please refund ord_9 too.")
    assert (told.outcome, told.state) == (Taken.OPENED, "review")
    world.settle_down(days=2)
    assert ([world.state(mail.case_id) for mail in taken], world.queue()) == (["refunded", "refunded"], [told.case_id])


def test_answer_about_a_duplicate_and_a_request_is_judged_with_the_request(world: PeopleWorld) -> None:
    world.twice_charged(apart=timedelta(minutes=40))
    world.bought_once("ord_8")
    world.bought_once("ord_9")
    taken = world.mail("Please refund ord_9.")
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    told = answer(world, letter, "And ord_8.")
    assert told.case_id == taken.case_id
    assert (world.case(told.case_id) or {})["decision"]["rule"] == "request_names_several"


@pytest.mark.parametrize("verified", [True, False], ids=["vouched for", "confirmed"])
def test_person_reads_what_is_said_to_a_no_though_a_host_between_gave_the_letter_another_id(
    world: PeopleWorld, verified: bool
) -> None:
    """Once each answer was declined again, and nobody saw one."""
    taken, letter = the_no(world)
    world.clock.pass_(hours=2)
    rewritten = {"In_Reply_To": "<0100@eu-west-1.amazonses.com>", "verified": verified}
    told = answer(world, letter, "But your service was down.", **rewritten)  # type: ignore[arg-type]
    if not verified:
        [question] = [sent for sent in world.written() if "Did you send us" in sent["Subject"]]
        world.mail("Yes.", subject=f"Re: {question['Subject']}", message_id="<yes@example.org>")
    case = world.case(told.case_id) or {}
    assert (case["state"], case["decision"]["rule"]) == ("review", "request_answers_a_no")
    assert (world.state(taken.case_id), world.queue()) == ("declined", [told.case_id])
    with pytest.raises(Refused, match="no remedy at hand"):
        world.decide(told.case_id)


def test_mail_that_came_before_the_no_to_another_about_the_same_answers_none(world: PeopleWorld) -> None:
    world.bought_once(ago=timedelta(days=9))
    parked = world.mail(verified=False)
    [question] = world.written()
    world.decide(world.mail(verified=False, sender="x@else.example", message_id="<2@else.example>").case_id, "decline")
    world.mail("Yes.", subject=f"Re: {question['Subject']}", message_id="<yes@example.org>")
    assert (world.case(parked.case_id) or {})["decision"]["rule"] == "window_passed"


@pytest.mark.parametrize("measure", ["suspend", "forfeit"])
@pytest.mark.parametrize("end", ["won", "lost"])
def test_objection_to_a_measure_under_a_dispute_that_is_over_is_read_by_a_person(
    world: PeopleWorld, measure: str, end: str
) -> None:
    """Once it "lacked an order or a job", and its customer was asked for an order, or else to ignore the question."""
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
    world.bought_once("ord_2")
    world.double.dispute("tran_ord_1")
    world.settle_down(days=0.1)
    case_id = world.queue()[0]
    world.decide(case_id, measure, reason="a fraudulent dispute")
    world.decide(case_id, measure, by="bob", reason="so it is")
    if end == "won":
        world.double.win_dispute("tran_ord_1")
    world.decide(case_id, end, reason="the bank said so")
    world.clock.pass_(hours=2)
    [letter] = [sent for sent in world.written() if "suspended" in sent["Subject"] or "forfeited" in sent["Subject"]]
    world.clock.pass_(days=9)
    told = answer(world, letter, "I object: my card was stolen.")
    case = world.case(told.case_id) or {}
    assert (told.state, case["order_id"], case["decision"]["rule"]) == ("review", "ord_1", "request_answers_a_no")
    assert world.queue() == [told.case_id]
    assert [sent for sent in world.written() if "Did you send us" in sent["Subject"]] == []
