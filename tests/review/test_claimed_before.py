"""A charge has one claim, for ever: what became of it is a person's to judge, and what that person said stands."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from policy import Counterfactual, Outcome
from policy.lifecycle import CaseKind
from tests.cases.world import an_account, moves
from tests.money.plans import NASTY
from tests.requests.world import PeopleWorld, text_of
from worker.cases.book.decided import ask_again
from worker.cases.money import limits
from worker.cases.money.prove import LOST
from worker.clock import written
from worker.creem.transactions import Transaction
from worker.errors import Refused
from worker.sandbox.creem.words import Ending, Fault, Lie, Lost, Meanwhile, RefundAnswer, SecondRefund
from worker.store.engine import Store
from worker.store.tables import cases


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    """Creem fails at every refund."""
    made = PeopleWorld(store, tmp_path, switches=replace(NASTY, answer=RefundAnswer.FAILED))
    yield made
    assert made.audit().breaches == []
    made.close()


def cases_of(world: PeopleWorld) -> list[dict[str, Any]]:
    """Every case about the order, oldest first."""
    rows = world.rows(select(cases.c.case_id).where(cases.c.order_id == "ord_1").order_by(cases.c.opened_at))
    found = [world.case(row.case_id) for row in rows]
    return [each for each in found if each is not None]


def test_persons_no_to_a_charge_that_could_not_go_back_stands_whatever_is_heard_of_others(world: PeopleWorld) -> None:
    *two, third = world.history_of_charges(3)
    world.load(*two)
    world.settle_down()
    assert world.state("ord_1") == "review"
    world.decide("ord_1", "decline", reason="paid back by transfer")
    world.double.switches = NASTY
    world.load(*two, third)
    world.settle_down()
    assert world.state("ord_2") == "refunded"
    world.double.refund_in_dashboard("tran_0")
    world.settle_down()
    found = world.case("ord_1")
    assert found is not None
    assert (found["state"], found["decision"]["reason"]) == ("declined", "paid back by transfer")
    assert moves(found).count("case.decided") == 1
    assert world.double.posts("tran_1") == 1


def test_third_charge_whose_claim_ended_with_the_first_says_that_its_money_goes_back_in_the_dashboard(world: PeopleWorld) -> None:
    """The first was refunded by hand before our call, so the second stays and the third is still one too many: whoever looked was
    offered a no alone, and nothing said what to do.
    """
    world.double.switches = NASTY
    world.twice_charged(charges=3, apart=timedelta(minutes=4))
    world.double.refund_in_dashboard("tran_0")
    world.settle_down()
    assert [world.state("ord_1"), world.state("ord_2")] == ["nothing_owed", "review"]
    assert [world.double.posts(charge) for charge in ("tran_1", "tran_2")] == [0, 0]
    refused = world.choices("ord_2")["money"]["refused"]
    assert refused.endswith("no call was made for it, so what is owed goes back in Creem's dashboard, and that ends the case")
    world.clock.pass_(minutes=10)
    [looked_at] = world.written()
    assert "A person will look" in text_of(looked_at)
    world.double.refund_in_dashboard("tran_2")
    world.settle_down()
    assert world.state("ord_2") == "external"
    assert world.lot("ord_1") == (100, 0, 0)
    world.clock.pass_(minutes=10)
    [ended] = [letter for letter in world.written() if letter["Message-ID"] != looked_at["Message-ID"]]
    assert "ord_2" in text_of(ended)
    assert "already been refunded" in text_of(ended)


@pytest.mark.parametrize(
    ("answer", "became"),
    [(RefundAnswer.FAILED, "ended as rejected"), (RefundAnswer.PENDING, "is in_progress")],
    ids=["over", "open"],
)
def test_duplicate_that_a_claim_of_another_case_is_about_is_a_persons(
    world: PeopleWorld, answer: RefundAnswer, became: str
) -> None:
    """The customer asked for the second charge by mail before the first was known, and a person approved it."""
    world.double.switches = replace(NASTY, answer=answer, ends=Ending.NEVER, turns_early=False)
    paid = world.clock.now() - timedelta(hours=1)
    known: dict[str, Any] = {"customer_id": "cust_acc_1", "product_id": "prod_ord_1"}
    world.double.pay("tran_first", amount=900, order_id="ord_first", paid_at=paid - timedelta(minutes=5), **known)
    world.bought_once(ago=timedelta(hours=1))
    request = world.mail().case_id
    world.decide(request, "money")
    world.settle_down(days=0.01)
    first = world.bought("ord_first", "tran_first", written(paid - timedelta(minutes=5)), **known)
    world.load({**first, "credits": 50})
    row = world.rows(select(cases).where(cases.c.kind == "duplicate_charge"))[0]
    assert (row.state, row.subject, row.clause) == ("review", "ord_1", "duplicate-charge")
    assert row.reason == f"the charge was claimed before, by {request}, and that claim {became}"
    assert row.next_action_at == world.clock.now() + timedelta(days=1)
    assert row.facts["charge"]["purchase_id"] == "ord_1"
    world.clock.pass_(days=3)
    world.sweep()
    again = world.rows(select(cases).where(cases.c.kind == "duplicate_charge"))[0]
    assert (again.state, again.reason) == ("review", row.reason)
    assert again.next_action_at == world.clock.now() + timedelta(days=1)
    world.pay()
    assert world.double.posts("tran_ord_1") == 1


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (None, "the transaction is of mode prod, the key of test"),
        ("tran_1", "the charge of 9.00 USD is under dispute at the bank, so nothing is sent beside it"),
    ],
    ids=["the charges stand as they did", "disputed since"],
)
def test_duplicate_in_doubt_that_a_person_approved_is_decided_anew_only_where_the_charges_stand_otherwise(
    world: PeopleWorld, happens: str | None, reason: str
) -> None:
    world.load(*world.history_of_charges(apart=timedelta(hours=1)))
    [in_doubt] = [each["case_id"] for each in cases_of(world)]
    world.decide(in_doubt, "money", reason="meant once")
    if happens is None:
        world.double.switches = replace(NASTY, get=Lie.OTHER_MODE)
    else:
        world.double.dispute(happens)
    world.pay()
    found = world.case(in_doubt)
    assert found is not None
    assert (found["state"], found["decision"]["reason"]) == ("review", reason)
    assert (found["decision"]["rule"] == "decided_by_person") is (happens is None)
    assert world.double.posts("tran_1") == 0


def test_charge_that_a_person_approved_says_why_that_person_did(world: PeopleWorld) -> None:
    world.double.switches = NASTY
    world.bought_once()
    request = world.mail().case_id
    world.decide(request, "money", reason="nothing was used")
    world.settle_down(days=1)
    found = world.case(request)
    assert found is not None
    assert (found["state"], found["decision"]["reason"]) == ("refunded", "nothing was used")


def test_dispute_won_gives_back_what_a_claim_had_frozen_before_it(world: PeopleWorld) -> None:
    """Once it gave back what the dispute itself had frozen, which was nothing: the rest stayed frozen for ever."""
    world.double.switches = replace(NASTY, get_lag=600.0)
    world.twice_charged()
    world.double.dispute("tran_1")
    world.settle_down(days=1)
    assert (world.claim("tran_1").state, world.lot("ord_1")[1]) == ("not_needed", 100)
    dispute = next(case for case in cases_of(world) if case["kind"] == "dispute")["case_id"]
    assert world.choices(dispute)["won"]["does"] == "the bank decided for us: 100 frozen credits can be spent again"
    assert world.decide(dispute, "won", reason="the bank said so")["told"] == "100 credits can be spent again"
    assert (world.lot("ord_1")[1], world.credits()) == (0, 200)


def test_dispute_is_not_won_while_a_refund_of_the_charge_may_be_on_its_way(world: PeopleWorld) -> None:
    world.double.switches = replace(NASTY, post=Fault.TIMEOUT, post_side=Lost.BEFORE_COMMIT, post_times=1)
    world.twice_charged()
    world.pay()
    world.double.dispute("tran_1")
    world.settle_down(days=0.1)
    assert world.claim("tran_1").closed_at is None
    dispute = next(case for case in cases_of(world) if case["kind"] == "dispute")["case_id"]
    with pytest.raises(Refused, match="a refund may be on its way"):
        world.decide(dispute, "won")
    assert world.lot("ord_1")[1] == 100


@pytest.mark.parametrize("answer", ["unknown", "pending"])
def test_claim_that_was_not_proved_ends_when_the_bank_gave_the_money_back(world: PeopleWorld, answer: str) -> None:
    """Once it was read daily for ever, and nothing could be chosen for its case."""
    lost_on_the_way = {"post": Fault.TIMEOUT, "post_side": Lost.BEFORE_COMMIT, "post_times": 1}
    pending = {"answer": RefundAnswer.PENDING, "ends": Ending.NEVER, "turns_early": False}
    world.double.switches = replace(NASTY, **(lost_on_the_way if answer == "unknown" else pending))  # type: ignore[arg-type]
    world.twice_charged()
    world.pay()
    world.double.dispute("tran_1")
    world.settle_down(days=2)
    dispute = next(case for case in cases_of(world) if case["kind"] == "dispute")["case_id"]
    assert world.claim("tran_1").closed_at is None
    world.decide(dispute, "lost", reason="the bank said so")
    world.settle_down(days=2)
    claim = world.claim("tran_1")
    assert (claim.state, claim.detail) == ("rejected", LOST)
    assert [case["state"] for case in cases_of(world)] == ["external", "external"]
    assert world.lot("ord_1") == (0, 0, 100)
    assert world.double.posts("tran_1") == 1


def test_claim_that_creem_said_had_succeeded_ends_when_the_bank_gave_the_money_back(world: PeopleWorld) -> None:
    """Once it was read daily for ever, and its case refused money and decline: nobody could end it."""
    no_money = {"meanwhile": Meanwhile.DISPUTE, "refund_of_disputed": SecondRefund.NO_MONEY}
    world.double.switches = replace(NASTY, answer=RefundAnswer.SUCCEEDED, **no_money)  # type: ignore[arg-type]
    world.twice_charged()
    world.settle_down(days=1)
    assert (world.claim("tran_1").state, world.claim("tran_1").closed_at) == ("confirming", None)
    dispute = next(case for case in cases_of(world) if case["kind"] == "dispute")["case_id"]
    world.decide(dispute, "lost", reason="the bank said so")
    world.settle_down(days=2)
    claim = world.claim("tran_1")
    assert (claim.state, claim.detail, claim.refunded) == ("rejected", LOST, 0)
    assert [case["state"] for case in cases_of(world)] == ["external", "external"]
    assert (world.lot("ord_1"), world.double.posts("tran_1")) == ((0, 0, 100), 1)


def test_claim_that_creem_refused_waits_for_no_dispute_to_end(world: PeopleWorld) -> None:
    """Once each waited for the other: the claim for Creem to show no chargeback, and `won` for the claim to end."""
    world.double.switches = replace(NASTY, meanwhile=Meanwhile.DISPUTE, refund_of_disputed=SecondRefund.REFUSED)
    world.twice_charged()
    world.settle_down(days=1)
    claim = world.claim("tran_1")
    assert (claim.state, claim.closed_at is None, world.lot("ord_1")) == ("refused", False, (0, 100, 0))
    dispute = next(case for case in cases_of(world) if case["kind"] == "dispute")["case_id"]
    world.decide(dispute, "won", reason="the bank said so")
    assert (world.lot("ord_1"), world.double.gone("tran_1")) == ((100, 0, 0), 900)
    assert world.state("ord_1") == "review"


def approved_by_mistake(world: PeopleWorld) -> str:
    """Money of the only purchase is approved while money is stopped; returns the case."""
    world.double.switches = NASTY
    world.bought_once()
    request = world.mail().case_id
    world.store.write(lambda tx: limits.stop(tx, by="ann", reason="to be sure", now=world.clock.now()))
    world.decide(request, "money")
    world.pay()
    return str(request)


def state_of(world: PeopleWorld, case_id: str) -> str:
    found = world.case(case_id)
    assert found is not None
    return str(found["state"])


def let_money_go(world: PeopleWorld) -> None:
    world.store.write(lambda tx: limits.release(tx, by="bob", reason="others wait", now=world.clock.now()))
    world.settle_down(days=1)


@pytest.mark.parametrize("days", [0, 3], ids=["at once", "when a person was called"])
def test_refund_approved_by_mistake_is_taken_back_while_nothing_was_sent(world: PeopleWorld, days: int) -> None:
    request = approved_by_mistake(world)
    world.clock.pass_(days=days)
    world.pay()
    world.sweep()
    plan = world.reviewer.plan_withdraw(request, by="ann", reason="the wrong order")
    assert (plan["choice"], plan["told"]) == ("refund", "the refund of 9.00 USD is taken back, and a person decides again")
    assert world.claim("tran_ord_1").closed_at is None
    world.reviewer.withdraw(request, plan["choice"], by="ann", reason="the wrong order")
    claim = world.claim("tran_ord_1")
    assert (claim.state, claim.detail) == ("not_needed", "taken back by ann before any money left: the wrong order")
    assert (world.lot("ord_1")[1], state_of(world, request)) == (0, "review")
    let_money_go(world)
    assert world.double.posts("tran_ord_1") == 0
    world.decide(request, "decline")
    assert state_of(world, request) == "declined"
    with pytest.raises(Refused, match="nothing is proposed"):
        world.reviewer.withdraw(request, by="ann", reason="again")


def test_refund_that_waits_says_how_it_is_taken_back_before_it_can_be_declined(world: PeopleWorld) -> None:
    request = approved_by_mistake(world)
    world.clock.pass_(days=3)
    world.pay()
    world.sweep()
    with pytest.raises(Refused, match=f"a refund waits to be sent: `refunds review withdraw {request}` takes it back first"):
        world.decide(request, "decline")


@pytest.mark.parametrize("how", ["never sent", "refused for lack of balance"])
def test_refund_approved_by_mistake_is_taken_back_after_a_call_that_moved_nothing(world: PeopleWorld, how: str) -> None:
    """Once neither `withdraw` nor `decline` took it: it was "sent", "may be on its way", and "nothing has left yet"."""
    request = approved_by_mistake(world)
    world.store.write(lambda tx: limits.release(tx, by="bob", reason="others wait", now=world.clock.now()))
    never, refused = {"post": Fault.NOT_SENT, "post_times": 1}, {"low_balance": 1}
    world.double.switches = replace(NASTY, **(never if how == "never sent" else refused))
    world.pay()
    claim = world.claim("tran_ord_1")
    assert (claim.attempts, claim.next_step, claim.closed_at) == (1, "send", None)
    world.clock.pass_(days=0.5)
    planned = world.reviewer.plan_withdraw(request, by="ann", reason="the wrong order")
    world.reviewer.withdraw(request, planned["choice"], by="ann", reason="the wrong order")
    assert (world.claim("tran_ord_1").state, state_of(world, request)) == ("not_needed", "review")
    assert world.lot("ord_1")[1] == 0
    world.settle_down(days=3)
    assert world.double.gone("tran_ord_1") == 0
    world.decide(request, "decline")


def test_refund_of_which_a_call_may_have_left_is_not_taken_back(world: PeopleWorld) -> None:
    request = approved_by_mistake(world)
    plan = world.reviewer.plan_withdraw(request, by="ann", reason="the wrong order")
    world.double.switches = replace(NASTY, post=Fault.TIMEOUT, post_side=Lost.AFTER_COMMIT, post_times=1, get_lag=3600.0)
    world.store.write(lambda tx: limits.release(tx, by="bob", reason="others wait", now=world.clock.now()))
    world.pay()
    with pytest.raises(Refused, match="its refund was sent, or came to its end, meanwhile; look again"):
        world.reviewer.withdraw(request, plan["choice"], by="ann", reason="the wrong order")
    with pytest.raises(Refused, match="nothing is proposed"):
        world.reviewer.withdraw(request, by="ann", reason="the wrong order")
    world.settle_down(days=1)
    assert state_of(world, request) == "refunded"


def test_payer_that_read_the_charge_meanwhile_sends_nothing_of_what_was_taken_back(world: PeopleWorld) -> None:
    request = approved_by_mistake(world)
    world.store.write(lambda tx: limits.release(tx, by="bob", reason="others wait", now=world.clock.now()))
    payer, inner = world.payer(), world.creem

    class WhileItReads:
        environment = inner.environment

        def transaction(self, name: str) -> Transaction | None:
            world.reviewer.withdraw(request, "refund", by="ann", reason="the wrong order")
            return inner.transaction(name)

    replace(payer, creem=WhileItReads()).pay()  # type: ignore[arg-type]
    assert world.double.posts("tran_ord_1") == 0
    assert world.claim("tran_ord_1").state == "not_needed"


def test_refund_is_not_taken_back_where_the_database_may_have_been_set_back_from_its_call(world: PeopleWorld) -> None:
    request = approved_by_mistake(world)
    world.store.write(lambda tx: limits.open_until(tx, limits.RESTORE, limits.FOR_EVER, "set back", needs_person=True))
    with pytest.raises(Refused, match="whether its refund was sent is not certain, restore: set back"):
        world.reviewer.withdraw(request, "refund", by="ann", reason="the wrong order")


@pytest.mark.parametrize("bank_gave_back", [True, False])
def test_dispute_of_the_later_charge_that_was_won_spends_no_claim(world: PeopleWorld, bank_gave_back: bool) -> None:
    """Once its one claim was made in the transaction of the word `won`, and ended at once on what Creem goes on showing."""
    world.double.switches = NASTY
    history = world.history_of_charges()
    # before anybody hears that the charge was made
    world.double.dispute("tran_1")
    world.double.tick()
    world.load(*history)
    world.reconciler().reconcile()
    if bank_gave_back:
        world.double.win_dispute("tran_1")
    world.decide("tran_1", "won", reason="the bank said so")
    duplicate = next(case for case in cases_of(world) if case["kind"] == "duplicate_charge")
    held = [row["detail"]["why"] for row in duplicate["history"] if row["event"] == "effect.held"]
    assert held == ["the charge was disputed and won, and Creem may still show it as charged back"]
    world.settle_down(days=2)
    assert (duplicate["state"], world.claim("tran_1"), world.double.posts("tran_1")) == ("review", None, 0)
    refused = world.choices(duplicate["case_id"])["money"]["refused"]
    assert refused == "Creem still shows the charge as charged back: our one claim on it would end there"


def test_charge_disputed_before_it_went_back_is_said_to_have_been_a_refund_otherwise(world: PeopleWorld) -> None:
    """Once `why` said that nothing would have been owed: the earlier charge was left out of the facts of a disputed one."""
    world.double.switches = NASTY
    world.twice_charged()
    world.double.dispute("tran_1")
    world.settle_down(days=0.1)
    world.reconciler().reconcile()
    world.clock.pass_(days=1)
    world.sweep()
    row = world.rows(select(cases).where(cases.c.kind == "duplicate_charge"))[0]
    assert (row.rule, row.facts["first"]["purchase_id"]) == ("charge_under_dispute", "ord_0")
    other = ask_again(CaseKind.DUPLICATE_CHARGE, row.facts, world.bench.terms_at(row.failed_at)).counterfactual
    assert other == Counterfactual("the charge not been disputed", Outcome.REFUND_PAYMENT, "duplicate_charge")


def test_case_of_a_claim_that_a_dispute_ended_says_so_no_longer_once_that_was_won(world: PeopleWorld) -> None:
    """Once it said "the charge is under dispute" for as long as it waited for a person."""
    world.double.switches = NASTY
    world.twice_charged()
    world.double.dispute("tran_1")
    world.settle_down(days=0.1)
    duplicate = next(case for case in cases_of(world) if case["kind"] == "duplicate_charge")["case_id"]
    assert world.claim("tran_1").state == "not_needed"
    world.decide("tran_1", "won", reason="the bank said so")
    claimed = f"the charge was claimed before, by {duplicate}, and that claim ended as not_needed"
    for _ in range(3):
        found = world.case(duplicate)
        assert found is not None
        assert (found["state"], found["decision"]["reason"]) == ("review", claimed)
        assert moves(found).count("case.handed_over") == 1
        world.clock.pass_(days=1)
        world.sweep()


def test_money_approved_by_its_price_waits_until_what_was_paid_is_approved_by_as_many_as_that_needs(world: PeopleWorld) -> None:
    """One person was shown 95.00 and had 113.05 leave, which takes two."""
    world.double.switches = NASTY
    paid_at = world.clock.now() - timedelta(hours=1)
    world.double.pay("tran_0", customer_id="cust_1", amount=9500, tax=1805, order_id="ord_0", paid_at=paid_at)
    world.load(an_account(), world.bought("ord_0", "tran_0", written(paid_at), amount=9500))
    request = world.mail("Please refund my order ord_0.").case_id
    assert world.choices(request)["money"]["needs_second"] is False
    world.decide(request, "money", by="ann")
    world.settle_down(days=2.5)
    claim, found = world.claim("tran_0"), world.case(request)
    assert found is not None
    assert (found["state"], claim.state, claim.attempts, world.lot("ord_0")) == ("review", "claimed", 0, (0, 100, 0))
    assert found["reason"].startswith("113.05 USD would go back, and 95.00 USD were approved")
    assert moves(found).count("case.handed_over") == 1
    assert world.choices(request)["money"]["needs_second"] is True
    assert world.decide(request, "money", by="ann")["waits_for_second"] is True
    world.settle_down(days=1.5)
    assert world.double.posts("tran_0") == 0
    world.decide(request, "money", by="bob")
    world.settle_down(days=0.1)
    assert (world.claim("tran_0").state, world.double.gone("tran_0"), world.double.posts("tran_0")) == ("refunded", 11305, 1)
    with pytest.raises(Refused):
        world.decide(request, "money", by="ann")
