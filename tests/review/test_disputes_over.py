"""What a dispute held is free again when it was won, whatever had frozen it, and nothing that money went back for is."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.cases.world import a_purchase, moves
from tests.money.plans import NASTY
from tests.requests.world import PeopleWorld
from tests.review.test_review import a_dispute
from tests.servers import POSTGRES_AT_NIGHT
from worker.cases.money import charges
from worker.clock import moment, written
from worker.creem.said import DisputeCreated
from worker.errors import Refused
from worker.sandbox.creem.words import RefundAnswer
from worker.store.bulk import Tx
from worker.store.tables import charges as charge_rows


def read_again(world: PeopleWorld) -> None:
    """Every charge is read at Creem, as it is each night."""
    world.reconciler().reconcile()
    world.sweep()


def test_dispute_that_creem_shows_as_charged_back_can_still_be_won(world: PeopleWorld) -> None:
    """Once what the bank held was taken for a refund as soon as the charge was read, and nobody could say that it was won."""
    case_id = a_dispute(world)
    read_again(world)
    assert world.lot("ord_1") == (0, 45, 0)
    assert world.choices(case_id)["won"]["refused"] is None
    world.decide(case_id, "won", reason="the bank said so")
    assert world.lot("ord_1") == (45, 0, 0)


def part_went_back(world: PeopleWorld, when: str) -> str:
    """A charge that is disputed, and a third of which went back by hand, before that or after; returns the transaction."""
    transaction = world.bought_once()
    world.happen(world.submitted("job_1"))
    for happens in ("refund", "dispute") if when == "before" else ("dispute", "refund"):
        if happens == "refund":
            world.double.refund_in_dashboard(transaction, 300)
        else:
            world.double.dispute(transaction)
        world.settle_down(days=0.1)
    read_again(world)
    return transaction


@pytest.mark.parametrize(("when", "held"), [("before", (0, 29, 16)), ("after", (0, 45, 0))])
def test_dispute_won_frees_what_stands_of_a_charge_of_which_a_part_went_back(
    world: PeopleWorld, when: str, held: tuple[int, int, int]
) -> None:
    """Once it could only be lost: the customer's other credits were void, or frozen for good."""
    transaction = part_went_back(world, when)
    assert world.lot("ord_1") == held
    won = world.choices(transaction)["won"]
    assert (won["does"], won["refused"]) == ("the bank decided for us: 29 frozen credits can be spent again", None)
    assert world.decide(transaction, "won", reason="the bank said so")["told"] == "29 credits can be spent again"
    assert world.lot("ord_1") == (29, 0, 16)
    read_again(world)
    world.settle_down(days=1)
    assert world.lot("ord_1") == (29, 0, 16)
    world.happen(world.failed("job_1"))
    found = world.case("job_1")
    assert found is not None
    assert (found["state"], found["decision"]["rule"]) == ("review", "purchase_partly_refunded")


def test_dispute_of_a_charge_that_went_back_whole_is_not_won(world: PeopleWorld) -> None:
    transaction = part_went_back(world, "before")
    world.double.refund_in_dashboard(transaction)
    world.settle_down(days=0.1)
    with pytest.raises(Refused, match="money of this charge has already gone back"):
        world.decide(transaction, "won")


def test_reads_and_late_words_of_a_dispute_that_was_won_hold_nothing_again(world: PeopleWorld) -> None:
    world.hears = False
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
    world.double.dispute("tran_ord_1")
    began = world.clock.now()
    world.clock.pass_(days=1)
    read_again(world)
    world.decide("tran_ord_1", "won", reason="the bank said so")
    read_again(world)
    # one of another charge that was heard of by its name is no first of this one
    hear_of_dispute(world, "disp_other", began, charge="tran_other")
    world.clock.pass_(minutes=1)
    hear_of_dispute(world, "disp_late", began)
    read_again(world)
    assert world.lot("ord_1") == (45, 0, 0)
    world.happen(world.submitted("job_2"), world.failed("job_2"))
    assert (world.state("job_2"), world.lot("ord_1")) == ("refunded", (45, 0, 0))


def test_next_dispute_of_a_charge_holds_it_again_and_asks_a_person_again(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.decide(case_id, "won", reason="the bank said so")
    world.clock.pass_(days=10)
    world.double.dispute("tran_ord_1")
    world.double.tick()
    world.sweep()
    found = world.case(case_id)
    assert found is not None
    assert (found["state"], moves(found).count("dispute.evidence"), world.lot("ord_1")) == ("review", 2, (0, 45, 0))
    assert found["due_at"] > written(world.clock.now()), "a promise of its own"
    assert world.queue() == [case_id]
    world.decide(case_id, "won", reason="the bank said so again")
    assert world.lot("ord_1") == (45, 0, 0)


@pytest.mark.parametrize("again", [None, "lost"])
def test_refund_after_a_dispute_was_won_is_right_whatever_the_bank_does_later(world: PeopleWorld, again: str | None) -> None:
    """Once the audit asked how the dispute stands now, and complained of a refund that was made between two disputes."""
    transaction = world.bought_once()
    hear_of_dispute(world, "disp_first", world.clock.now())
    read_again(world)
    [case_id] = world.queue()
    world.decide(case_id, "won", reason="the bank said so")
    world.clock.pass_(hours=1)
    world.decide(world.mail().case_id, "money")
    world.settle_down(days=1)
    assert world.claim(transaction).state == "refunded"
    hear_of_dispute(world, "disp_next", world.clock.now())
    read_again(world)
    assert (world.queue(), world.audit().breaches) == ([case_id], [])
    if again is not None:
        world.clock.pass_(hours=1)
        world.decide(case_id, again, reason="the bank said so")
        assert (world.queue(), world.audit().breaches) == ([], [])


def test_dispute_that_is_heard_of_late_and_began_before_the_first_was_won_asks_again(world: PeopleWorld) -> None:
    """Once it was taken for the first: the bank had the money, and the customer the credits."""
    case_id = a_dispute(world)
    world.clock.pass_(days=1)
    began = world.clock.now()
    world.clock.pass_(days=1)
    world.decide(case_id, "won", reason="the bank said so")
    hear_of_dispute(world, "disp_next", began)
    read_again(world)
    assert (world.queue(), world.lot("ord_1")) == ([case_id], (0, 45, 0))
    for _ in range(2):
        world.clock.pass_(hours=1)
        world.decide(case_id, "won", reason="the bank said so again")
        hear_of_dispute(world, "disp_next", began)
        read_again(world)
        assert (world.queue(), world.lot("ord_1")) == ([], (45, 0, 0))
        hear_of_dispute(world, "disp_last", world.clock.now())
        read_again(world)


@pytest.mark.parametrize("first", ["heard of by its name", "read"])
def test_next_dispute_holds_its_charge_though_creems_clock_is_an_hour_behind(world: PeopleWorld, first: str) -> None:
    """Once it was taken for the late word of the one that was won: no case opened, and the money left beside it."""
    world.hears = first != "read"
    world.bought_once()
    world.double.dispute("tran_ord_1")
    world.double.tick()
    world.sweep()
    read_again(world)
    world.decide("tran_ord_1", "won", reason="the bank said so")
    world.clock.pass_(minutes=30)
    hear_of_dispute(world, "disp_next", world.clock.now() - timedelta(hours=1))
    read_again(world)
    assert (world.state("tran_ord_1"), world.lot("ord_1")[0]) == ("review", 0)
    assert world.audit().breaches == []


def test_next_dispute_holds_its_charge_though_the_name_of_neither_can_be_read(world: PeopleWorld) -> None:
    """Once both had their charge's name: the second was not new, marked nothing, and the refund left beside it."""
    world.bought_once()

    def hear_unnamed(event_id: str) -> None:
        at = int(world.clock.now().timestamp() * 1000)
        said = {"id": 7, "mode": "test", "transaction": "tran_ord_1", "amount": 900, "currency": "USD", "created_at": at}
        event = {"id": event_id, "eventType": "dispute.created", "created_at": at, "object": said}
        world.receiver.receive(json.dumps(event).encode())
        world.sweep()

    hear_unnamed("evt_first")
    world.decide("tran_ord_1", "won", reason="the bank said so")
    hear_unnamed("evt_first")
    assert (world.queue(), world.lot("ord_1")) == ([], (50, 0, 0)), "the same event is the same dispute"
    world.clock.pass_(days=2)
    hear_unnamed("evt_next")
    assert (world.state("tran_ord_1"), world.lot("ord_1")) == ("review", (0, 50, 0))
    assert world.audit().breaches == []


def test_dispute_that_is_heard_of_while_another_waits_stands_on_its_case_once(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.clock.pass_(days=1)
    began = world.clock.now()
    for _ in range(2):
        hear_of_dispute(world, "disp_beside", began)
        read_again(world)
    found = world.case(case_id)
    assert found is not None
    heard = [row["detail"] for row in found["history"] if row["event"] == "dispute.heard"]
    assert heard == [{"dispute_id": "disp_beside", "amount": 900, "opened_at": moment(began)}]
    assert (found["state"], moves(found).count("case.opened")) == ("review", 1)

    world.decide(case_id, "won", reason="the bank said so of both")
    hear_of_dispute(world, "disp_beside", began)
    read_again(world)
    assert (world.queue(), world.lot("ord_1")) == ([], (45, 0, 0))


def test_figure_that_could_not_be_read_of_a_dispute_is_no_nought_in_its_history(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    hear_of_dispute(world, "disp_beside", world.clock.now(), amount=None)
    read_again(world)
    found = world.case(case_id)
    assert found is not None
    [heard] = [row["detail"] for row in found["history"] if row["event"] == "dispute.heard"]
    assert heard == {"dispute_id": "disp_beside", "opened_at": moment(world.clock.now())}


def a_job_of_the_disputed(world: PeopleWorld) -> str:
    """A dispute of a purchase that paid for a job which then failed; the job waits for its end."""
    transaction = world.bought_once()
    world.happen(world.submitted("job_1"), world.submitted("job_2"))
    world.double.dispute(transaction)
    world.double.tick()
    world.happen(world.failed("job_1"))
    assert world.state("job_1") == "review"
    return transaction


def test_what_waited_for_the_end_of_a_dispute_goes_on_at_once_when_it_was_won(world: PeopleWorld) -> None:
    transaction = a_job_of_the_disputed(world)
    world.decide(transaction, "won", reason="the bank said so")
    world.sweep()
    assert (world.state("job_1"), world.lot("ord_1")) == ("refunded", (45, 0, 0))


@pytest.mark.parametrize(
    ("told", "end", "state", "rule"),
    [
        ("heard of", "won", "review", "unused_purchase"),
        ("read", "lost", "nothing_owed", "requested_already_refunded"),
    ],
)
def test_request_is_judged_anew_when_its_charge_is_disputed_and_when_that_is_over(
    world: PeopleWorld, told: str, end: str, state: str, rule: str
) -> None:
    """Once it went on saying that its money is owed, for a day, while the bank had it and after the bank gave it back."""

    def judged() -> tuple[str, str]:
        found = world.case(request) or {}
        return found["state"], found["decision"]["rule"]

    world.hears = told == "heard of"
    transaction = world.bought_once()
    request = world.mail("Please refund my order ord_1, I never used it.").case_id
    assert judged() == ("review", "unused_purchase")
    world.double.dispute(transaction)
    world.double.tick()
    if told == "read":
        world.reconciler().reconcile()
    world.sweep()
    assert judged() == ("review", "requested_under_dispute")
    world.decide(transaction, end, reason="the bank said so")
    world.sweep()
    assert judged() == (state, rule)


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("days", [1, 80])
@pytest.mark.parametrize(("minutes", "known"), [(5, False), (40, False), (40, True)])
def test_duplicate_of_a_charge_that_stands_again_is_a_persons_at_once(
    world: PeopleWorld, minutes: int, known: bool, days: int
) -> None:
    """Once it was owed nothing, or had no case, for ever: only what waited for a person was woken, and reconcile looks back for
    sixty days.
    """
    history = world.history_of_charges(2, apart=timedelta(minutes=minutes))
    world.load(*history if known else history[:2])
    world.double.dispute("tran_0")
    world.double.tick()
    world.sweep()
    world.load(*history)
    assert world.state("ord_1") == ("nothing_owed" if known else None)
    world.clock.pass_(days=days)
    world.sweep()
    world.decide("tran_0", "won", reason="the bank said so")
    assert world.state("ord_1") == "review"
    read_again(world)
    world.settle_down(days=1)
    assert (world.state("ord_1"), world.double.gone("tran_1")) == ("review", 0)
    world.decide("ord_1", "money", reason="charged twice")
    world.settle_down(days=1)
    assert (world.state("ord_1"), world.double.gone("tran_1")) == ("refunded", 900)


def test_no_of_a_person_to_a_duplicate_of_a_charge_that_was_won_is_the_end_of_it(world: PeopleWorld) -> None:
    history = world.history_of_charges(2)
    world.load(*history[:2])
    world.double.dispute("tran_0")
    world.double.tick()
    world.sweep()
    world.load(*history)
    world.decide("tran_0", "won", reason="the bank said so")
    world.decide("ord_1", "decline", reason="bought again on purpose")
    for _ in range(2):
        read_again(world)
        world.clock.pass_(days=1)
    assert (world.state("ord_1"), world.queue(), world.double.gone("tran_1")) == ("declined", [], 0)


def test_duplicate_of_a_charge_that_was_lost_stays_owed_nothing(world: PeopleWorld) -> None:
    world.load(*world.history_of_charges(2, apart=timedelta(minutes=40)))
    world.double.dispute("tran_0")
    world.double.tick()
    world.sweep()
    world.decide("tran_0", "lost", reason="the bank said so")
    world.settle_down(days=1)
    assert (world.state("ord_1"), world.lot("ord_1"), world.double.gone("tran_1")) == ("nothing_owed", (100, 0, 0), 0)


def test_job_of_a_charge_that_was_lost_was_paid_back_by_the_bank(world: PeopleWorld) -> None:
    """Once such a charge was disputed for ever: each of its jobs waited for a person, who could only say no."""
    transaction = a_job_of_the_disputed(world)
    world.decide(transaction, "lost", reason="the bank said so")
    world.sweep()
    assert (world.state("job_1"), world.lot("ord_1")) == ("nothing_owed", (0, 0, 40))
    read_again(world)
    hear_of_dispute(world, "disp_next", world.clock.now() + timedelta(days=1))
    read_again(world)
    assert world.queue() == []
    world.happen(world.failed("job_2"))
    assert (world.state("job_2"), world.lot("ord_1")) == ("nothing_owed", (0, 0, 40))


def test_charge_that_was_lost_before_it_was_read_with_its_tax_is_gone_whole(world: PeopleWorld) -> None:
    world.load(*world.history_of_charges(1, tax=171))
    world.double.dispute("tran_0")
    world.double.tick()
    world.sweep()
    world.decide("tran_0", "lost", reason="the bank said so")
    read_again(world)
    known = world.rows(select(charge_rows).where(charge_rows.c.transaction_id == "tran_0"))[0]
    assert (known.refunded, known.amount_paid, known.disputed_at) == (1071, 1071, None)


def test_claim_that_ends_leaves_frozen_what_waits_to_be_forfeited(world: PeopleWorld) -> None:
    """Once a claim that came to nothing freed it to be spent, and the second person agreed to forfeit nothing."""
    world.double.switches = replace(NASTY, answer=RefundAnswer.FAILED)
    world.load(*world.history_of_charges(2, apart=timedelta(minutes=30)))
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
    duplicate, request = world.queue()[0], world.mail("Please refund my order ord_0.").case_id
    world.decide(request, "forfeit", by="ann", reason="used, then asked back")
    world.decide(duplicate, "money", by="bob", reason="charged twice")
    world.settle_down(days=1)
    claim = world.claim("tran_1")
    assert (claim.state, world.lot("ord_1")) == ("rejected", (0, 100, 0))
    world.decide(request, "forfeit", by="bob", reason="agreed")
    assert world.lot("ord_1") == (0, 0, 100)


def hear_of_dispute(
    world: PeopleWorld, dispute_id: str, began: datetime, amount: int | None = 900, *, charge: str = "tran_ord_1"
) -> None:
    """Creem tells of a dispute of the charge that began then."""
    one = DisputeCreated(dispute_id, charge, amount, "USD", began, "cust_acc_1")

    def hear(tx: Tx) -> None:
        charges.lock(tx, [charge])
        charges.hear_disputes(tx, [one], world.clock.now())

    world.store.write(hear)


def test_credits_frozen_to_be_forfeited_are_void_when_their_money_went_back_meanwhile(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    paid_at = world.clock.now() - timedelta(hours=2)
    known: dict[str, Any] = {"customer_id": "cust_acc_1", "product_id": "prod_other"}
    world.double.pay("tran_2", amount=900, order_id="ord_2", paid_at=paid_at, **known)
    world.load(a_purchase("ord_2", "acc_1", 20, written(paid_at), transaction_id="tran_2", **known))
    world.decide(case_id, "forfeit", by="ann", reason="used, then disputed")
    assert world.lot("ord_2") == (0, 20, 0)
    world.double.refund_in_dashboard("tran_2")
    world.settle_down(days=0.5)
    told = world.reviewer.withdraw(case_id, "forfeit", by="bob", reason="not without a warning")
    assert told["told"] == "forfeit is withdrawn"
    assert world.lot("ord_2") == (0, 0, 20)


def test_dispute_won_leaves_frozen_what_another_case_proposes_to_forfeit(world: PeopleWorld) -> None:
    """A mail about the same account has it proposed first; what is frozen for that is not the dispute's to give back."""
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
    request = world.mail().case_id
    world.decide(request, "forfeit", by="ann", reason="used, then asked back")
    assert world.lot("ord_1") == (0, 45, 0)
    world.double.dispute("tran_ord_1")
    world.double.tick()
    world.sweep()
    dispute = next(c for c in cases_about(world) if c["kind"] == "dispute")["case_id"]
    assert world.choices(dispute)["won"]["does"] == "the bank decided for us: 0 frozen credits can be spent again"
    world.decide(dispute, "won", by="bob", reason="the bank said so")
    assert world.lot("ord_1") == (0, 45, 0)
    world.reviewer.withdraw(request, "forfeit", by="bob", reason="not without a warning")
    assert world.lot("ord_1") == (45, 0, 0)


def cases_about(world: PeopleWorld) -> list[dict[str, Any]]:
    found = [world.case(case_id) for case_id in world.queue()]
    return [each for each in found if each is not None]


@pytest.mark.parametrize("meanwhile", ["disputed", "refunded"])
def test_proposal_that_is_withdrawn_frees_nothing_that_a_dispute_or_a_refund_holds_since(
    world: PeopleWorld, meanwhile: str
) -> None:
    """Once its credits could be spent while the bank, or Creem, had their money."""
    case_id = a_dispute(world)
    transaction = world.bought_once("ord_2")
    world.decide(case_id, "forfeit", by="ann")
    assert world.lot("ord_2") == (0, 50, 0)
    if meanwhile == "disputed":
        world.double.dispute(transaction)
        world.double.tick()
        world.sweep()
    else:
        world.decide(world.mail("Please refund my order ord_2.", message_id="<two@example.org>").case_id, "money")
    told = world.reviewer.withdraw(case_id, "forfeit", by="bob", reason="not so")
    assert (told["told"], world.lot("ord_2")) == ("forfeit is withdrawn", (0, 50, 0))
    if meanwhile == "disputed":
        world.decide(transaction, "won", reason="the bank said so")
        assert world.lot("ord_2") == (50, 0, 0)
    else:
        world.settle_down(days=1)
        assert (world.double.gone(transaction), world.lot("ord_2")) == (900, (0, 0, 50))
