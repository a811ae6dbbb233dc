"""Our question answered with "that was not me": the request is confirmed by nothing, and a person has it."""

import pytest

from tests.requests.world import PeopleWorld
from worker.cases.requests.mailroom import Taken, TakenMail
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
    "text", ["Yes, it was me.", "Yes, I wrote that.", "It is order ord_1", "Not yet refunded, please do.", "Now?"]
)
def test_request_that_the_account_says_it_wrote_is_confirmed(world: PeopleWorld, text: str) -> None:
    taken, _ = denied(world, text)
    assert (world.case(taken.case_id) or {})["decision"]["rule"] == "unused_purchase"


def test_what_was_denied_is_confirmed_by_no_later_answer(world: PeopleWorld) -> None:
    taken, subject = denied(world)
    world.mail("Did you stop it?", subject=subject, message_id="<3@example.org>")
    world.mail("Well?", message_id="<4@example.org>", In_Reply_To="<2@example.org>")
    case = world.case(taken.case_id) or {}
    assert (case["decision"]["rule"], len(case["requests"])) == ("request_denied", 4)


def test_mail_that_is_vouched_for_and_denies_the_parked_one_confirms_it_neither(world: PeopleWorld) -> None:
    world.bought_once()
    taken = world.mail(verified=False)
    other = world.mail("I did not send you a mail about ord_1!", message_id="<2@example.org>")
    assert (other.outcome, other.case_id) == (Taken.ATTACHED, taken.case_id)
    assert (world.case(taken.case_id) or {})["decision"]["rule"] == "request_denied"


def test_account_that_asks_for_what_a_stranger_asked_for_has_a_request_of_its_own(world: PeopleWorld) -> None:
    taken, _ = denied(world)
    own = world.mail("Please refund my order ord_1.", message_id="<3@example.org>")
    assert (own.outcome, own.state) == (Taken.OPENED, "review")
    assert (world.case(own.case_id) or {})["decision"]["rule"] == "unused_purchase"
    world.decide(taken.case_id, "decline", reason="somebody else wrote it")
    assert world.state(own.case_id) == "review"
