"""Our question answered with "that was not me": the request is confirmed by nothing, and a person has it."""

from datetime import timedelta
from typing import Any

import pytest

from tests.requests.world import PeopleWorld, text_of
from tests.servers import POSTGRES_AT_NIGHT
from worker.cases.requests.register import Taken, TakenMail
from worker.errors import Refused

NOT_ME = "No, that was not me! I do not want a refund."


def denied(world: PeopleWorld, text: str = NOT_ME) -> tuple[TakenMail, str]:
    """A stranger's mail that the account's owner says was none of theirs, and the subject of the answers to our question."""
    world.bought_once()
    taken = world.mail(sender="evil@evil.example", message_id="<1@evil.example>", verified=False)
    [question] = world.written()
    subject = f"Re: {question['Subject']}"
    world.mail(text, subject=subject, message_id="<2@example.org>")
    return taken, subject


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize(
    "text",
    [
        NOT_ME,
        "It wasn't me.",
        "No",
        "Hello,\n\nno. Who is this?",
        "I did not write to you",
        "I never sent this",
        "Das war ich nicht.",
        "Nein, die Mail ist nicht von mir.",
        "Ce n'est pas moi",
        "Yo no fui",
        "Não fui eu",
        "Non sono stato io",
        "Это был не я",
        "私ではありません",
        "不是我",
        "لا، لم أكتب لكم",
        "לא, זה לא אני",
        "To nie ja pisałem",
        "Hayır, ben değildim",  # noqa: RUF001 -- Turkish is meant
        "No. De ninguna manera.",
        "No. Please keep order ord_1.",
        "제가 아닙니다",
        "Det var inte jag",
        "Det var ikke meg",
    ],
)
def test_request_that_the_account_says_it_did_not_write_is_a_persons_and_proposed_for_nothing(
    world: PeopleWorld, text: str
) -> None:
    """Once the answer confirmed it, whatever it said."""
    taken, _ = denied(world, text)
    case = world.case(taken.case_id) or {}
    assert (case["state"], case["decision"]["rule"]) == ("review", "request_denied")
    assert {mail["request_id"]: mail["confirmed_at"] for mail in case["requests"]}[taken.request_id] is None
    with pytest.raises(Refused, match="no remedy at hand"):
        world.decide(taken.case_id)
    world.clock.pass_(days=2)
    world.sweep()
    assert (world.state(taken.case_id), world.queue()) == ("review", [taken.case_id])


@pytest.mark.parametrize(
    "text",
    [
        "Yes, it was me.",
        "Yes, I wrote that.",
        "It is order ord_1",
        "Not yet refunded, please do.",
        "Now?",
        "Sí, fui yo.\n\nNo. de pedido: ord_1",
        "Yes.\nMy order is\nNo. ord_1",
        "No: ord_1",
        "Sí.\nNo. pedido: ord_1",
    ],
)
def test_request_that_the_account_says_it_wrote_is_confirmed(world: PeopleWorld, text: str) -> None:
    taken, _ = denied(world, text)
    assert (world.case(taken.case_id) or {})["decision"]["rule"] == "unused_purchase"


def a_used_purchase(world: PeopleWorld) -> None:
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))


OTHERS: dict[str, dict[str, Any]] = {
    "denied": {"sender": "evil@evil.example", "message_id": "<1@evil.example>", "verified": False},
    "unanswered": {"message_id": "<1@evil.example>", "verified": False},
    "out of office": {"message_id": "<1@example.org>", "Auto_Submitted": "auto-replied"},
}


@pytest.mark.parametrize("by", OTHERS)
def test_nobody_is_measured_by_or_told_of_what_only_others_asked_for(world: PeopleWorld, by: str) -> None:
    a_used_purchase(world)
    taken = world.mail(**OTHERS[by])
    questions = [mail["Subject"] for mail in world.written()]
    if by == "denied":
        world.mail(NOT_ME, subject=f"Re: {questions[0]}", message_id="<2@example.org>")
        world.clock.pass_(hours=2)
        questions = [mail["Subject"] for mail in world.written()]
    for choice in ("suspend", "forfeit"):
        with pytest.raises(Refused, match="nobody is held to what another asked for"):
            world.decide(taken.case_id, choice)
    assert "nobody is told" in world.choices(taken.case_id)["decline"]["does"]
    world.decide(taken.case_id, "decline", reason="nobody asked")
    world.clock.pass_(hours=2)
    assert world.state(taken.case_id) == "declined"
    assert [mail["Subject"] for mail in world.written()] == questions


def test_owner_who_writes_on_after_all_is_told_the_no(world: PeopleWorld) -> None:
    taken, subject = denied(world)
    world.mail("I asked my partner: please refund it.", subject=subject, message_id="<3@example.org>")
    world.decide(taken.case_id, "decline", reason="it was used up")
    world.clock.pass_(hours=2)
    assert "it was used up" in text_of(world.written()[-1])


def test_what_was_denied_is_confirmed_by_no_later_answer(world: PeopleWorld) -> None:
    taken, subject = denied(world)
    world.mail("Did you stop it?", subject=subject, message_id="<3@example.org>")
    world.mail("Well?", message_id="<4@example.org>", In_Reply_To="<2@example.org>")
    case = world.case(taken.case_id) or {}
    assert (case["decision"]["rule"], len(case["requests"])) == ("request_denied", 4)


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("sender", ["acc_1@example.org", "x@evil.example"])
@pytest.mark.parametrize(
    "text",
    [
        "Please refund ord_1. I did not request this renewal.",
        "No, I have not used ord_1.",
        "You never sent me anything for ord_1.",
        "I did not send you a mail about ord_1!",
    ],
)
def test_mail_that_answers_no_question_says_nothing_against_the_parked_one_and_is_a_request_of_its_own(
    world: PeopleWorld, sender: str, text: str
) -> None:
    """Once the parked one was denied by it, and it ended with the no to that."""
    world.bought_once()
    parked = world.mail(verified=False, sender=sender)
    own = world.mail(text, message_id="<2@example.org>")
    assert (own.outcome, own.state, world.state(parked.case_id)) == (Taken.OPENED, "review", "waiting")
    assert (world.case(own.case_id) or {})["decision"]["rule"] == "unused_purchase"
    assert "a word from the account's own mailbox" in (world.case(parked.case_id) or {})["decision"]["reason"]
    world.decide(parked.case_id, "decline", reason="somebody else wrote it")
    assert world.queue() == [own.case_id]


def test_answer_to_another_letter_says_nothing_against_the_parked_one_that_it_names(world: PeopleWorld) -> None:
    world.bought_once("ord_9", ago=timedelta(days=9))
    refused = world.mail("Please refund ord_9", message_id="<9@example.org>")
    world.bought_once()
    parked = world.mail(verified=False, sender="x@evil.example", message_id="<1@evil.example>")
    world.clock.pass_(minutes=5)
    [letter] = [sent for sent in world.written() if "declined" in sent["Subject"]]
    own = world.mail("No. And I have not asked for ord_1 yet.", message_id="<2@x.org>", In_Reply_To=str(letter["Message-ID"]))
    states = [world.state(mail.case_id) for mail in (own, parked, refused)]
    assert (own.outcome, states) == (Taken.OPENED, ["review", "waiting", "review"])


def test_further_mail_with_a_no_in_it_goes_to_the_accounts_own_that_a_person_has(world: PeopleWorld) -> None:
    world.bought_once()
    own = world.mail()
    assert world.mail("No, I have not used ord_1.", message_id="<2@example.org>").case_id == own.case_id


def test_account_that_asks_for_what_a_stranger_asked_for_has_a_request_of_its_own(world: PeopleWorld) -> None:
    taken, _ = denied(world)
    own = world.mail("Please refund my order ord_1.", message_id="<3@example.org>")
    assert (own.outcome, own.state) == (Taken.OPENED, "review")
    assert (world.case(own.case_id) or {})["decision"]["rule"] == "unused_purchase"
    world.decide(taken.case_id, "decline", reason="somebody else wrote it")
    assert world.state(own.case_id) == "review"
